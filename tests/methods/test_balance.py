"""Balancing: weights, quotas and gammas against their definitions, by hand."""

from typing import Any

import numpy as np
import pytest
import torch

import fedjtt
from fedjtt.errors import ConfigError
from fedjtt.methods.balance import GAMMAS, WEIGHTS, Balance, _weights
from fedjtt.methods.base import Payload
from fedjtt.methods.cut import CUT
from fedjtt.provide import spread
from tests.tiny import asked, grouped, node_of, parts_of_a_run, tiny_config, tiny_splits

# Of the 60 train examples of tiny_splits: groups (0,0), (0,1), (1,0), (1,1).
SIZES = [26, 4, 4, 26]


def told(**changes: Any) -> dict[str, Any]:
    """What the machines are told in the first round of a run."""
    strategy, grid = parts_of_a_run(
        tiny_config(**{"robust": "federated", "method": "balance", **changes}), tiny_splits()
    )
    seen = asked(grid)
    strategy.run(grid)
    return dict(next(request.numbers for action, _, request, _ in seen if action == "fit"))


def test_the_sizes_are_those_of_the_data() -> None:
    assert tiny_splits().train.group_counts().tolist() == SIZES
    assert told()["group-sizes"] == SIZES
    assert told(groups="class")["group-sizes"] == [30, 30]


def test_weights_by_hand() -> None:
    """Groups (0,0) x 3, (0,1) x 1, (1,1) x 2, (1,0) absent: N / (G n_g) = 6 / (3 n_g) = 2/3, 2, 0, 1."""
    config = tiny_config(method="balance", balance="upsample")
    weights = _weights("upsample", config, [3, 1, 0, 2], [3, 1, 0, 2])
    assert weights == pytest.approx([2 / 3, 2, 0, 1])
    data = grouped([0, 0, 0, 0, 1, 1], [0, 0, 1, 0, 1, 1])
    lesson = Balance().lesson(node_of(config, data), Payload(numbers={WEIGHTS: weights}))
    assert lesson.weights.tolist() == pytest.approx([2 / 3, 2 / 3, 2, 2 / 3, 1, 1])
    assert lesson.terms is None


def test_the_weights_of_all_machines_sum_to_n_and_every_group_weighs_the_same() -> None:
    splits, config = tiny_splits(), tiny_config(machines=7, method="group-balanced")
    weights = _weights("upsample", config, SIZES, SIZES)
    per_group = torch.zeros(4, dtype=torch.float64)
    for data in spread(splits, config):
        node = node_of(config, splits.train, data.train.rows)
        drawn = Balance("group-balanced", "upsample").lesson(node, Payload(numbers={WEIGHTS: weights})).weights
        per_group.index_add_(0, splits.train.group[data.train.rows], drawn)
    assert float(per_group.sum()) == pytest.approx(60)
    assert per_group.tolist() == pytest.approx([15] * 4)


def test_upweighting_multiplies_losses_by_the_largest_size_over_the_groups() -> None:
    """26 / 26 = 1 and 26 / 4 = 6.5; every example is drawn alike."""
    numbers = told(balance="upweight")
    assert numbers[GAMMAS] == [1.0, 6.5, 6.5, 1.0]
    assert numbers[WEIGHTS] == [1.0] * 4
    splits = tiny_splits()
    lesson = Balance().lesson(
        node_of(tiny_config(method="balance", balance="upweight"), splits.train), Payload(numbers=numbers)
    )
    assert lesson.weights.tolist() == [1] * 60
    assert lesson.terms is not None
    places = torch.tensor([0, 20])  # example 0 is of the minority, 20 is not
    assert lesson.terms(torch.tensor([2.0, 2.0]), places).tolist() == [13.0, 2.0]


@pytest.mark.parametrize(
    ("changes", "sizes"),
    [
        ({"balance": "subset"}, [4, 4, 4, 4]),
        ({"balance": "mixture", "mixture_ratio": 1.0}, [4, 4, 4, 4]),
        ({"balance": "mixture", "mixture_ratio": 3.0}, [12, 4, 4, 12]),
        ({"balance": "mixture", "mixture_ratio": 100.0}, SIZES),
    ],
)
def test_a_cut_leaves_the_quota_of_every_group(changes: dict[str, Any], sizes: list[int]) -> None:
    config = tiny_config(**{"robust": "federated", "method": "balance", **changes})
    numbers = Payload(numbers=told(**changes))
    splits = tiny_splits()
    stays = torch.zeros(4, dtype=torch.int64)
    for data in spread(splits, config):
        lesson = Balance().lesson(node_of(config, splits.train, data.train.rows), numbers)
        stays += torch.bincount(splits.train.group[data.train.rows][lesson.weights > 0], minlength=4)
    assert stays.tolist() == sizes


def test_a_mixture_draws_the_groups_equally_often_after_the_cut() -> None:
    """32 examples are left: 32 / (4 * 12) = 2/3 and 32 / (4 * 4) = 2."""
    assert told(balance="mixture", mixture_ratio=3.0)[WEIGHTS] == pytest.approx([2 / 3, 2, 2, 2 / 3])


def test_without_the_cut_whole_groups_are_drawn_in_its_proportions() -> None:
    """Of 32 parts 12 are the first group's: 60 * 12 / (32 * 26) and 60 * 4 / (32 * 4)."""
    numbers = told(balance="mixture", mixture_ratio=3.0, mixture_cut=False)
    assert CUT not in numbers
    assert numbers[WEIGHTS] == pytest.approx([60 * 12 / 832, 60 / 32, 60 / 32, 60 * 12 / 832])


def test_a_mixture_of_ratio_1_is_a_subset_drawn_with_replacement_and_a_large_one_is_upsampling() -> None:
    assert told(balance="mixture", mixture_ratio=1.0)[CUT] == told(balance="subset")[CUT]
    assert told(balance="mixture", mixture_ratio=6.5)[WEIGHTS] == told(balance="upsample")[WEIGHTS]


def test_the_oracle_is_upsampling_by_true_groups_whatever_the_keys_say() -> None:
    by_key = fedjtt.simulate(tiny_config(method="balance", balance="upsample"), tiny_splits()).weights
    oracle = fedjtt.simulate(
        tiny_config(method="group-balanced", balance="subset", groups="class"), tiny_splits()
    ).weights
    assert np.array_equal(by_key, oracle)


def test_a_machine_of_which_nothing_is_left_sends_what_it_was_sent() -> None:
    """Machine 0 has one group's examples only, and the quota takes none of them: the others go on."""
    splits = tiny_splits()
    config = tiny_config(robust="federated", method="balance", balance="subset", machines=3)
    parts = [torch.tensor([20]), torch.arange(20), torch.arange(21, 60)]
    assert fedjtt.simulate(config, splits, parts).result["missing"] == []


@pytest.mark.parametrize("robust", ["central", "federated"])
@pytest.mark.parametrize("method", ["group-balanced", "balance", "group-dro"])
def test_without_attributes_true_groups_are_refused(robust: str, method: str) -> None:
    config = tiny_config(method=method, robust=robust, selection="val-average")
    strategy, grid = parts_of_a_run(config, tiny_splits(known=False))
    with pytest.raises(ConfigError, match=f"method {method} needs the attribute of every train example where groups"):
        strategy.run(grid)
    known = config.replace(method="balance", groups="class")
    strategy, grid = parts_of_a_run(known, tiny_splits(known=False))
    assert len(strategy.run(grid).history) == 2
