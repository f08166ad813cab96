"""Local identification: every machine on its own, counts and ids."""

import math
import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from fedjtt.cache import StageCache
from fedjtt.config import RunConfig
from fedjtt.data.grouped import majority_attribute, minority_mask
from fedjtt.errors import DivergedError
from fedjtt.evaluation import outputs_of
from fedjtt.methods import identify_local as module
from fedjtt.methods.averaging import running_mean
from fedjtt.methods.base import Payload
from fedjtt.methods.census import count_population
from fedjtt.methods.identify_local import (
    IDENTIFY_KEYS,
    OWN_MODEL,
    find_own,
    gentler,
    identification_steps,
    identify,
    identify_locally,
    schedule_for,
    train_span,
)
from fedjtt.provide import spread
from fedjtt.training import Span, TrainSettings
from tests.tiny import a_try, node_of, parts_of_a_run, tiny_config, tiny_splits


@pytest.mark.parametrize(
    ("epochs", "examples", "batch", "steps"),
    [(2, 100, 10, 20), (2, 101, 10, 22), (1, 5, 8, 1), (3, 5, 8, 3), (1, 1, 1, 1)],
)
def test_steps_by_hand(epochs: int, examples: int, batch: int, steps: int) -> None:
    assert identification_steps(epochs, examples, batch) == steps


def test_same_updates_takes_the_steps_of_one_machine_with_everything() -> None:
    config = tiny_config(identify_batch_size=8)
    assert schedule_for(config, 20, 60).steps == 3  # ceil(20 / 8)
    assert schedule_for(config.replace(identify_schedule="same-updates"), 20, 60).steps == 8  # ceil(60 / 8)


def test_small_parts_take_no_fewer_than_the_least_steps() -> None:
    config = tiny_config(identify_batch_size=8, identify_epochs=4, identify_min_steps=12)
    assert schedule_for(config, 8, 60).steps == 12
    assert schedule_for(config, 32, 60).steps == 16  # 4 passes of 32 / 8


@pytest.mark.parametrize(
    ("examples", "batch", "steps", "rate", "warm_up"),
    [
        (60, 32, 4, 0.1, 0.0),  # all the data: nothing is scaled; 2 passes of ceil(60 / 32)
        (30, 16, 4, 0.1 * math.sqrt(1 / 2), 0.1),  # half the data, half the batch, as many steps
        (15, 8, 4, 0.1 * math.sqrt(1 / 4), 0.1),
        (6, 8, 2, 0.1 * math.sqrt(1 / 4), 0.1),  # round(3.2) is below the smallest batch, 8; a pass is one step of 6
    ],
)
def test_a_scaled_schedule_by_hand(examples: int, batch: int, steps: int, rate: float, warm_up: float) -> None:
    """The batch shrinks with the share of the data, the rate with the root of the batch."""
    config = tiny_config(
        identify_schedule="scaled", identify_batch_size=32, identify_learning_rate=0.1, identify_epochs=2
    )
    schedule = schedule_for(config, examples, 60)
    assert (schedule.batch_size, schedule.steps) == (batch, steps)
    assert schedule.settings.learning_rate == pytest.approx(rate)
    assert schedule.settings.warm_up == warm_up
    longer = schedule_for(config.replace(identify_warm_up=0.3), examples, 60)
    assert longer.settings.warm_up == 0.3


def test_a_scaled_batch_never_grows() -> None:
    config = tiny_config(identify_schedule="scaled", identify_batch_size=4, identify_learning_rate=0.1)
    schedule = schedule_for(config, 6, 60)
    assert (schedule.batch_size, schedule.settings.learning_rate, schedule.settings.warm_up) == (4, 0.1, 0.0)


def test_the_schedule_says_what_the_config_says() -> None:
    config = tiny_config(
        identify_learning_rate=0.2, momentum=0.5, identify_weight_decay=0.25, identify_warm_up=0.5,
        identify_clip_norm=3.0, identify_objective="gce", identify_optimizer="adamw",
    )  # fmt: skip
    expected = TrainSettings(
        0.2, 0.5, 0.25, "warm-up", warm_up=0.5, clip_norm=3.0, objective="gce", optimizer="adamw"
    )  # fmt: skip
    assert schedule_for(config, 20, 60).settings == expected


