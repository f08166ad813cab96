"""Reweighted sparse training: who conflicts, what they weigh, and the weighted objective."""

from typing import Any

import numpy as np
import pytest
import torch

import fedjtt
from fedjtt.data.grouped import GroupedDataset, Splits
from fedjtt.errors import ConfigError
from fedjtt.methods.base import Payload
from fedjtt.methods.census import Population
from fedjtt.methods.grouping import Groups
from fedjtt.methods.identification import Identified
from fedjtt.methods.rest import REST, conflicting_groups, usual_lambda
from tests.methods.test_masked import machine, request
from tests.tiny import tiny_config, tiny_splits


@pytest.mark.parametrize(
    ("share", "expected"),
    [
        (0.005, 10), (0.01, 30), (0.02, 50), (0.05, 80),
        (0.006, 10), (0.008, 30), (0.001, 10), (0.04, 80), (0.1, 80),
        (0.2, 4.0), (0.5, 1.0), (0.7, 1.0),  # beyond the table: both parts count alike
    ],
)  # fmt: skip
def test_lambda_is_the_papers_for_the_nearest_share(share: float, expected: float) -> None:
    assert usual_lambda(share) == pytest.approx(expected)


def test_lambda_of_faces_is_the_papers() -> None:
    assert usual_lambda(0.005, "bffhq") == 80
    assert usual_lambda(0.02, "bffhq") == pytest.approx(49)  # beyond its one entry: 98 % against 2 %


def population(group_counts: list[int] | None) -> Population:
    return Population([60], group_counts, [30, 30], None)


def test_true_conflicts_are_all_but_each_labels_largest_group() -> None:
    groups = Groups([26, 4, 3, 27], Payload(), population([26, 4, 3, 27]), "machines")
    assert conflicting_groups(groups) == [False, True, True, False]


def test_inferred_conflicts_are_the_error_set() -> None:
    found = Identified([60], [5], 0.0, {}, None, label_errors=[2, 3])
    groups = Groups([28, 2, 27, 3], Payload(), population([30, 0, 0, 30]), "machines", found)
    assert conflicting_groups(groups) == [False, True, False, True]


def test_losses_are_weighed_by_group() -> None:
    node = machine()
    lesson = REST().lesson(node, request(node))
    group = node.data.train.dataset.group
    assert lesson.terms is not None
    weighed = lesson.terms(torch.full((60,), 2.0), torch.arange(60))
    assert weighed.tolist() == [2 * [1.0, 3.0, 3.0, 1.0][number] for number in group.tolist()]
    assert lesson.weights.tolist() == [1] * 60  # drawn as by ERM


def outcome_of(**changes: Any) -> Any:
    settings = {"method": "rest", "groups": "true", "rest_density": 1, "robust": "federated", "averaging": "none"}
    return fedjtt.simulate(tiny_config(**{**settings, **changes}), tiny_splits())


def test_lambda_is_divided_by_the_mean_weight_over_all_machines() -> None:
    """8 of 60 conflict; with lambda 4 the mean weight is 84 / 60, so the objective is sum(w l) / sum(w).

    That is the loss of JTT's objective with each of them four times in the data: full batches show it.
    """
    whole: dict[str, Any] = {"batch_size": 0, "learning_rate_schedule": "constant", "robust_rounds": 3,
                             "robust_epochs": 3, "selection": "last", "robust": "central"}  # fmt: skip
    rest = outcome_of(rest_weight=4, **whole)
    splits = tiny_splits()
    conflicting = splits.train.label != splits.train.attribute
    copies = torch.cat([torch.arange(60), *[torch.nonzero(conflicting).flatten()] * 3])
    train = splits.train
    many = GroupedDataset(train.x[copies], train.label[copies], None, torch.arange(84), 2, 2)
    others = [GroupedDataset(part.x, part.label, None, part.id, 2, 2) for part in (splits.validation, splits.test)]
    copied = Splits(many, *others, splits.label_names, splits.attribute_names)
    erm = fedjtt.simulate(tiny_config(**{"method": "erm", "averaging": "none", **whole}), copied)
    np.testing.assert_allclose(rest.weights, erm.weights, atol=1e-5)
    assert rest.result["sparse"]["lambda"] == 4
    assert rest.result["sparse"]["conflicting-share"] == pytest.approx(8 / 60)


def test_lambda_is_obeyed() -> None:
    digests = {outcome_of(rest_weight=weight).result["digest"] for weight in (1, 4, 8)}
    assert len(digests) == 3


def test_auto_takes_the_share_that_was_found() -> None:
    about = outcome_of(rest_weight="auto").result["sparse"]
    assert about["lambda"] == pytest.approx(52 / 8)  # 13 % is beyond the table
    assert outcome_of(rest_weight=6.5).result["digest"] == outcome_of(rest_weight="auto").result["digest"]


@pytest.mark.parametrize("identify", ["local", "federated", "peers"])
def test_the_error_set_of_any_identification_serves(identify: str) -> None:
    result = outcome_of(groups="inferred", identify=identify, rest_density=0.2).result
    assert result["identification"]["error-set-size"] == pytest.approx(60 * result["sparse"]["conflicting-share"])
    assert result["config"]["groups"] == "inferred"


def test_groups_are_inferred_unless_it_is_said_otherwise() -> None:
    assert tiny_config(method="rest").groups == "inferred"
    assert tiny_config(method="rest").identifies
    assert not tiny_config(method="rest", groups="true").identifies
    assert tiny_config(method="balance").groups == "true"


def test_true_groups_that_nobody_knows_are_refused() -> None:
    config = tiny_config(method="rest", groups="true", selection="val-average")
    with pytest.raises(ConfigError, match="needs the attribute of every train example"):
        fedjtt.simulate(config, tiny_splits(known=False))
