"""What a machine reports where the last layer is fitted anew: sums by hand, and nothing over too few rows."""

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from fedjtt.errors import ConfigError, ForgottenError
from fedjtt.evaluation import features_of
from fedjtt.methods.base import Node, NodeData, Part, Payload
from fedjtt.methods.cut import drawn
from fedjtt.methods.head import FEATURES, draw, features, moments, score, slope
from fedjtt.methods.subsets import EVERY
from tests.tiny import grouped, node_of, tiny_config, tiny_splits

WIDTH = 128


def ready(**changes: Any) -> Node:
    """A machine with 24 validation rows, six of each group, that has computed their features."""
    node = node_of(tiny_config(method="dfr", **changes), tiny_splits().validation)
    features(node, Payload({"weights": node.initial_model().vector.numpy().copy()}))
    return node


def with_ones(node: Node) -> torch.Tensor:
    found = torch.from_numpy(node.memo[FEATURES]).double()
    return torch.cat([found, torch.ones(len(found), 1, dtype=torch.float64)], dim=1)


def test_features_are_counted_by_group_and_stay() -> None:
    node = ready()
    part = node.data.validation
    reply = features(node, Payload({"weights": node.initial_model().vector.numpy().copy()}))
    assert reply.arrays == {}
    assert reply.numbers == {"count": [6, 6, 6, 6], "labels": 2, "width": WIDTH}
    expected = features_of(node.initial_model(), part.dataset, part.rows)
    assert torch.equal(torch.from_numpy(node.memo[FEATURES]), expected)
    assert features(ready(groups="class"), Payload({"weights": node.initial_model().vector.numpy()})).integers(
        "count"
    ) == [12, 12]


def test_without_attributes_only_classes_can_be_balanced() -> None:
    data = grouped([0, 1, 1])
    weights = {"weights": node_of(tiny_config(), data).initial_model().vector.numpy().copy()}
    with pytest.raises(ConfigError, match="no attribute of validation is known; set groups to class, or method to erm"):
        features(node_of(tiny_config(method="dfr"), data), Payload(weights))
    assert features(node_of(tiny_config(method="dfr", groups="class"), data), Payload(weights)).integers("count") == [
        1,
        2,
    ]


def test_moments_are_sums() -> None:
    node = ready()
    weights = np.array([0.5, 0.0, 1.0, 2.0])
    reply = moments(node, Payload({"group-weights": weights}))
    x = with_ones(node).numpy()
    group = node.data.validation.dataset.group.numpy()
    np.testing.assert_allclose(reply.arrays["total"], x.sum(axis=0))
    np.testing.assert_allclose(reply.arrays["squares"], (x**2).sum(axis=0))
    expected = sum(weights[g] * np.outer(row, row) for g, row in zip(group, x, strict=True))
    np.testing.assert_allclose(reply.arrays["gram"], expected)
    assert reply.integer("rows") == 24


def test_a_slope_is_the_summed_gradient_over_a_fits_subset() -> None:
    node = ready()
    heads = torch.randn(2, 3, 2, WIDTH + 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    limits = np.array([[EVERY] * 4, [EVERY // 2] * 4, [0, 0, 0, EVERY]])
    reply = slope(node, Payload({"heads": heads.numpy(), "limits": limits}, {"draws": [0, 4, 4]}))
    part, numbers = node.data.validation, drawn(node.data.validation.id, 0, [0, 4, 4])
    inside = numbers < torch.from_numpy(limits)[:, part.dataset.group]
    assert reply.integers("rows") == inside.sum(dim=1).tolist()
    assert reply.integers("rows")[::2] == [24, 6]
    for fit in range(3):
        for place in range(2):
            head = heads[place, fit].clone().requires_grad_()
            x, label = with_ones(node)[inside[fit]], part.dataset.label[inside[fit]]
            cross_entropy(x @ head.T, label, reduction="sum").backward()  # type: ignore[no-untyped-call]
            assert head.grad is not None
            np.testing.assert_allclose(reply.arrays["gradient"][place, fit], head.grad.numpy(), atol=1e-12)


def test_scores_are_counts_outside_the_subset() -> None:
    node = ready()
    part = node.data.validation
    always_1 = np.zeros((1, 2, WIDTH + 1))
    always_1[0, 1, -1] = 1.0
    limits = np.array([[EVERY, EVERY // 2, 0, 0]])
    reply = score(node, Payload({"heads": always_1, "limits": limits}, {"draws": [0]}))
    outside = drawn(part.id, 0, [0])[0] >= torch.from_numpy(limits)[0, part.dataset.group]
    count = torch.bincount(part.dataset.group[outside], minlength=4).tolist()
    assert reply.arrays["count"].tolist() == count
    assert count[0] == 0
    assert count[2:] == [6, 6]
    assert reply.arrays["correct"].tolist() == [[0, 0, 6, 6]]


def test_draws_count_every_row_once() -> None:
    counts = draw(ready(), Payload({"prefix": np.zeros((3, 4), np.int64)}, {"draws": [0, 1, 2], "level": 0})).arrays
    assert counts["counts"].sum(axis=2).tolist() == [[6] * 4] * 3


def test_a_machine_that_has_restarted_says_so() -> None:
    node = ready()
    node.memo.clear()
    with pytest.raises(ForgottenError, match="has forgotten what the last layer sees"):
        moments(node, Payload({"group-weights": np.ones(4)}))


def test_a_machine_without_validation_rows_adds_nothing() -> None:
    config, data = tiny_config(method="dfr"), tiny_splits().validation
    nothing = Part(data, torch.zeros(0, dtype=torch.int64))
    node = Node(0, 1, config, NodeData(nothing, nothing, nothing), {})
    told = features(node, Payload({"weights": node.initial_model().vector.numpy().copy()}))
    assert told.integers("count") == [0] * 4
    assert not moments(node, Payload({"group-weights": np.ones(4)})).arrays["gram"].any()
    heads = {"heads": np.ones((2, 1, 2, WIDTH + 1)), "limits": np.full((1, 4), EVERY)}
    reply = slope(node, Payload(heads, {"draws": [0]}))
    assert reply.integers("rows") == [0]
    assert not reply.arrays["gradient"].any()
    assert score(node, Payload({**heads, "heads": heads["heads"][0]}, {"draws": [0]})).arrays["count"].sum() == 0


@pytest.mark.parametrize(("min_count", "rows"), [(24, 24), (25, 0)])
def test_of_own_rows_no_sum_is_over_fewer_than_min_count(min_count: int, rows: int) -> None:
    """The rule of the first exchange's moments, for machines with rows of their own; counts may be of any size."""
    node = ready()
    node.config = tiny_config(
        method="dfr", dataset="csv", schema_file="s.toml", robust="federated", min_count=min_count, batch_size=4
    )
    reply = moments(node, Payload({"group-weights": np.ones(4)}))
    assert reply.integer("rows") == rows
    assert bool(reply.arrays["total"].any()) == bool(reply.arrays["gram"].any()) == bool(rows)
    request = {"heads": np.ones((1, 2, 2, WIDTH + 1)), "limits": np.array([[EVERY] * 4, [EVERY, 0, 0, 0]])}
    told = slope(node, Payload(request, {"draws": [0, 0]}))
    assert told.integers("rows") == [rows, 0]  # six rows are too few in both cases
    assert not told.arrays["gradient"][:, 1].any()
