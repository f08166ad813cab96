"""Group accuracies from sums: by hand and by brute force over the examples."""

import random
from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest
import torch
from fairlearn.metrics import MetricFrame
from sklearn.metrics import accuracy_score
from torch import nn

from fedjtt.data.grouped import GroupedDataset
from fedjtt.errors import ConfigError
from fedjtt.evaluation import (
    EVALUATION_BATCH,
    GroupSums,
    feature_batches,
    features_of,
    group_sums,
    outputs_of,
    precision_recall,
    predict,
    scores,
    sums_of,
)
from fedjtt.models import build_model
from fedjtt.seeding import torch_generator
from tests.tiny import grouped


def sums(correct: list[int], count: list[int], attributes: int = 2) -> GroupSums:
    return GroupSums(torch.tensor(correct), torch.tensor(count), attributes)


def test_scores_by_hand() -> None:
    # Groups (0,0) 9/10, (0,1) 1/5, (1,0) 2/2, (1,1) 4/8. Classes: 10/15 and 6/10. All: 16/25.
    figures = scores(sums([9, 1, 2, 4], [10, 5, 2, 8]), [60, 20, 10, 10])
    assert figures["worst-group-accuracy"] == pytest.approx(0.2)
    assert figures["worst-class-accuracy"] == pytest.approx(0.6)
    assert figures["average-accuracy"] == pytest.approx(16 / 25)
    # .9 * .6 + .2 * .2 + 1 * .1 + .5 * .1
    assert figures["adjusted-average-accuracy"] == pytest.approx(0.54 + 0.04 + 0.1 + 0.05)
    assert figures["empty-groups"] == 0
    assert figures["groups"][1] == {"label": 0, "attribute": 1, "count": 5, "correct": 1}
    assert [(g["label"], g["attribute"]) for g in figures["groups"]] == [(0, 0), (0, 1), (1, 0), (1, 1)]


def test_aligned_and_conflicting_by_hand() -> None:
    """Train has most of label 0 with attribute 0 and of label 1 with attribute 1: (9 + 4) / 18 and (1 + 2) / 7."""
    figures = scores(sums([9, 1, 2, 4], [10, 5, 2, 8]), [60, 20, 10, 11])
    assert figures["aligned-accuracy"] == pytest.approx(13 / 18)
    assert figures["conflicting-accuracy"] == pytest.approx(3 / 7)
    assert scores(sums([9, 0, 0, 4], [10, 0, 0, 8]), [60, 20, 10, 11])["conflicting-accuracy"] is None
    assert scores(sums([9, 1, 2, 4], [10, 5, 2, 8]), None)["aligned-accuracy"] is None


def test_an_empty_group_is_listed_and_left_out() -> None:
    # Counted as accuracy 0, the empty group would be the worst; counted in the adjusted average, it would cost .3.
    figures = scores(sums([9, 0, 2, 4], [10, 0, 2, 8]), [60, 30, 5, 5])
    assert figures["groups"][1] == {"label": 0, "attribute": 1, "count": 0, "correct": 0}
    assert figures["empty-groups"] == 1
    assert figures["worst-group-accuracy"] == pytest.approx(0.5)
    assert figures["adjusted-average-accuracy"] == pytest.approx((0.9 * 60 + 1 * 5 + 0.5 * 5) / 70)


def test_a_class_without_examples_is_left_out_of_the_worst_class() -> None:
    figures = scores(sums([0, 0, 2, 4], [0, 0, 2, 8]), None)
    assert figures["worst-class-accuracy"] == pytest.approx(0.6)
    assert figures["adjusted-average-accuracy"] is None


def test_without_any_example_there_is_no_accuracy() -> None:
    figures = scores(sums([0] * 4, [0] * 4), [1] * 4)
    names = ("worst-group-accuracy", "worst-class-accuracy", "average-accuracy", "adjusted-average-accuracy")
    assert [figures[name] for name in names] == [None] * 4
    assert figures["empty-groups"] == 4


def test_train_groups_that_are_not_in_the_split_leave_no_adjusted_average() -> None:
    assert scores(sums([1, 0, 0, 0], [2, 0, 0, 0]), [0, 5, 5, 5])["adjusted-average-accuracy"] is None


def test_without_attributes_there_are_classes_only() -> None:
    figures = scores(sums([3, 1], [4, 4], attributes=0), None)
    assert figures["worst-group-accuracy"] is None
    assert figures["adjusted-average-accuracy"] is None
    assert figures["worst-class-accuracy"] == pytest.approx(0.25)
    assert figures["average-accuracy"] == pytest.approx(0.5)
    assert figures["groups"][1] == {"label": 1, "attribute": None, "count": 4, "correct": 1}


def random_data(count: int, labels: int = 3, attributes: int = 4) -> GroupedDataset:
    chance = torch.Generator().manual_seed(5)
    label = torch.randint(0, labels, (count,), generator=chance)
    return grouped(label, torch.randint(0, attributes, (count,), generator=chance), labels, attributes)