@pytest.mark.parametrize(("given", "used"), [(0.0, 1.0), (0.5, 0.5), (4.0, 1.0)])
def test_the_second_try_is_gentler(given: float, used: float) -> None:
    """A quarter of the rate, and gradients of length 1 at most; everything else as it was."""
    first = schedule_for(tiny_config(identify_learning_rate=0.2, identify_clip_norm=given), 20, 60)
    settings = replace(first.settings, learning_rate=0.05, clip_norm=used)
    assert gentler(first) == replace(first, settings=settings)


def stages(config: RunConfig, cache: StageCache | None = None) -> Any:
    strategy, grid = parts_of_a_run(config, tiny_splits(), cache=cache)
    strategy.talk.machines_grid = grid
    return identify_locally(strategy, count_population(strategy, "machines"))


def test_the_union_and_the_counts_are_those_of_the_machines() -> None:
    splits, config = tiny_splits(), tiny_config()
    found = stages(config)
    minority = minority_mask(splits.train, majority_attribute(splits.train))
    ids: set[int] = set()
    for number, data in enumerate(spread(splits, config)):
        node = node_of(config, splits.train, data.train.rows, number, 3)
        mask = find_own(node, 60).mask
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
    monkeypatch.setattr(
        module, "_train_and_split", lambda node, _: a_try(torch.ones(20).bool(), seconds=1.0 + node.partition_id)
    )
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

    def counting(node: Any, schedule: Any) -> Any:
        done.append(node.partition_id)
        return original(node, schedule)

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
     {"momentum": 0.5}, {"model": "mlp", "difficulty": "small"}, {"identify_min_steps": 9}, {"identify_warm_up": 0.5},
     {"identify_clip_norm": 0.1}, {"identify_objective": "gce"}, {"identify_split": "eiil"},
     {"identify_stop": "stable"}, {"identify_optimizer": "adamw"}, {"identify_averaging": "rounds"},
     {"model_width": 0.5}, {"model_depth": 1}, {"precision": "bfloat16"}],
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
    assert set(IDENTIFY_KEYS) <= set(RunConfig.keys())


def test_cpu_seconds_are_measured() -> None:
    started = time.thread_time()
    found = stages(tiny_config())
    assert 0 < found.seconds["slowest"] <= found.seconds["sum"] <= time.thread_time() - started


def test_every_key_of_identification_is_in_the_key_of_its_cache() -> None:
    assert {key for key in RunConfig.parse({}).flat() if key.startswith(("identify", "peer"))} <= set(IDENTIFY_KEYS)


