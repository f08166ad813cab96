"""The estimated F1 of an error set: exact where its assumptions hold, 0 where nothing can be said."""

from typing import Any

import pytest

from fedjtt.inference.selection import estimated_f1


def group(label: int, attribute: int, count: int, correct: int) -> dict[str, Any]:
    return {"label": label, "attribute": attribute, "count": count, "correct": correct}


@pytest.mark.parametrize(
    ("minority", "alarms", "recall"), [(0.1, 0.02, 0.9), (0.25, 0.1, 0.6), (0.01, 0.0, 1.0), (0.5, 0.3, 0.4)]
)
def test_it_is_the_true_f1_where_train_errs_like_validation(minority: float, alarms: float, recall: float) -> None:
    """Of 10,000 train examples a share is minority, of which `recall` is called wrong, and of the rest `alarms`.

    Validation has 1,000 of every group and the same rates, whatever its own share of the minority is; label 0 goes by
    attribute 0, label 1 by attribute 1.
    """
    found, false = 10_000 * minority * recall, 10_000 * (1 - minority) * alarms
    precision = found / (found + false)
    good, bad = round(1000 * (1 - alarms)), round(1000 * (1 - recall))
    groups = [group(0, 0, 1000, good), group(0, 1, 1000, bad), group(1, 0, 1000, bad), group(1, 1, 1000, good)]
    f1 = 2 * precision * recall / (precision + recall)
    assert estimated_f1(groups, (found + false) / 10_000) == pytest.approx(f1)


def test_several_attributes_and_uneven_labels_by_hand() -> None:
    """Label 0: best .9, others .5 and .3; label 1: best .8, others .4 and .2.

    f = (.1 + .2) / 2 = .15, r = (.6 + .7) / 2 = .65; with e = .2: m = .05 / .5 = .1, precision = .065 / .2 = .325,
    F1 = 2 * .325 * .65 / .975 = 13/30. Counts are no weights: an accuracy is one, of however many examples.
    """
    groups = [
        group(0, 0, 10, 5), group(0, 1, 10, 9), group(0, 2, 100, 30),
        group(1, 0, 5, 4), group(1, 1, 5, 2), group(1, 2, 5, 1),
    ]  # fmt: skip
    assert estimated_f1(groups, 0.2) == pytest.approx(13 / 30)
    assert estimated_f1(groups[::-1], 0.2) == pytest.approx(13 / 30)


def test_a_label_with_one_attribute_says_nothing() -> None:
    known = [group(0, 0, 10, 10), group(0, 1, 10, 0)]
    lonely = [group(1, 0, 10, 3), group(1, 1, 0, 0)]
    assert estimated_f1([*known, *lonely], 0.1) == estimated_f1(known, 0.1) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("groups", "share"),
    [
        ([], 0.1),
        ([group(0, 0, 10, 9), group(1, 0, 10, 9)], 0.1),  # one attribute only
        ([group(0, None, 10, 9), group(1, None, 10, 8)], 0.1),  # type: ignore[arg-type]
        ([group(0, 0, 10, 9), group(0, 1, 10, 2)], 0.0),  # nothing is called wrong
        ([group(0, 0, 10, 6), group(0, 1, 10, 6)], 0.4),  # the model does not go by the attribute
        ([group(0, 0, 10, 9), group(0, 1, 10, 2)], 0.05),  # fewer errors than false alarms alone: no minority
    ],
)
def test_where_nothing_can_be_said_it_is_zero(groups: list[dict[str, Any]], share: float) -> None:
    assert estimated_f1(groups, share) == 0.0


def test_more_errors_than_a_minority_could_make_are_all_minority() -> None:
    # f = 0, r = .5: .8 of train called wrong would need m = 1.6; m = 1 makes precision .5 / .8 and F1 5/9.
    groups = [group(0, 0, 10, 10), group(0, 1, 10, 5)]
    precision = 0.5 / 0.8
    assert estimated_f1(groups, 0.8) == pytest.approx(2 * precision * 0.5 / (precision + 0.5))
