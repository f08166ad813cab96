"""The half of whoever holds validation: sums by group, given or found."""

from typing import Any

import numpy as np
import pytest
import torch

from fedjtt.attribution.kernel import unpacked
from fedjtt.errors import ConfigError, ForgottenError
from fedjtt.methods.attribute import projection_at
from fedjtt.methods.base import Node, Payload
from fedjtt.methods.targets import FOUND, divide, scatter, target
from tests.tiny import node_of, tiny_config, tiny_splits

WIDTH = 12


def node(rows: list[int] | None = None, known: bool = True, **changes: Any) -> Node:
    config = tiny_config(**{"method": "d3m", "projection_dimension": WIDTH, **changes})
    return node_of(
        config, tiny_splits(known=known).train, None if rows is None else torch.tensor(rows, dtype=torch.int64)
    )


WEIGHTS = node().initial_model().vector.numpy().copy()
REQUEST = Payload({"weights": WEIGHTS}, {"model": 0})
BASIS = np.random.default_rng(1).normal(size=(WIDTH, 5))
STACKED = Payload({"weights": WEIGHTS[None], "basis": BASIS})


def features(machine: Node) -> torch.Tensor:
    part = machine.data.validation
    phi, _ = projection_at(machine, WEIGHTS, 0).features(part.dataset.x[part.rows], part.dataset.label[part.rows])
    return phi.double()


@pytest.mark.parametrize(("groups", "number"), [("true", 4), ("class", 2)])
def test_sums_are_by_the_groups_that_the_config_names(groups: str, number: int) -> None:
    machine = node(groups=groups)
    reply, data = target(machine, REQUEST), machine.data.validation.dataset
    group = data.group if groups == "true" else data.label
    sums = torch.from_numpy(reply.arrays["sums"]).view(number, WIDTH)
    for each in range(number):
        torch.testing.assert_close(sums[each], features(machine)[group == each].sum(0), rtol=1e-5, atol=1e-8)
    assert reply.integers("count") == group.bincount(minlength=number).tolist()
    assert len(reply.reals("losses")) == number


def test_points_are_summed_by_label_and_divided_by_their_component() -> None:
    machine = node(method="auto-d3m")
    label = machine.data.validation.dataset.label
    points = torch.nn.functional.normalize(features(machine) @ torch.from_numpy(BASIS), dim=1)
    reply = scatter(machine, STACKED)
    total = torch.from_numpy(reply.arrays["total"]).view(2, 5)
    products = torch.from_numpy(reply.arrays["products"]).view(2, 15)
    for each in (0, 1):
        own = points[label == each]
        torch.testing.assert_close(total[each], own.sum(0), rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(unpacked(products[each]), own.T @ own, rtol=1e-5, atol=1e-6)
    with pytest.raises(ForgottenError, match="has forgotten its validation examples' groups"):
        target(machine, REQUEST)
    axis = np.zeros((2, 5))
    axis[:, 0] = 1.0
    told = divide(machine, Payload({**STACKED.arrays, "centres": np.zeros((2, 5)), "components": axis}))
    expected = 2 * label + (points[:, 0] > 0).long()
    assert machine.memo[FOUND].tolist() == expected.tolist()
    assert told.integers("count") == expected.bincount(minlength=4).tolist()
    assert target(machine, REQUEST).integers("count") == told.integers("count")


def test_a_machine_without_validation_rows_adds_nothing() -> None:
    machine = node([], method="auto-d3m")
    assert not scatter(machine, STACKED).arrays["products"].any()
    axis = {"centres": np.zeros((2, 5)), "components": np.zeros((2, 5))}
    assert divide(machine, Payload({**STACKED.arrays, **axis})).integers("count") == [0, 0, 0, 0]
    assert not target(machine, REQUEST).arrays["sums"].any()


def test_without_attributes_there_are_no_true_groups() -> None:
    with pytest.raises(ConfigError, match="set method to auto-d3m, or groups to class"):
        target(node(known=False), REQUEST)
    assert target(node(known=False, groups="class"), REQUEST).integers("count") == [30, 30]
