"""Noise on counts: it is there, parts stay within wholes, and the same question has the same answer."""

from typing import Any

import numpy as np
import pytest

import fedjtt
from fedjtt.config import RunConfig
from fedjtt.methods.base import Node, Payload
from fedjtt.methods.census import census
from fedjtt.methods.count_noise import NOISED, SECRET, noised
from fedjtt.methods.registry import CATEGORIES
from strategies.acceptance import Acceptance
from strategies.known import nobody
from tests import tiny
from tests.own_hosts import own_config, write_hosts
from tests.tiny import TINY

NOISY: dict[str, Any] = {"robust": "federated", "averaging": "none", "count-noise": 4.0, "identify": "federated"}


def node_of(**changes: Any) -> Node:
    named = {key.replace("-", "_"): value for key, value in {**NOISY, **changes}.items()}
    return tiny.node_of(tiny.tiny_config(**named), tiny.tiny_splits().train)


def told(node: Node) -> dict[str, Any]:
    return dict(noised("census", census)(node, Payload()).numbers)


def test_every_action_that_sends_counts_is_named() -> None:
    """The others send none, or are refused with noise on counts: models, ids, keys, bins, sums of features."""
    secret = {"keys", "shares", "reveal"}
    none = secret | {"initial", "network", "prepare", "lend", "name", "tally", "refer", "sketch", "mask"}
    head = {"features", "moments", "draw", "slope", "score", "spectrum"}
    attribution = {"measure", "gram", "squares", "scatter", "divide", "target", "align", "rank", "drop"}
    assert set(CATEGORIES) - set(NOISED) == none | head | attribution


def test_a_census_has_noise_and_adds_up_and_repeats_itself() -> None:
    node = node_of()
    first = told(node)
    assert first == told(node)
    assert first != dict(census(node, Payload()).numbers)
    assert first["examples"] == sum(first["label-counts"]) == sum(first["group-counts"])
    assert min(first["group-counts"]) >= 0


def test_a_restarted_machine_draws_anew_but_with_a_seed() -> None:
    for seed, same in ((0, False), (5, True)):
        node = node_of(**{"noise-seed": seed})
        before = told(node)
        node.memo.clear()
        assert (told(node) == before) is same
    assert SECRET not in node.memo


def test_without_noise_counts_are_what_they_are() -> None:
    node = node_of(**{"count-noise": 0.0})
    assert told(node) == dict(census(node, Payload()).numbers)


def test_the_deviation_is_the_one_that_was_asked_for() -> None:
    """Of 2,000 draws the deviation's standard error is 1.6 %; rounding adds a variance of 1/12 to the 16."""
    errors = []
    request = {"sample": 10_000, "first": 1}
    node = node_of()
    weights = np.zeros(3, dtype=np.float32)
    big = {"label-errors": [10**6] * 2, "label-sizes": [2 * 10**6] * 2, "both": 0, "either": 0}
    node.memo[SECRET] = np.zeros(32, dtype=np.uint8)

    def act(node: Node, request: Payload) -> Payload:  # noqa: ARG001
        return Payload({}, {"correct": big["label-errors"], "count": big["label-sizes"], "attributes": 0})

    for place in range(1000):
        asked = Payload({"weights": weights + place}, {**request, "split": 1})
        reply = noised("assess", act)(node, asked)
        errors += [value - 10**6 for value in reply.integers("correct")]
        assert reply.integers("count") == noised("assess", act)(node, asked).integers("count")
    assert np.std(errors) == pytest.approx((16 + 1 / 12) ** 0.5, rel=0.065)
    assert abs(np.mean(errors)) < 4 * 4.0 / 2000**0.5


@pytest.mark.parametrize("identify", ["federated", "local"])
@pytest.mark.parametrize("deviation", [1.0, 30.0])
def test_a_whole_run_accepts_every_noisy_reply(identify: str, deviation: float) -> None:
    config = RunConfig.parse(
        {**TINY, **NOISY, "identify": identify, "identify-stop": "stable", "count-noise": deviation}
    )
    result = fedjtt.simulate(config.replace(evaluation_at="machines", noise_seed=2)).result
    assert result["missing"] == []
    exact = fedjtt.simulate(config.replace(evaluation_at="machines", count_noise=0)).result
    assert result["test"]["groups"] != exact["test"]["groups"]


def test_hosts_tell_noisy_numbers_of_rows_and_nothing_of_them_is_refused(tmp_path: Any) -> None:
    config = own_config(write_hosts(tmp_path), averaging="none", count_noise=2.0, noise_seed=2, robust_rounds=2)
    result = fedjtt.simulate(config).result
    assert result["missing"] == []
    assert result["digest"] != fedjtt.simulate(config.replace(count_noise=0, noise_seed=0)).result["digest"]


def test_a_machine_that_restarts_is_not_taken_for_a_liar() -> None:
    accept = Acceptance.of_run(RunConfig.parse({**TINY, **NOISY}), nobody)
    node = node_of()
    for _ in range(2):
        node.memo.clear()
        assert accept.objection("census", 0, Payload(), Payload({}, told(node))) == ""


def test_counts_by_the_reference_have_noise_within_wholes_that_stay() -> None:
    node = node_of()

    def act(node: Node, request: Payload) -> Payload:  # noqa: ARG001
        cells = {"reference-correct": [50, 0, 9, 40], "reference-count": [60, 5, 10, 40]}
        return Payload(numbers={"correct": [50, 49], "count": [65, 50], "attributes": 0, **cells})

    replies = [
        noised("assess", act)(node, Payload({"weights": np.ones(3) * step}, {"split": 1, "by-reference": 1}))
        for step in range(5)
    ]
    counts = [reply.integers("reference-count") for reply in replies]
    assert all(count == counts[0] != [60, 5, 10, 40] for count in counts)
    rights = [reply.integers("reference-correct") for reply in replies]
    assert len({tuple(right) for right in rights}) > 1
    for right in rights:
        assert all(0 <= part <= whole for part, whole in zip(right, counts[0], strict=True))
