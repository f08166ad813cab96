"""The corners: every one has a defined result, says what is odd, and crashes nowhere."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

import fedjtt
from fedjtt.data.grouped import Splits
from fedjtt.errors import ConfigError, DivergedError
from fedjtt.methods import identify_local
from tests.tiny import a_try, grouped, tiny_config, tiny_splits

BOTH = pytest.mark.parametrize("robust", ["central", "federated"])


def sound(result: dict[str, Any]) -> dict[str, Any]:
    for split in ("validation", "test"):
        for name in ("worst-group-accuracy", "average-accuracy"):
            assert 0 <= result[split][name] <= 1
        assert result[split]["worst-group-accuracy"] <= result[split]["average-accuracy"]
    return result


def pretend(monkeypatch: pytest.MonkeyPatch, wrong: bool) -> None:
    def answer(node: Any, schedule: Any) -> Any:  # noqa: ARG001
        return a_try(torch.full((len(node.data.train),), wrong))

    monkeypatch.setattr(identify_local, "_train_and_split", answer)


@BOTH
def test_an_empty_error_set(monkeypatch: pytest.MonkeyPatch, robust: str) -> None:
    pretend(monkeypatch, False)
    result = sound(fedjtt.simulate(tiny_config(robust=robust), tiny_splits()).result)
    found = result["identification"]
    assert (found["error-set-size"], found["precision"], found["recall"], found["upsample-factor"]) == (0, None, 0.0, 1)
    assert result["notes"] == ["the error set is empty: robust training is plain ERM; identify for fewer epochs"]
    erm = fedjtt.simulate(tiny_config(robust=robust, method="erm"), tiny_splits()).result
    assert erm["digest"] == result["digest"]


@BOTH
def test_everything_wrong(monkeypatch: pytest.MonkeyPatch, robust: str) -> None:
    pretend(monkeypatch, True)
    result = sound(fedjtt.simulate(tiny_config(robust=robust), tiny_splits()).result)
    found = result["identification"]
    assert (found["error-set-size"], found["recall"], found["upsample-factor"], found["nominal"]) == (60, 1.0, 1, 0.0)
    assert found["precision"] == pytest.approx(8 / 60)
    assert [note for note in result["notes"] if note.startswith("every example is called wrong")]


@BOTH
@pytest.mark.parametrize("method", ["erm", "jtt", "group-balanced"])
def test_machines_that_lack_a_class(robust: str, method: str) -> None:
    """Even rows are label 0, odd ones label 1: two machines of one class each, and one that has both."""
    rows = [torch.arange(0, 40, 2), torch.arange(1, 40, 2), torch.arange(40, 60)]
    result = sound(fedjtt.simulate(tiny_config(robust=robust, method=method), tiny_splits(), rows).result)
    if method == "jtt":
        assert [machine["samples"] for machine in result["identification"]["machines"]] == [20, 20, 20]


@BOTH
def test_more_machines_than_minority_examples(robust: str) -> None:
    """Two minority examples, so at most two of twenty machines have one: the others have no recall to speak of."""
    result = sound(fedjtt.simulate(tiny_config(machines=20, robust=robust), tiny_splits(minority=2)).result)
    found = result["identification"]
    assert found["minority"] == 2
    held = [machine["minority"] for machine in found["machines"]]
    assert sum(held) == 2
    assert all((machine["recall"] is None) == (machine["minority"] == 0) for machine in found["machines"])


@BOTH
def test_a_machine_for_every_example(robust: str) -> None:
    result = sound(fedjtt.simulate(tiny_config(machines=60, robust=robust), tiny_splits()).result)
    assert [machine["samples"] for machine in result["identification"]["machines"]] == [1] * 60


def test_more_machines_than_examples_is_refused() -> None:
    with pytest.raises(ConfigError, match="machines is 61; give a number from 1 to the 60 train samples"):
        fedjtt.simulate(tiny_config(machines=61), tiny_splits())


@BOTH
def test_a_train_set_without_any_minority(robust: str) -> None:
    result = sound(fedjtt.simulate(tiny_config(robust=robust), tiny_splits(minority=0)).result)
    found = result["identification"]
    assert (found["minority"], found["recall"]) == (0, None)


@BOTH
@pytest.mark.parametrize("place", ["server", "machines"])
def test_a_group_without_examples_in_test(robust: str, place: str) -> None:
    splits = tiny_splits()
    absent = splits.test.take((splits.test.group != 2).nonzero().flatten())
    data = Splits(splits.train, splits.validation, absent, ("0", "1"), ("0", "1"))
    result = fedjtt.simulate(tiny_config(robust=robust, evaluation_at=place), data).result
    groups = result["test"]["groups"]
    assert groups[2] == {"label": 1, "attribute": 0, "count": 0, "correct": 0}
    accuracies = [group["correct"] / group["count"] for group in groups if group["count"]]
    assert result["test"]["worst-group-accuracy"] == pytest.approx(min(accuracies))
    assert "test: 1 groups have no example; they have no accuracy" in result["notes"]


def test_an_empty_test_set_has_no_accuracy() -> None:
    splits = tiny_splits()
    data = Splits(splits.train, splits.validation, splits.test.take([]), ("0", "1"), ("0", "1"))
    result = fedjtt.simulate(tiny_config(), data).result
    assert result["test"]["worst-group-accuracy"] is None
    assert result["test"]["average-accuracy"] is None


@BOTH
@pytest.mark.parametrize("method", ["erm", "jtt", "group-balanced"])
def test_a_batch_larger_than_a_machines_data(robust: str, method: str) -> None:
    config = tiny_config(robust=robust, method=method, batch_size=500, identify_batch_size=500)
    result = sound(fedjtt.simulate(config, tiny_splits()).result)
    assert "robust-rounds is 2, but a machine takes 1 steps in all: 1 rounds were made" in result["notes"]


@BOTH
def test_machines_of_very_different_size(robust: str) -> None:
    """The smallest has one example, less than a batch: it takes as many steps as the others, on that one."""
    rows = [torch.arange(0, 1), torch.arange(1, 10), torch.arange(10, 60)]
    result = sound(fedjtt.simulate(tiny_config(robust=robust, batch_size=4), tiny_splits(), rows).result)
    assert [machine["samples"] for machine in result["identification"]["machines"]] == [1, 9, 50]


def test_one_label_only_is_learned_at_once() -> None:
    parts = [grouped(torch.zeros(20), torch.arange(20) % 2, labels=1, seed=seed) for seed in range(3)]
    result = fedjtt.simulate(tiny_config(), Splits(*parts, ("0",), ("0", "1"))).result
    assert result["test"]["worst-group-accuracy"] == 1.0
    assert result["identification"]["error-set-size"] == 0


@BOTH
@pytest.mark.parametrize("workers", [1, 2])
def test_a_loss_that_is_not_finite_says_stage_machine_and_round(robust: str, workers: int) -> None:
    config = tiny_config(robust=robust, method="erm", learning_rate=1e30, batch_size=2, workers=workers)
    with pytest.raises(DivergedError, match=r"^robust stage, round \d, machine \d: (the loss became|a weight became)"):
        fedjtt.simulate(config, tiny_splits())
    with pytest.raises(DivergedError, match=r"^identify stage, machine 0: (the loss became|a weight became)"):
        fedjtt.simulate(tiny_config(identify_learning_rate=1e30, robust=robust, workers=workers), tiny_splits())


def test_figures_that_are_none_survive_without_attributes() -> None:
    result = fedjtt.simulate(tiny_config(selection="val-average"), tiny_splits(known=False)).result
    for split in ("validation", "test"):
        assert result[split]["worst-group-accuracy"] is None
        assert result[split]["adjusted-average-accuracy"] is None
        assert 0 <= result[split]["worst-class-accuracy"] <= 1
    assert result["identification"]["precision"] is None
    assert np.isfinite(result["identification"]["error-set-size"])


@BOTH
@pytest.mark.parametrize("degree", [0.9, 1.0])
def test_machines_with_one_label_and_a_label_that_nobody_has(robust: str, degree: float) -> None:
    """Full correction rules out what a machine has not: its shift is minus infinity, and the result finite."""
    splits = tiny_splits()
    three = Splits(
        *(replace(part, num_labels=3) for part in (splits.train, splits.validation, splits.test)),
        ("0", "1", "2"), ("0", "1"),
    )  # fmt: skip
    rows = [torch.arange(0, 40, 2), torch.arange(1, 40, 2), torch.arange(40, 60)]
    config = tiny_config(
        robust=robust, identify="federated", identify_label_correction=degree, identify_optimizer="adamw"
    )
    done = fedjtt.simulate(config, three, rows)
    sound(done.result)
    assert np.isfinite(done.weights).all()
