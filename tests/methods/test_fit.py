"""Rounds of weighted training: steps, means, spans, selection."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from fedjtt.cache import StageCache
from fedjtt.errors import ConfigError
from fedjtt.methods import fit as module
from fedjtt.methods.assess import selected_score
from fedjtt.methods.base import Payload
from fedjtt.methods.census import Population, count_population
from fedjtt.methods.erm import ERM
from fedjtt.methods.fit import (
    FitPlan,
    fit,
    fit_rounds,
    initial_weights,
)
from tests.tiny import node_of, parts_of_a_run, tiny_config, tiny_splits

SIXTY = Population([60], None, [60], None)


def request(weights: np.ndarray, server_round: int, first: int, last: int, total: int) -> Payload:
    return Payload({"weights": weights}, {"round": server_round, "first": first, "last": last, "total": total})


def test_a_round_reports_its_weighted_size_and_does_not_change_what_it_was_sent() -> None:
    node = node_of(tiny_config(averaging="none"), tiny_splits().train)
    weights = node.initial_model().vector.numpy().copy()
    before = weights.copy()
    answer = fit(node, request(weights, 1, 0, 3, 6), ERM())
    assert answer.real("size") == 60
    assert set(answer.arrays) == {"weights"}
    np.testing.assert_array_equal(weights, before)
    assert not np.array_equal(answer.arrays["weights"], before)
    again = fit(node, request(weights, 1, 0, 3, 6), ERM())
    assert again.arrays["weights"].tobytes() == answer.arrays["weights"].tobytes()


def test_batches_depend_on_round_machine_and_seed() -> None:
    data = tiny_splits().train
    nodes = [node_of(tiny_config(), data), node_of(tiny_config(), data, number=1), node_of(tiny_config(seed=1), data)]
    weights = nodes[0].initial_model().vector.numpy().copy()
    results = {
        fit(node, request(weights, r, 0, 3, 6), ERM()).arrays["weights"].tobytes() for node in nodes for r in (1, 2)
    }
    assert len(results) == 6


class Script:
    """Validation figures by round, in place of an evaluation."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, scores: list[tuple[Any, float]]) -> None:
        self.scores = iter(scores)
        monkeypatch.setattr(module, "assess_weights", self)

    def __call__(self, *_: Any) -> dict[str, Any]:
        worst, average = next(self.scores)
        return {"worst-group-accuracy": worst, "worst-class-accuracy": worst, "average-accuracy": average}


def trained(monkeypatch: pytest.MonkeyPatch, scores: list[tuple[Any, float]], **changes: Any) -> Any:
    config = tiny_config(machines=1, method="erm", robust_rounds=len(scores), batch_size=4, **changes)
    strategy, grid = parts_of_a_run(config, tiny_splits())
    strategy.talk.machines_grid = grid
    Script(monkeypatch, scores)
    return fit_rounds(strategy, FitPlan(SIXTY))


@pytest.mark.parametrize(
    ("scores", "selection", "expected"),
    [
        ([(0.1, 0.5), (0.3, 0.4), (0.2, 0.9)], "val-worst-group", 2),
        ([(0.1, 0.5), (0.3, 0.4), (0.2, 0.9)], "val-average", 3),
        ([(0.1, 0.5), (0.3, 0.4), (0.2, 0.9)], "last", 3),
        ([(0.9, 0.9), (0.3, 0.4)], "last", 2),
        ([(0.0, 0.5), (0.0, 0.7), (0.0, 0.6)], "val-worst-group", 2),  # a tie is broken by the average
        ([(0.5, 0.5), (0.5, 0.5)], "val-worst-class", 1),  # and a full tie by the earlier round
        ([(0.0, 0.0), (0.0, 0.0)], "val-worst-group", 1),
    ],
)
def test_selection(
    monkeypatch: pytest.MonkeyPatch, scores: list[tuple[Any, float]], selection: str, expected: int
) -> None:
    done = trained(monkeypatch, scores, selection=selection)
    assert done.selected_round == expected
    assert [line["round"] for line in done.history] == list(range(1, len(scores) + 1))


def test_selecting_on_what_nobody_knows_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"selection is val-worst-group, but validation has no examples with known"):
        trained(monkeypatch, [(None, 0.5)])


def test_rounds_cut_the_steps_without_gap_or_overlap() -> None:
    """15 steps in 4 rounds end at floor(15 r / 4) = 3, 7, 11, 15; a step draws 4 of 60 examples."""
    config = tiny_config(machines=1, method="erm", robust_rounds=4, batch_size=4)
    strategy, grid = parts_of_a_run(config, tiny_splits())
    strategy.talk.machines_grid = grid
    history = fit_rounds(strategy, FitPlan(SIXTY)).history
    assert [line["steps"] for line in history] == [3, 7, 11, 15]
    assert [line["epochs"] for line in history] == pytest.approx([0.2, 28 / 60, 44 / 60, 1.0], abs=1e-6)


@pytest.mark.parametrize("cached", [False, True])
def test_more_rounds_than_steps_are_cut_and_said_with_and_without_a_cache(tmp_path: Any, cached: bool) -> None:
    config = tiny_config(machines=1, method="erm", robust_rounds=50, batch_size=30)
    for _ in range(2):
        strategy, grid = parts_of_a_run(config, tiny_splits(), cache=StageCache(tmp_path) if cached else None)
        strategy.talk.machines_grid = grid
        assert len(fit_rounds(strategy, FitPlan(SIXTY)).history) == 2
        assert strategy.notes == ["robust-rounds is 50, but a machine takes 2 steps in all: 2 rounds were made"]


