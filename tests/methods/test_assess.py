"""Group accuracies over whoever holds the split."""

import numpy as np
import pytest
import torch

from fedjtt.errors import ConfigError, ForgottenError
from fedjtt.methods.assess import REFERRED, SPLITS, assess, assess_weights, ranked, refer, reference_score
from fedjtt.methods.base import Payload
from tests.tiny import node_of, parts_of_a_run, tiny_config, tiny_splits


def weights(scale: float = 1.0) -> np.ndarray:
    vector = node_of(tiny_config(), tiny_splits().train).initial_model().vector
    return (vector * scale).numpy().copy()


def test_a_machine_reports_sums_for_the_weights_that_it_is_sent() -> None:
    data = tiny_splits().train
    node = node_of(tiny_config(), data, torch.arange(0, 60, 2))
    for scale in (1.0, -1.0):
        answer = assess(node, Payload({"weights": weights(scale)}, {"split": SPLITS.index("train")}))
        model = node.load(weights(scale))
        with torch.no_grad():
            right = model.module(data.x[::2]).argmax(1) == data.label[::2]
        assert answer.integers("count") == [int((data.group[::2] == group).sum()) for group in range(4)]
        assert answer.integers("correct") == [int(right[data.group[::2] == group].sum()) for group in range(4)]
        assert answer.integer("attributes") == 2


@pytest.mark.parametrize("machines", [1, 3, 40])
def test_machines_add_up_to_what_the_server_sees(machines: int) -> None:
    """Also with more machines than test examples (24): some hold none."""
    splits = tiny_splits()
    answers = []
    for place in ("server", "machines"):
        config = tiny_config(evaluation_at=place, machines=machines)
        strategy, grid = parts_of_a_run(config, splits)
        strategy.talk.machines_grid = grid
        answers.append(assess_weights(strategy, weights(), "test", [1, 2, 3, 4]))
        assert (strategy.traffic["evaluate"].received > 0) == (place == "machines")
    assert answers[0] == answers[1]
    assert sum(group["count"] for group in answers[0]["groups"]) == 24


def test_machines_own_counts_are_listed_where_they_are_evaluated() -> None:
    splits = tiny_splits()
    for place in ("server", "machines"):
        strategy, grid = parts_of_a_run(tiny_config(evaluation_at=place, machines=3), splits)
        strategy.talk.machines_grid = grid
        figures = assess_weights(strategy, weights(), "test", None, by_machine=True)
        assert ("machines" in figures) == (place == "machines")
    assert [each["machine"] for each in figures["machines"]] == [0, 1, 2]
    for name in ("count", "correct"):
        columns = zip(*(each[name] for each in figures["machines"]), strict=True)
        assert [sum(column) for column in columns] == [group[name] for group in figures["groups"]]


@pytest.mark.parametrize(
    ("correct", "count", "score"),
    [
        ([90, 10, 20, 45], [100, 20, 30, 50], 0.5),  # .9 .5 .67 .9
        ([90, 0, 20, 45], [100, 9, 30, 50], 20 / 30),  # nine examples are too few to judge by
        ([90, 0, 20, 45], [100, 10, 30, 50], 0.0),
        ([9, 1, 2, 0], [9, 2, 3, 0], 0.5),  # all groups are small: all count, but an empty one has no accuracy
        ([0, 0, 0, 0], [0, 0, 0, 0], None),
    ],
)
def test_the_reference_score_by_hand(correct: list[int], count: list[int], score: float | None) -> None:
    assert reference_score(correct, count) == (None if score is None else pytest.approx(score))


def test_counts_by_label_and_the_references_prediction() -> None:
    """A reference whose last bias is huge says 1 for every example; without weights it says 0."""
    node = node_of(tiny_config(), tiny_splits().validation)
    sure = weights(0.0)
    sure[-1] = 100.0
    wanted = Payload({"weights": weights()}, {"split": SPLITS.index("validation"), "by-reference": 1})
    with pytest.raises(ForgottenError):
        assess(node, wanted)
    right = assess(node, Payload({"weights": weights()}, {"split": 1})).integers("correct")
    for reference, column in ((sure, 1), (sure[:0], 0)):
        assert refer(node, Payload({"weights": reference})) == Payload()
        assert node.memo[REFERRED].tolist() == [column] * 24
        told = assess(node, wanted)
        expected = [0] * 4
        expected[column], expected[2 + column] = right[0] + right[1], right[2] + right[3]  # both attributes of a label
        assert told.integers("reference-correct") == expected
        assert [told.integers("reference-count")[place] for place in (column, 2 + column)] == [12, 12]
        assert told.integers("correct") == right


def test_what_a_round_is_selected_by_and_when_nothing_can_select() -> None:
    figures = {"worst-group-accuracy": None, "average-accuracy": 0.7, "bias-unsupervised-score": 0.2}
    assert ranked(tiny_config(selection="val-bias-unsupervised"), figures) == (0.2, 0.7)
    with pytest.raises(ConfigError, match="no examples with known groups; use val-worst-class, val-average, val-bias"):
        ranked(tiny_config(selection="val-worst-group"), figures)
    with pytest.raises(ConfigError, match="validation has no examples; use last"):
        ranked(tiny_config(selection="val-average"), {"average-accuracy": None})
