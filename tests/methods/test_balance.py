"""The oracle's weights against their definition."""

import pytest
import torch

from fedjtt.errors import ConfigError
from fedjtt.methods.base import Payload
from fedjtt.methods.group_balanced import GroupBalanced
from fedjtt.provide import spread
from tests.tiny import grouped, node_of, parts_of_a_run, tiny_config, tiny_splits


def test_weights_by_hand() -> None:
    # Groups (0,0) x 3, (0,1) x 1, (1,1) x 2, (1,0) absent: N / (G n_g) = 6 / (3 n_g) = 2/3, 2, 1.
    data = grouped([0, 0, 0, 0, 1, 1], [0, 0, 1, 0, 1, 1])
    request = Payload(numbers={"group-counts": [3, 1, 0, 2]})
    weights = GroupBalanced().example_weights(node_of(tiny_config(), data), request)
    assert weights.tolist() == pytest.approx([2 / 3, 2 / 3, 2, 2 / 3, 1, 1])


def test_the_weights_of_all_machines_sum_to_n_and_every_group_weighs_the_same() -> None:
    splits, config = tiny_splits(), tiny_config(machines=7)
    request = Payload(numbers={"group-counts": splits.train.group_counts().tolist()})
    per_group = torch.zeros(4, dtype=torch.float64)
    for data in spread(splits, config):
        weights = GroupBalanced().example_weights(node_of(config, splits.train, data.train.rows), request)
        per_group.index_add_(0, splits.train.group[data.train.rows], weights)
    assert float(per_group.sum()) == pytest.approx(60)
    assert per_group.tolist() == pytest.approx([15] * 4)


@pytest.mark.parametrize("robust", ["central", "federated"])
def test_without_attributes_it_is_refused(robust: str) -> None:
    config = tiny_config(method="group-balanced", robust=robust, selection="val-average")
    strategy, grid = parts_of_a_run(config, tiny_splits(known=False))
    with pytest.raises(ConfigError, match="group-balanced needs the attribute of every train example; use jtt or erm"):
        strategy.run(grid)