def test_a_cached_stage_shows_its_rounds_too(tmp_path: Any) -> None:
    seen: list[list[Any]] = []

    class Watching:
        def progress(self, *told: Any) -> None:
            seen[-1].append(told)

    for _ in range(2):
        seen.append([])
        config = tiny_config(machines=1, method="erm")
        strategy, grid = parts_of_a_run(config, tiny_splits(), observer=Watching(), cache=StageCache(tmp_path))
        strategy.talk.machines_grid = grid
        fit_rounds(strategy, FitPlan(SIXTY))
    assert seen[0] == seen[1]
    assert len(seen[0]) == 2


def test_given_weights_are_where_training_starts_and_are_not_mixed_up_in_a_cache(tmp_path: Any) -> None:
    config = tiny_config(machines=1, method="erm", averaging="none")
    results = []
    for scale in (1.0, 0.5):
        strategy, grid = parts_of_a_run(config, tiny_splits(), cache=StageCache(tmp_path))
        strategy.talk.machines_grid = grid
        own = initial_weights(strategy)
        if scale != 1.0:
            strategy.initial = own * np.float32(scale)
            np.testing.assert_array_equal(initial_weights(strategy), own * np.float32(scale))
        results.append(fit_rounds(strategy, FitPlan(SIXTY)).weights.tobytes())
    assert results[0] != results[1]


def test_a_cached_stage_is_not_that_of_another_size(tmp_path: Any) -> None:
    sizes = []
    for size in ({}, {"model_width": 0.5}, {"model_depth": 1}):
        config = tiny_config(machines=1, method="erm", **size)
        strategy, _ = parts_of_a_run(config, tiny_splits(), cache=StageCache(tmp_path))
        sizes.append(len(fit_rounds(strategy, FitPlan(SIXTY)).weights))
    # 4 features, 2 labels; 128 units twice, 64 twice, 128 once
    assert sizes == [5 * 128 + 129 * 128 + 129 * 2, 5 * 64 + 65 * 64 + 65 * 2, 5 * 128 + 129 * 2]


def test_seconds_follow_the_slowest_machine_of_each_round(monkeypatch: pytest.MonkeyPatch) -> None:
    config = tiny_config(machines=3, method="erm", robust="federated", selection="last")
    strategy, grid = parts_of_a_run(config, tiny_splits())
    strategy.talk.machines_grid = grid
    count_population(strategy, "machines")
    ask = strategy.ask
    told = iter([[1.0, 5.0, 2.0], [4.0, 1.0, 1.0]])

    def timed(place: Any, action: str, *rest: Any) -> Any:
        replies = ask(place, action, *rest)
        if action != "fit":
            return replies
        return [replace(r, numbers={**r.numbers, "seconds": s}) for r, s in zip(replies, next(told), strict=True)]

    monkeypatch.setattr(strategy, "ask", timed)
    assert fit_rounds(strategy, FitPlan(SIXTY)).seconds == {"robust": 9.0, "robust-sum": 14.0}


def test_the_selected_score_is_that_of_the_selected_round(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = [(0.1, 0.5), (0.3, 0.4), (0.2, 0.9)]
    assert selected_score(trained(monkeypatch, scores), "val-worst-group") == (0.3, 0.4)
    assert selected_score(trained(monkeypatch, scores, selection="val-average"), "val-average") == (0.9, 0.9)
    assert selected_score(trained(monkeypatch, scores, selection="last"), "last") == (0.0, 0.0)


def nova_sizes(monkeypatch: pytest.MonkeyPatch, rows: list[torch.Tensor], **changes: Any) -> list[int]:
    """The steps of every machine's first round."""
    settings: dict[str, Any] = {"method": "erm", "averaging": "none", "batch_size": 4, "selection": "last"}
    config = tiny_config(robust="federated", **settings, **changes)
    strategy, grid = parts_of_a_run(config, tiny_splits(), rows)
    strategy.talk.machines_grid = grid
    count_population(strategy, "machines")
    ask, steps = strategy.ask, []

    def noting(place: Any, action: str, *rest: Any) -> Any:
        replies = ask(place, action, *rest)
        if action == "fit":
            steps.append([reply.integer("steps") for reply in replies])
        return replies

    monkeypatch.setattr(strategy, "ask", noting)
    fit_rounds(strategy, FitPlan(SIXTY))
    return steps[0]


def test_fednovas_machines_take_steps_by_their_size(monkeypatch: pytest.MonkeyPatch) -> None:
    # 60 examples in batches of 4 on 3 machines: 5 steps in one round for the mean size of 20; 10, 20 and 30 examples
    # are .5, 1 and 1.5 of it: round(2.5) = 2 (to even), 5 and round(7.5) = 8.
    rows = [torch.arange(0, 10), torch.arange(10, 30), torch.arange(30, 60)]
    assert nova_sizes(monkeypatch, rows, robust_rounds=1, aggregator="fednova") == [2, 5, 8]
    assert nova_sizes(monkeypatch, rows, robust_rounds=1, aggregator="fedavg") == [5, 5, 5]