class Tries:
    """What a machine's successive trainings find, and the schedules that they were given."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *masks: torch.Tensor) -> None:
        self.masks, self.schedules = iter(masks), list[Any]()
        monkeypatch.setattr(module, "_train_and_split", self)

    def __call__(self, node: Any, schedule: Any) -> Any:  # noqa: ARG002
        self.schedules.append(schedule)
        return a_try(next(self.masks), steps=10 * len(self.schedules), seconds=2.0)


NONE, FEW, MANY = torch.zeros(60).bool(), torch.arange(60) % 10 == 3, torch.arange(60) < 21  # 21 of 60: over a third


def test_under_the_guard_a_sound_set_is_taken_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    tries = Tries(monkeypatch, FEW)
    found = find_own(node_of(tiny_config(identify_guard=True), tiny_splits().train), 60)
    assert torch.equal(found.mask, FEW)
    assert (found.flaw, found.tries, found.steps, found.seconds, len(tries.schedules)) == ("", 1, 10, 2.0, 1)


def test_under_the_guard_a_flawed_set_is_followed_by_a_gentler_try(monkeypatch: pytest.MonkeyPatch) -> None:
    tries = Tries(monkeypatch, MANY, FEW)
    found = find_own(node_of(tiny_config(identify_guard=True), tiny_splits().train), 60)
    assert torch.equal(found.mask, FEW)
    assert (found.flaw, found.tries, found.steps, found.seconds) == ("", 2, 20, 4.0)
    assert tries.schedules[1] == gentler(tries.schedules[0])


def test_under_the_guard_a_second_flawed_set_is_left_out_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    Tries(monkeypatch, MANY, MANY)
    node = node_of(tiny_config(identify_guard=True), tiny_splits().train)
    found = find_own(node, 60)
    assert torch.equal(found.mask, NONE)
    assert (found.flaw, found.tries) == ("21 of 60 examples are called wrong, which is hardly a minority", 2)
    reply = identify(node, Payload(numbers={"examples": 60}))
    assert (reply.integer("useless"), reply.integer("tries"), reply.integer("errors")) == (1, 2, 0)


def test_without_the_guard_a_flawed_set_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    Tries(monkeypatch, MANY)
    found = find_own(node_of(tiny_config(identify_guard=False), tiny_splits().train), 60)
    assert torch.equal(found.mask, MANY)
    assert (found.flaw, found.tries) == ("", 1)


def test_the_report_names_the_useless(monkeypatch: pytest.MonkeyPatch) -> None:
    large, small = torch.ones(20).bool(), torch.arange(20) < 2
    monkeypatch.setattr(module, "_train_and_split", lambda node, _: a_try(small if node.partition_id else large))
    machines = stages(tiny_config(identify_guard=True)).report["machines"]
    assert [(machine["useless"], machine["tries"]) for machine in machines] == [(True, 2), (False, 1), (False, 1)]


def test_only_peers_keep_their_model() -> None:
    for identify_by, kept in (("local", False), ("peers", True)):
        node = node_of(tiny_config(identify=identify_by), tiny_splits().train)
        find_own(node, 60)
        assert (OWN_MODEL in node.memo) == kept


class Looks:
    """A machine's looks: each finds the next of these masks; the split after them by the kept model is noted too."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, masks: list[torch.Tensor], rounds: int, **changes: Any) -> None:
        self.masks, self.logits = masks, list[torch.Tensor]()
        monkeypatch.setitem(module.SPLITS, "misclassified", self)
        # Ten steps of six of the 60 examples.
        config = tiny_config(identify_stop="stable", identify_rounds=rounds, identify_batch_size=6, **changes)
        self.found = find_own(node_of(config, tiny_splits().train), 60)

    def __call__(self, logits: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        self.logits.append(logits)
        return self.masks[min(len(self.logits), len(self.masks)) - 1][: len(label)]

    @property
    def kept(self) -> list[int]:
        """The looks whose model is the one that the last split was made by, counted from 0."""
        *looks, last = self.logits
        return [number for number, logits in enumerate(looks) if torch.equal(logits, last)]


def test_a_set_that_has_become_stable_and_grows_no_more_ends_the_training(monkeypatch: pytest.MonkeyPatch) -> None:
    # Of 60: 30 other ones, then 10, 10 (overlap 1: stable), 11 (10/11 > .9 and larger: kept), 11: no longer growing.
    sets = [torch.arange(60) >= 30, *(torch.arange(60) < size for size in (10, 10, 11, 11))]
    looks = Looks(monkeypatch, [*sets, FEW], rounds=10)
    assert len(looks.logits) == 6
    assert looks.kept == [3]
    assert torch.equal(looks.found.mask, FEW)  # what the kept model splits all examples into
    assert looks.found.steps == 5  # the fifth look of ten, after 5 of 10 steps


def test_an_overlap_below_nine_tenths_is_not_stable(monkeypatch: pytest.MonkeyPatch) -> None:
    # 15 beside 17: .88; so the four looks go by, and four more in which nothing is stable but the last two.
    sets = [torch.arange(60) < size for size in (15, 17, 15, 17, 15, 17, 17)]
    looks = Looks(monkeypatch, [*sets, FEW], rounds=4)
    assert len(looks.logits) == 8
    assert looks.kept == [6]


def test_without_a_stable_set_as_many_looks_are_added_and_the_last_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    # Ten examples each, from these on: every two overlap by 5/15 = .33 at most.
    sets = [(torch.arange(60) >= first) & (torch.arange(60) < first + 10) for first in (0, 10, 15, 20, 40)]
    looks = Looks(monkeypatch, [*sets, *sets, FEW], rounds=5)
    assert len(looks.logits) == 11
    assert looks.kept == [9]
    assert looks.found.steps == 20


def test_the_added_looks_end_with_the_first_stable_set(monkeypatch: pytest.MonkeyPatch) -> None:
    sets = [(torch.arange(60) >= first) & (torch.arange(60) < first + 10) for first in (0, 10, 15, 20, 40, 50, 50)]
    looks = Looks(monkeypatch, [*sets, FEW], rounds=5)
    assert looks.kept == [6]
    assert torch.equal(looks.found.mask, FEW)
    assert looks.found.steps == 14  # seven looks of two steps


def test_a_look_on_the_way_is_at_a_sample_and_the_last_split_is_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK_EXAMPLES", 25)
    looks = Looks(monkeypatch, [torch.arange(60) < 5], rounds=4)
    # 5 of 25 again at the second look: stable; at the third it grows no more.
    assert [len(logits) for logits in looks.logits] == [25, 25, 25, 60]
    assert int(looks.found.mask.sum()) == 5


def test_under_averaging_the_mean_of_the_rounds_models_is_looked_at_and_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """By hand: every round goes on from the last round's own weights; sets that share nothing keep the last mean.

    Two rounds of five of the ten steps, and as many again because nothing is stable.
    """
    sets = [(torch.arange(60) >= first) & (torch.arange(60) < first + 10) for first in (0, 10, 20, 30)]
    changes: dict[str, Any] = {"identify": "peers", "identify_optimizer": "adamw", "identify_averaging": "rounds"}
    looks = Looks(monkeypatch, [*sets, FEW], rounds=2, **changes)
    config = tiny_config(identify_stop="stable", identify_rounds=2, identify_batch_size=6, **changes)
    node = node_of(config, tiny_splits().train)
    schedule = schedule_for(config, 60, 60)
    assert schedule.steps == 10
    weights = mean = node.initial_model().vector.numpy().copy()
    for number in (1, 2, 3, 4):
        model = node.load(weights)
        train_span(node, model, schedule, Span(5 * number - 5, 5 * number, 10), number - 1)
        weights = model.vector.numpy().copy()
        mean = running_mean(mean, weights, number)
        logits = outputs_of(node.load(mean), node.data.train.dataset, node.data.train.rows)
        assert torch.equal(looks.logits[number - 1], logits)
    assert torch.equal(looks.logits[4], logits)
    assert not np.allclose(mean, weights, atol=1e-3)


def test_stable_takes_a_second_round_where_one_is_allowed_and_last_does_not() -> None:
    """A first look is never stable, so as many rounds again are made: two of 8 steps (a pass of 60 in eights)."""
    data = tiny_splits().train
    steps = [find_own(node_of(tiny_config(identify_stop=stop, identify_rounds=1), data), 60).steps
             for stop in ("last", "stable")]  # fmt: skip
    assert steps == [8, 16]


@pytest.mark.parametrize("stop", ["last", "stable"])
def test_the_mask_is_the_kept_models(stop: str) -> None:
    """What a machine's own model calls wrong on all of its data, wherever its training ended."""
    node = node_of(tiny_config(identify="peers", identify_stop=stop, identify_rounds=4), tiny_splits().train)
    found = find_own(node, 60)
    part = node.data.train
    logits = outputs_of(node.load(node.memo[OWN_MODEL]), part.dataset, part.rows)
    assert torch.equal(found.mask, logits.argmax(dim=1) != part.dataset.label)
    assert 0 < int(found.mask.sum()) < 60


def test_what_is_found_goes_round_the_cache(tmp_path: Any, trainings: list[int]) -> None:
    cache, config = StageCache(tmp_path), tiny_config(identify="peers", identify_guard=True)
    nodes = [replace(node_of(config, tiny_splits().train), cache=cache, memo={}) for _ in range(2)]
    first, second = (find_own(node, 60) for node in nodes)
    assert trainings == [0] * first.tries
    assert torch.equal(first.mask, second.mask)
    assert (first.seconds, first.steps, first.flaw) == (second.seconds, second.steps, second.flaw)
    np.testing.assert_array_equal(nodes[0].memo[OWN_MODEL], nodes[1].memo[OWN_MODEL])


def test_under_the_guard_a_diverging_model_is_tried_again_and_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def diverging(*_: Any) -> None:
        raise DivergedError("the loss became inf at step 1; lower the learning rate")

    monkeypatch.setattr(module, "_train_and_split", diverging)
    found = find_own(node_of(tiny_config(identify_guard=True), tiny_splits().train), 60)
    assert (int(found.mask.sum()), found.tries) == (0, 2)
    assert "loss became inf" in found.flaw
    with pytest.raises(DivergedError):
        find_own(node_of(tiny_config(identify_guard=False), tiny_splits().train), 60)