def test_sums_and_scores_are_those_of_brute_force() -> None:
    data = random_data(EVALUATION_BATCH + 137)
    model = build_model("mlp", (4,), 3, torch_generator(0, "weights"))
    model.vector.mul_(3)
    rows = torch.arange(3, len(data), 2)
    seen: dict[tuple[int, int], list[bool]] = defaultdict(list)
    assert data.attribute is not None
    for row in rows.tolist():
        with torch.no_grad():
            answer = int(model.module(data.x[row : row + 1]).argmax())
        seen[int(data.label[row]), int(data.attribute[row])].append(answer == int(data.label[row]))
    train_counts = list(range(1, 13))
    figures = scores(group_sums(model, data, rows), train_counts)
    for group in figures["groups"]:
        expected = seen[group["label"], group["attribute"]]
        assert (group["count"], group["correct"]) == (len(expected), sum(expected))
    accuracy = {group: sum(right) / len(right) for group, right in seen.items()}
    assert figures["worst-group-accuracy"] == pytest.approx(min(accuracy.values()))
    assert figures["average-accuracy"] == pytest.approx(sum(sum(right) for right in seen.values()) / len(rows))
    weights = {(index // 4, index % 4): weight for index, weight in enumerate(train_counts)}
    adjusted = sum(weights[group] * accuracy[group] for group in accuracy) / sum(weights[group] for group in accuracy)
    assert figures["adjusted-average-accuracy"] == pytest.approx(adjusted)


@pytest.mark.parametrize("seed", range(5))
def test_scores_are_fairlearns_also_with_an_empty_group(seed: int) -> None:
    """Over groups, over labels and in all; the empty group, which fairlearn lists as NaN, is left out by both."""
    data, chance = random_data(400), torch.Generator().manual_seed(seed)
    data = data.take((data.group != 6).nonzero().squeeze(1))  # label 1, attribute 2
    predicted = torch.randint(0, 3, (len(data),), generator=chance)
    figures = scores(sums_of(predicted == data.label, data, torch.arange(len(data))), None)
    assert data.attribute is not None
    by_group = {"label": data.label.numpy(), "attribute": data.attribute.numpy()}
    groups, classes = (
        MetricFrame(
            metrics=accuracy_score, y_true=data.label.numpy(), y_pred=predicted.numpy(), sensitive_features=features
        )
        for features in (by_group, by_group["label"])
    )
    ours = [group["correct"] / group["count"] if group["count"] else np.nan for group in figures["groups"]]
    theirs = [groups.by_group[group["label"], group["attribute"]] for group in figures["groups"]]
    np.testing.assert_allclose(ours, theirs, rtol=1e-15)
    assert np.flatnonzero(np.isnan(ours)).tolist() == [6]
    assert figures["worst-group-accuracy"] == pytest.approx(groups.group_min())
    assert figures["worst-class-accuracy"] == pytest.approx(classes.group_min())
    assert figures["average-accuracy"] == pytest.approx(groups.overall)


def test_the_worst_group_of_the_sums_is_not_the_mean_of_the_parts_worst_groups() -> None:
    # Part one: 0/1 and 9/9; part two: 9/9 and 0/1. Each part's worst group is 0; together both groups have 9/10.
    one, two = sums([0, 9], [1, 9], attributes=1), sums([9, 0], [9, 1], attributes=1)
    assert scores(one, None)["worst-group-accuracy"] == scores(two, None)["worst-group-accuracy"] == 0
    assert scores(one + two, None)["worst-group-accuracy"] == pytest.approx(0.9)


def test_sums_of_parts_are_the_sum_of_the_whole() -> None:
    data = random_data(300)
    model = build_model("mlp", (4,), 3, torch_generator(0, "weights"))
    order = list(range(300))
    random.Random(0).shuffle(order)
    parts = [group_sums(model, data, torch.tensor(sorted(order[start::7]))) for start in range(7)]
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    whole = group_sums(model, data, torch.arange(300))
    assert torch.equal(total.correct, whole.correct)
    assert torch.equal(total.count, whole.count)


def test_renaming_the_attributes_leaves_the_worst_group_alone() -> None:
    data = random_data(300)
    assert data.attribute is not None
    renamed = GroupedDataset(data.x, data.label, torch.tensor([2, 0, 3, 1])[data.attribute], data.id, 3, 4)
    model = build_model("mlp", (4,), 3, torch_generator(0, "weights"))
    first, second = (scores(group_sums(model, each, torch.arange(300)), None) for each in (data, renamed))
    for name in ("worst-group-accuracy", "average-accuracy", "worst-class-accuracy"):
        assert first[name] == second[name]


def test_predicting_nothing_gives_nothing() -> None:
    model = build_model("mlp", (4,), 3, torch_generator(0, "weights"))
    assert predict(model, random_data(5), torch.arange(0)).shape == (0,)


def test_precision_and_recall_by_hand() -> None:
    assert precision_recall(3, 4, 6) == (0.75, 0.5)
    assert precision_recall(0, 0, 6) == (None, 0.0)
    assert precision_recall(0, 4, 0) == (0.0, None)


@pytest.mark.parametrize(
    ("name", "width", "shape"), [("lenet", 84, (3, 28, 28)), ("mlp", 128, (4,)), ("logistic", 4, (4,))]
)
def test_features_are_what_the_last_layer_turns_into_the_outputs(name: str, width: int, shape: tuple[int, ...]) -> None:
    """For every model there is; in several batches; and the vector's end is that layer's weights and biases."""
    count = EVALUATION_BATCH + 7
    x = torch.randn(count, *shape, generator=torch.Generator().manual_seed(0))
    data = GroupedDataset(x, torch.arange(count) % 3, None, torch.arange(count), 3, 1)
    model = build_model(name, shape, 3, torch_generator(0, "weights"))
    rows = torch.arange(0, count, 2)
    found = features_of(model, data, rows)
    assert found.shape == (len(rows), width)
    tail = model.vector[-3 * (width + 1) :]
    expected = found @ tail[: 3 * width].view(3, width).T + tail[3 * width :]
    torch.testing.assert_close(expected, outputs_of(model, data, rows))
    assert features_of(model, data, rows[:0]).shape == (0, width)
    assert torch.equal(features_of(model, data, rows), found)  # the hook is gone


def test_features_of_a_model_without_a_linear_layer_at_its_end_are_refused() -> None:
    data = grouped([0, 1, 1])

    class Backwards(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.second, self.first = nn.Linear(5, 2), nn.Linear(4, 5)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.second(self.first(x))  # type: ignore[no-any-return]

    model = build_model(lambda shape, labels: Backwards(), (4,), 2, torch_generator(0, "weights"))  # noqa: ARG005
    with pytest.raises(ConfigError, match=r"outputs are not those of its last nn\.Linear"):
        features_of(model, data, torch.arange(3))


def with_kinds(data: GroupedDataset, kinds: int = 3) -> GroupedDataset:
    chance = torch.Generator().manual_seed(7)
    return replace(data, memberships=torch.rand(len(data), kinds, generator=chance) < 0.4)


def test_overlapping_kinds_are_those_of_brute_force_and_leave_the_averages_alone() -> None:
    """An example is counted in every kind that it is of, in none if it is of none, and once in the averages."""
    data = with_kinds(random_data(300))
    rows = torch.arange(1, 300, 2)
    correct = torch.rand(len(rows), generator=torch.Generator().manual_seed(2)) < 0.6
    assert data.memberships is not None
    figures = scores(sums_of(correct, data, rows), [1] * 12)
    accuracies = []
    for group in figures["overlapping-groups"]:
        inside = [
            place
            for place, row in enumerate(rows.tolist())
            if int(data.label[row]) == group["label"] and bool(data.memberships[row, group["kind"]])
        ]
        assert (group["count"], group["correct"]) == (len(inside), sum(bool(correct[place]) for place in inside))
        accuracies.append(group["correct"] / group["count"])
    assert len(accuracies) == 9
    assert figures["worst-group-accuracy"] == pytest.approx(min(accuracies))
    plain = scores(sums_of(correct, replace(data, memberships=None), rows), [1] * 12)
    assert {name: value for name, value in figures.items() if name in plain and name != "worst-group-accuracy"} == {
        name: value for name, value in plain.items() if name != "worst-group-accuracy"
    }


def test_sums_of_overlapping_kinds_add_up_over_parts() -> None:
    data = with_kinds(random_data(200))
    correct = torch.rand(200, generator=torch.Generator().manual_seed(3)) < 0.5
    halves = [torch.arange(0, 90), torch.arange(90, 200)]
    first, second = (sums_of(correct[rows], data, rows) for rows in halves)
    assert scores(first + second, None) == scores(sums_of(correct, data, torch.arange(200)), None)


def test_a_kind_without_examples_is_left_out() -> None:
    of_kinds = (torch.tensor([0, 3, 1, 0]), torch.tensor([0, 4, 2, 0]))
    figures = scores(GroupSums(torch.tensor([5, 5]), torch.tensor([6, 6]), 1, of_kinds), None)
    assert figures["worst-group-accuracy"] == pytest.approx(0.5)


def test_tokens_stay_whole_numbers_where_features_are_in_float64() -> None:
    tokens = torch.tensor([[3, 8, 0], [4, 0, 0]], dtype=torch.int32)
    data = GroupedDataset(tokens, torch.tensor([0, 1]), None, torch.arange(2), 2, 1)
    model = build_model("bag-of-embeddings", (3,), 2, torch_generator(0, "weights"))
    found = [each for _, each in feature_batches(model, data, torch.arange(2), torch.float64)]
    torch.testing.assert_close(found[0].float(), features_of(model, data, torch.arange(2)))
    assert found[0].dtype == torch.float64
