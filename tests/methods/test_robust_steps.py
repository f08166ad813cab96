"""Steps and batches of the robust stage, by hand."""

from typing import Any

import pytest

from fedjtt.methods import robust_steps as module
from fedjtt.methods.robust_steps import batch_size_of, epochs_of, planned_steps
from tests.tiny import tiny_config


@pytest.mark.parametrize(
    ("settings", "size", "machines", "steps"),
    [
        ({"robust_epochs": 3, "batch_size": 10}, 100, 1, 30),
        ({"robust_epochs": 3, "batch_size": 10}, 105, 1, 32),  # ceil(31.5)
        ({"robust_epochs": 3, "batch_size": 10}, 100, 5, 6),  # each machine 3 passes over a fifth
        ({"robust_epochs": 3, "batch_size": 10, "robust_schedule": "same-updates"}, 100, 5, 30),
        ({"robust_epochs": 3, "batch_size": 1000}, 100, 1, 3),  # a batch is cut to the data
        ({"robust_epochs": 3, "batch_size": 1000}, 100, 5, 3),
        ({"robust_epochs": 2, "batch_size": 16}, 5, 20, 1),  # a quarter of an example a machine: ceil(.5)
        ({"robust_epochs": 0.25, "batch_size": 10}, 100, 1, 3),  # ceil(2.5)
        # scaled: 10 / 5 machines is less than the smallest batch, 4: ceil(3 * 20 / 4)
        ({"robust_epochs": 3, "batch_size": 10, "robust_schedule": "scaled"}, 100, 5, 15),
        # 20 / 2 = 10: as many steps as one machine's 3 * 100 / 20, on half the data each
        ({"robust_epochs": 3, "batch_size": 20, "robust_schedule": "scaled"}, 100, 2, 15),
        ({"robust_epochs": 3, "batch_size": 10, "robust_min_steps": 31}, 100, 1, 31),
        ({"robust_epochs": 3, "batch_size": 10, "robust_min_steps": 29}, 100, 1, 30),
        # half of the machines in a round, so that 5 of 10 share the passes
        ({"robust_epochs": 3, "batch_size": 10, "fraction_train": 0.5}, 100, 10, 6),
    ],
)
def test_planned_steps_by_hand(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], size: float, machines: int, steps: int
) -> None:
    monkeypatch.setattr(module, "SMALLEST_BATCH", 4)
    assert planned_steps(tiny_config(machines=machines, robust="federated", **settings), size) == steps


def test_central_training_takes_its_steps_whatever_the_number_of_machines() -> None:
    for schedule in ("same-epochs", "scaled", "same-updates"):
        config = tiny_config(machines=7, robust="central", robust_epochs=3, batch_size=10, robust_schedule=schedule)
        assert planned_steps(config, 100) == 30
        assert batch_size_of(config) == 10


@pytest.mark.parametrize(
    ("batch_size", "machines", "expected"),
    [(32, 4, 8), (32, 10, 4), (30, 4, 8), (3, 10, 3), (32, 1, 32)],  # 32/10 is below 4; 30/4 = 7.5 is rounded to even
)
def test_scaled_batches_are_together_as_large_as_one_of_central_training(
    monkeypatch: pytest.MonkeyPatch, batch_size: int, machines: int, expected: int
) -> None:
    monkeypatch.setattr(module, "SMALLEST_BATCH", 4)
    settings: dict[str, Any] = {"machines": machines, "robust": "federated", "batch_size": batch_size}
    assert batch_size_of(tiny_config(**settings, robust_schedule="scaled")) == expected
    assert batch_size_of(tiny_config(**settings, robust_schedule="same-epochs")) == batch_size
    # only those that train in a round share a batch: half of twice as many
    halved = tiny_config(**{**settings, "machines": 2 * machines}, robust_schedule="scaled", fraction_train=0.5)
    assert batch_size_of(halved) == expected


def test_a_step_may_have_all_examples() -> None:
    """Three epochs are three steps, on one machine and on five."""
    for machines in (1, 5):
        config = tiny_config(machines=machines, robust="federated", robust_epochs=3, batch_size=0)
        assert planned_steps(config, 100) == 3
        assert batch_size_of(config) == 0


@pytest.mark.parametrize(
    ("settings", "machines", "epochs"),
    [
        ({"batch_size": 10}, 1, 1.5),  # 15 steps of 10, of 100 examples
        ({"batch_size": 10}, 5, 7.5),  # on five machines
        ({"batch_size": 10, "robust": "central"}, 5, 1.5),
        ({"batch_size": 10, "fraction_train": 0.4}, 5, 3.0),  # on two of five
        ({"batch_size": 10, "robust_schedule": "scaled"}, 2, 2.4),  # batches of 8, the least: 15 * 2 * 8 / 100
        ({"batch_size": 1000}, 5, 15.0),  # a batch is cut to a machine's data
        ({"batch_size": 0}, 5, 15.0),
        ({"batch_size": 0, "fraction_train": 0.4}, 5, 6.0),
        ({"batch_size": 0, "robust": "central"}, 5, 15.0),
    ],
)
def test_epochs_after_15_steps_by_hand(settings: dict[str, Any], machines: int, epochs: float) -> None:
    assert epochs_of(tiny_config(**{"machines": machines, "robust": "federated", **settings}), 15, 100) == epochs
    assert epochs_of(tiny_config(machines=machines), 15, 0) == 0
