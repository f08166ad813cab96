"""Which group an example is in, and how many each has over all machines."""

from typing import Any

import pytest
import torch

from fedjtt.errors import ConfigError, EngineError
from fedjtt.methods.base import Payload
from fedjtt.methods.grouping import agree_on_groups, groups_of, name_own, validation_groups
from tests.tiny import grouped, node_of, parts_of_a_run, tiny_config, tiny_splits

DATA = grouped([0, 0, 1, 1], [0, 1, 1, 0])


@pytest.mark.parametrize(("groups", "expected"), [("class", [0, 0, 1, 1]), ("true", [0, 1, 3, 2])])
def test_groups_by_hand(groups: str, expected: list[int]) -> None:
    node = node_of(tiny_config(method="balance", groups=groups), DATA)
    assert groups_of(node, Payload()).tolist() == expected


def test_inferred_groups_are_label_and_error() -> None:
    """Of ids 0 to 3 the errors are 1 and 2: labels 0 and 1."""
    node = node_of(tiny_config(method="balance", groups="inferred"), DATA)
    request = Payload({"error-ids": torch.tensor([1, 2]).numpy()}, {"examples": 4})
    assert groups_of(node, request).tolist() == [0, 1, 3, 2]


def test_the_oracle_has_true_groups() -> None:
    assert tiny_config(method="group-balanced", groups="inferred").groups_kind == "true"
    assert tiny_config(method="balance", groups="inferred").groups_kind == "inferred"


def test_machines_are_groups_on_a_machine_and_on_the_server() -> None:
    config = tiny_config(method="agnostic")
    assert groups_of(node_of(config, DATA, number=2, machines=3), Payload()).tolist() == [2] * 4
    origins = {"origin-ids": torch.tensor([0, 1, 2, 3]).numpy(), "origins": torch.tensor([1, 0, 0, 1]).numpy()}
    assert groups_of(node_of(config, DATA), Payload(origins)).tolist() == [1, 0, 0, 1]
    lacking = {name: array[:3] for name, array in origins.items()}
    with pytest.raises(EngineError, match="the server has examples that no machine has"):
        groups_of(node_of(config, DATA), Payload(lacking))


@pytest.mark.parametrize("robust", ["central", "federated"])
@pytest.mark.parametrize(("groups", "sizes"), [("class", [30, 30]), ("true", [26, 4, 4, 26]), ("inferred", None)])
def test_sizes_over_all_machines(robust: str, groups: str, sizes: Any) -> None:
    config = tiny_config(method="balance", groups=groups, robust=robust, identify_learning_rate=0.05)
    strategy, grid = parts_of_a_run(config, tiny_splits())
    strategy.talk.machines_grid = grid
    found = agree_on_groups(strategy)
    assert found.place == ("server" if robust == "central" else "machines")
    assert sum(found.sizes) == 60
    if sizes is not None:
        assert found.sizes == sizes
        assert found.found is None
    else:
        assert found.found is not None
        assert [found.sizes[0] + found.sizes[1], found.sizes[2] + found.sizes[3]] == [30, 30]
        assert found.sizes[1] + found.sizes[3] == sum(found.found.errors)
        assert ("error-ids" in found.request.arrays) == (robust == "central")


def test_an_id_is_named_in_central_training_only() -> None:
    assert name_own(node_of(tiny_config(robust="central"), DATA), Payload()).arrays["ids"].tolist() == [0, 1, 2, 3]
    with pytest.raises(ConfigError, match="only where robust is central"):
        name_own(node_of(tiny_config(robust="federated"), DATA), Payload())


def test_validation_s_groups_are_labels_or_true_ones_or_not_known() -> None:
    validation, why = tiny_splits().validation, "somebody needs them, and {}; do without"
    true, groups = validation_groups(node_of(tiny_config(groups="true"), validation), why)
    assert torch.equal(true, validation.group)
    assert groups == 4
    labels, classes = validation_groups(node_of(tiny_config(groups="class"), validation), why)
    assert torch.equal(labels, validation.label)
    assert classes == 2
    unknown = tiny_splits(known=False).validation
    with pytest.raises(ConfigError, match=r"^somebody needs them, and no attribute of validation is known; do"):
        validation_groups(node_of(tiny_config(groups="true"), unknown), why)
