"""Group accuracies over whoever holds the split."""

import numpy as np
import pytest
import torch

from fedjtt.methods.assess import SPLITS, assess, assess_weights
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
