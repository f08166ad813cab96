"""Local identification: every machine on its own, counts and ids."""

import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from fedjtt.cache import StageCache
from fedjtt.config import RunConfig
from fedjtt.data.grouped import majority_attribute, minority_mask
from fedjtt.methods import identify_local as module
from fedjtt.methods.base import Payload
from fedjtt.methods.census import count_population
from fedjtt.methods.identify_local import (
    LOCAL_KEYS,
    error_mask,
    identification_steps,
    identify,
    identify_locally,
    local_steps,
)
from fedjtt.provide import spread
from tests.tiny import node_of, parts_of_a_run, tiny_config, tiny_splits


@pytest.mark.parametrize(
    ("epochs", "examples", "batch", "steps"),
    [(2, 100, 10, 20), (2, 101, 10, 22), (1, 5, 8, 1), (3, 5, 8, 3), (1, 1, 1, 1)],
)
def test_steps_by_hand(epochs: int, examples: int, batch: int, steps: int) -> None:
    assert identification_steps(epochs, examples, batch) == steps


def test_same_updates_takes_the_steps_of_one_machine_with_everything() -> None:
    data = tiny_splits().train
    request = Payload(numbers={"examples": 60})
    part = torch.arange(20)
    same_epochs = node_of(tiny_config(identify_batch_size=8), data, part)
    same_updates = node_of(tiny_config(identify_batch_size=8, identify_schedule="same-updates"), data, part)
    assert local_steps(same_epochs, request) == 3  # ceil(20 / 8)
    assert local_steps(same_updates, request) == 8  # ceil(60 / 8)


def stages(config: RunConfig, cache: StageCache | None = None) -> Any:
    strategy, grid = parts_of_a_run(config, tiny_splits(), cache=cache)
    strategy._machines_grid = grid
    return identify_locally(strategy, count_population(strategy, "machines"))


def test_the_union_and_the_counts_are_those_of_the_machines() -> None:
    splits, config = tiny_splits(), tiny_config()
    found = stages(config)
    request = Payload(numbers={"examples": 60})
    minority = minority_mask(splits.train, majority_attribute(splits.train))
    ids: set[int] = set()
    for number, data in enumerate(spread(splits, config)):
        node = node_of(config, splits.train, data.train.rows, number, 3)
        mask, _ = error_mask(node, local_steps(node, request))
        wrong = data.train.rows[mask]
        ids |= set(wrong.tolist())
        hit, all_minority = int(minority[wrong].sum()), int(minority[data.train.rows].sum())
        report = found.report["machines"][number]
        assert (report["samples"], report["error-set-size"], report["minority"]) == (20, len(wrong), all_minority)
        assert report["recall"] == (hit / all_minority if all_minority else None)
        assert report["precision"] == (hit / len(wrong) if len(wrong) else None)
    assert found.ids is not None
    assert found.ids.tolist() == sorted(ids)
    hits = int(minority[found.ids].sum())
    assert found.report["error-set-size"] == len(ids) == sum(found.errors) > 0
    assert (found.report["precision"], found.report["recall"]) == (hits / len(ids), hits / 8)


def test_federated_finds_the_same_and_names_nobody() -> None:
    central, federated = stages(tiny_config()), stages(tiny_config(robust="federated"))
    assert federated.ids is None
    assert federated.errors == central.errors
    strip = ["samples", "error-set-size", "precision", "recall"]
    for one, other in zip(central.report["machines"], federated.report["machines"], strict=True):
        assert [one[key] for key in strip] == [other[key] for key in strip]


def test_seconds_are_the_sum_and_the_slowest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_train_and_split", lambda node, _: (torch.ones(20).bool(), 1.0 + node.partition_id))
    assert stages(tiny_config()).seconds == {"sum": 6.0, "slowest": 3.0}


def test_the_attribute_is_only_read_to_count() -> None:
    """Machines that know no attribute make the same error set."""
    request = Payload(numbers={"examples": 60})
    data = tiny_splits().train
    known, unknown = node_of(tiny_config(), data), node_of(tiny_config(), replace(data, attribute=None))
    with_majority = Payload(numbers={"examples": 60, "majority": [0, 1]})
    first, second = identify(known, with_majority), identify(unknown, request)
    np.testing.assert_array_equal(first.arrays["error-ids"], second.arrays["error-ids"])
    assert "minority" in first.numbers
    assert "minority" not in second.numbers


@pytest.fixture
def trainings(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    done: list[int] = []
    original = module._train_and_split

    def counting(node: Any, steps: int) -> Any:
        done.append(node.partition_id)
        return original(node, steps)

    monkeypatch.setattr(module, "_train_and_split", counting)
    return done


def test_a_cache_is_shared_by_all_that_cannot_change_the_stage(tmp_path: Any, trainings: list[int]) -> None:
    cache = StageCache(tmp_path)
    first = stages(tiny_config(), cache)
    assert trainings == [0, 1, 2]
    same: list[dict[str, Any]] = [
        {"robust": "federated"}, {"upsample": 7}, {"upsample_convention": "extra"}, {"aggregator": "fedmedian"},
        {"learning_rate": 0.5}, {"robust_epochs": 3}, {"selection": "last"}, {"evaluation_at": "machines"},
    ]  # fmt: skip
    for changes in same:
        again = stages(tiny_config(**changes), cache)
        assert again.errors == first.errors
        assert again.seconds == first.seconds  # what finding them cost, not what reading the cache costs
    assert trainings == [0, 1, 2]


@pytest.mark.parametrize(
    "changes",
    [{"seed": 1}, {"machines": 4}, {"partition": "label-dirichlet"}, {"identify_epochs": 2}, {"identify_batch_size": 4},
     {"identify_learning_rate": 0.5}, {"identify_weight_decay": 0.5}, {"identify_schedule": "same-updates"},
     {"momentum": 0.5}, {"model": "mlp", "difficulty": "small"}],
    ids=str,
)  # fmt: skip
def test_a_cache_is_not_shared_where_the_stage_differs(
    tmp_path: Any, trainings: list[int], changes: dict[str, Any]
) -> None:
    cache = StageCache(tmp_path)
    stages(tiny_config(), cache)
    trainings.clear()
    stages(tiny_config(**changes), cache)
    assert len(trainings) == changes.get("machines", 3)


def test_the_key_names_keys_that_exist() -> None:
    assert set(LOCAL_KEYS) <= set(RunConfig.keys())


def test_cpu_seconds_are_measured() -> None:
    started = time.thread_time()
    found = stages(tiny_config())
    assert 0 < found.seconds["slowest"] <= found.seconds["sum"] <= time.thread_time() - started
