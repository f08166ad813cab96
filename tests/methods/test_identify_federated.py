"""Identification by one common model: what the machines learn, which round is kept, and what the guard leaves out."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import fedjtt
from fedjtt.cache import StageCache
from fedjtt.config import RunConfig
from fedjtt.data.grouped import Splits
from fedjtt.errors import ConfigError, DivergedError
from fedjtt.inference.splits import SPLITS
from fedjtt.methods import identify_federated as module
from fedjtt.methods.base import Array, Payload
from fedjtt.methods.identify_federated import learn
from fedjtt.records import count_bytes
from tests.tiny import asked, grouped, node_of, parts_of_a_run, tiny_config, tiny_splits

PARAMETERS = 5 * 128 + 129 * 128 + 129 * 2


def federated(**changes: Any) -> RunConfig:
    return tiny_config(**{"identify": "federated", **changes})


def harder(train: int = 60) -> Splits:
    """Train data whose minority and labels the tiny network confuses, so that error sets are neither empty nor all."""
    splits = tiny_splits(train)
    x = splits.train.x.clone()
    x[:, 1] *= 0.2
    data = grouped(splits.train.label, splits.train.attribute)
    data = type(data)(x, data.label, data.attribute, data.id, 2, 2)
    return Splits(data, splits.validation, splits.test, ("0", "1"), ("0", "1"))


@pytest.mark.parametrize(
    "changes",
    [
        {"identify_rounds": 1},
        {"identify_rounds": 1, "identify_split": "eiil", "identify_objective": "gce"},
        {"identify_rounds": 1, "identify_schedule": "scaled", "identify_warm_up": 0.5, "identify_clip_norm": 0.5},
        {"identify_rounds": 4, "identify_stop": "stable"},
    ],
    ids=str,
)
@pytest.mark.parametrize("robust", ["central", "federated"])
def test_one_machine_finds_what_it_finds_by_itself_to_the_last_bit(robust: str, changes: dict[str, Any]) -> None:
    results = [
        fedjtt.simulate(tiny_config(machines=1, robust=robust, identify=name, **changes), harder()).result
        for name in ("local", "federated")
    ]
    errors = [result["identification"]["error-set-size"] for result in results]
    assert errors[0] == errors[1]
    assert 0 < errors[0] < 60
    assert results[0]["digest"] == results[1]["digest"]
    steps = [result["identification"]["machines"][0]["steps"] for result in results]
    assert steps[0] == steps[1]


def lesson(weights: Array, server_round: int = 1, **changes: Any) -> Payload:
    numbers = {"round": server_round, "first": 0, "last": 3, "gentle": 0, "examples": 60}
    return Payload({"weights": weights}, {**numbers, **changes})


def test_every_round_and_machine_and_seed_has_batches_of_its_own() -> None:
    data = tiny_splits().train
    nodes = [
        node_of(federated(), data), node_of(federated(), data, number=1), node_of(federated(seed=1), data),
    ]  # fmt: skip
    start = nodes[0].initial_model().vector.numpy().copy()

    def learned(node: Any, server_round: int) -> bytes:
        return learn(node, lesson(start, server_round)).arrays["weights"].tobytes()

    results = {learned(node, server_round) for node in nodes for server_round in (1, 2, 3)}
    assert len(results) == 9
    assert learned(nodes[0], 2) in results  # the same again is the same


def test_learning_reports_weights_size_and_time_and_nothing_else() -> None:
    node = node_of(federated(robust="federated"), tiny_splits().train, torch.arange(20))
    start = node.initial_model().vector.numpy().copy()
    reply = learn(node, lesson(start))
    assert set(reply.arrays) == {"weights"}
    assert set(reply.numbers) == {"size", "seconds"}
    assert reply.real("size") == 20
    assert dict(node.memo) == {}


def test_a_gentle_lesson_is_a_quarter_as_fast() -> None:
    """One step without momentum and decay, and a gradient shorter than 1: the change is a quarter as long."""
    config = federated(momentum=0.0, identify_weight_decay=0.0, identify_learning_rate=0.1)
    node = node_of(config, tiny_splits().train)
    start = node.initial_model().vector.numpy().copy()
    plain, gentle = (
        learn(node, lesson(start, last=1, gentle=flag)).arrays["weights"] - start for flag in (0, 1)
    )  # fmt: skip
    assert 0 < np.linalg.norm(plain) < 0.1
    np.testing.assert_allclose(plain, 4 * gentle, rtol=1e-2, atol=1e-6)


Seen = list[tuple[str, int, Payload, Payload]]


def identified(
    config: RunConfig, splits: Splits | None = None, rows: Any = None, observer: Any = None, cache: Any = None
) -> tuple[Any, Any, Seen]:
    """Run the whole method; return its report, the strategy and what the machines were asked."""
    strategy, grid = parts_of_a_run(config, splits or tiny_splits(), rows, observer, cache)
    seen = asked(grid)
    return strategy.run(grid), strategy, seen


def models_of(seen: Seen, action: str, name: str = "weights") -> list[Array]:
    """The models that machine 0 was sent with an action, in order."""
    return [request.arrays[name] for done, machine, request, _ in seen if (done, machine) == (action, 0)]


def test_the_common_model_is_the_mean_by_size_of_what_the_machines_learn() -> None:
    """Parts of 10, 20 and 30; all take the steps of the mean part: two passes of ceil(20 / 8) = 3, in two rounds."""
    rows = [torch.arange(0, 10), torch.arange(10, 30), torch.arange(30, 60)]
    config = federated(identify_epochs=2, identify_rounds=2)
    _, _, seen = identified(config, rows=rows)
    spans = [(r.integer("first"), r.integer("last")) for done, n, r, _ in seen if (done, n) == ("learn", 0)]
    assert spans == [(0, 3), (3, 6)]
    data = tiny_splits().train
    nodes = [node_of(config, data, part, number, 3) for number, part in enumerate(rows)]
    weights = nodes[0].initial_model().vector.numpy().copy()
    sent = models_of(seen, "learn")
    assert sent[0].tobytes() == weights.tobytes()
    for server_round, first in ((1, 0), (2, 3)):
        request = lesson(weights, server_round, first=first, last=first + 3)
        learned = [learn(node, request).arrays["weights"].astype(np.float64) for node in nodes]
        weights = np.average(learned, axis=0, weights=[10, 20, 30]).astype(np.float32)
    np.testing.assert_allclose(models_of(seen, "judge", "models")[-1][0], weights, rtol=1e-5, atol=1e-6)


class Sets:
    """What the machines call wrong, look by look: `wanted` of their first examples; the last number stays."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, wanted: list[int], machines: int = 3) -> None:
        self.wanted, self.machines, self.calls = wanted, machines, 0
        monkeypatch.setitem(SPLITS, "misclassified", self)

    def __call__(self, logits: torch.Tensor, label: torch.Tensor) -> torch.Tensor:  # noqa: ARG002
        look = min(self.calls // self.machines, len(self.wanted) - 1)
        self.calls += 1
        return torch.arange(len(label)) < self.wanted[look]


def test_val_groups_keeps_the_round_with_the_best_estimate(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = iter([0.1, 0.5, 0.3, 0.5])
    monkeypatch.setattr(module, "estimated_f1", lambda groups, share: next(scores))  # noqa: ARG005
    config = federated(identify_stop="val-groups", identify_rounds=4, identify_epochs=4, robust="federated")
    done, strategy, seen = identified(config)
    judged = models_of(seen, "judge", "models")
    assert len(judged) == 5  # a look after every round, and the last word
    assert judged[4].tobytes() == judged[1].tobytes()  # the second round's; the fourth is not better
    assert len({model.tobytes() for model in judged}) == 4
    assert strategy._kept[1].arrays["models"].tobytes() == judged[1].tobytes()
    assert (done.identification["rounds"], done.identification["tries"]) == (4, 1)


class Watching:
    def __init__(self) -> None:
        self.lines: list[tuple[str, int, int, dict[str, Any]]] = []

    def progress(self, stage: str, server_round: int, rounds: int, figures: Any) -> None:
        self.lines.append((stage, server_round, rounds, dict(figures)))


@pytest.mark.parametrize("robust", ["central", "federated"])
def test_val_groups_upsamples_the_kept_rounds_set(robust: str) -> None:
    """What is trained on is what the best round's model calls wrong, not what the last look did."""
    watching = Watching()
    config = federated(
        identify_stop="val-groups", identify_rounds=6, identify_epochs=6, identify_learning_rate=0.05, robust=robust
    )
    done, _, seen = identified(config, harder(), observer=watching)
    figures = [line[3] for line in watching.lines if line[0] == "identify" and "estimated-f1" in line[3]]
    assert len(figures) == 6
    best = max(figures, key=lambda each: each["estimated-f1"])
    assert done.identification["error-set-size"] == best["error-set-size"]
    assert len({each["error-set-size"] for each in figures}) > 1
    factor = done.identification["upsample-factor"]
    if robust == "federated":
        sizes = sum(reply.real("size") for action, _, _, reply in seen[-6:] if action == "fit") / 2
        assert sizes == 60 + (factor - 1) * best["error-set-size"]


def test_stable_stops_when_the_set_grows_no_more_and_keeps_the_largest(monkeypatch: pytest.MonkeyPatch) -> None:
    # Of 20 a machine: 10 (too many), 2, 2 (the same again: stable), 2 (no growth: the end, after 4 of 8 rounds).
    Sets(monkeypatch, [10, 2])
    config = federated(identify_stop="stable", identify_rounds=8, identify_epochs=4, robust="federated")
    done, _, seen = identified(config)
    judged = models_of(seen, "judge", "models")
    assert len(judged) == 5
    assert judged[4].tobytes() == judged[2].tobytes() != judged[3].tobytes()
    assert (done.identification["rounds"], done.identification["error-set-size"]) == (4, 6)
    # 4 passes of ceil(20 / 8) = 3 steps; four of eight rounds are half of them
    assert {machine["steps"] for machine in done.identification["machines"]} == {6}


def test_without_a_stop_all_rounds_are_made_and_nobody_looks_on_the_way() -> None:
    done, _, seen = identified(federated(identify_rounds=3))
    assert [action for action, machine, _, _ in seen if machine == 0] == ["census", *["learn"] * 3, "judge"]
    assert done.identification["rounds"] == 3
    assert {machine["steps"] for machine in done.identification["machines"]} == {3}


def test_more_rounds_than_steps_are_cut() -> None:
    done, _, _ = identified(federated(identify_rounds=50))
    assert done.identification["rounds"] == 3


# --- the guard ---


def gentle_flags(seen: Seen) -> list[int]:
    return [request.integer("gentle") for action, machine, request, _ in seen if (action, machine) == ("learn", 0)]


@pytest.mark.parametrize("robust", ["central", "federated"])
def test_a_collapsed_first_try_leads_to_a_gentler_second(monkeypatch: pytest.MonkeyPatch, robust: str) -> None:
    Sets(monkeypatch, [20, 2])  # everything; then two of each machine's twenty
    done, strategy, seen = identified(federated(identify_guard=True, robust=robust))
    assert gentle_flags(seen) == [0, 0, 1, 1]
    starts = models_of(seen, "learn")
    assert starts[2].tobytes() == starts[0].tobytes()  # anew, not from the collapsed model
    found = done.identification
    assert (found["tries"], found["flaw"], found["rounds"], found["error-set-size"]) == (2, "", 4, 6)
    assert [machine["tries"] for machine in found["machines"]] == [2, 2, 2]
    assert strategy.notes == []
    if robust == "federated":  # the machines train with the second judgement, not the first
        sizes = [reply.real("size") for action, _, _, reply in seen if action == "fit"]
        assert sizes == [20 + (found["upsample-factor"] - 1) * 2] * 6


def test_a_sound_first_try_is_the_only_one(monkeypatch: pytest.MonkeyPatch) -> None:
    Sets(monkeypatch, [2])
    done, _, seen = identified(federated(identify_guard=True))
    assert gentle_flags(seen) == [0, 0]
    assert done.identification["tries"] == 1


def diverging(monkeypatch: pytest.MonkeyPatch, when: Callable[[float], bool]) -> None:
    """Let learning diverge at learning rates of which `when` is true."""
    original = module.train_span

    def dangerous(node: Any, model: Any, schedule: Any, *rest: Any) -> float:
        if when(schedule.settings.learning_rate):
            raise DivergedError("the loss became nan at step 2; lower the learning rate")
        return original(node, model, schedule, *rest)

    monkeypatch.setattr(module, "train_span", dangerous)


def test_a_diverging_first_try_leads_to_a_gentler_second(monkeypatch: pytest.MonkeyPatch) -> None:
    Sets(monkeypatch, [2])
    diverging(monkeypatch, lambda rate: rate > 0.005)
    done, _, seen = identified(federated(identify_guard=True, identify_learning_rate=0.01))
    assert gentle_flags(seen) == [0, 1, 1]
    assert (done.identification["tries"], done.identification["error-set-size"]) == (2, 6)


def test_a_second_divergence_leaves_the_set_out(monkeypatch: pytest.MonkeyPatch) -> None:
    diverging(monkeypatch, lambda rate: True)  # noqa: ARG005
    done, strategy, _ = identified(federated(identify_guard=True))
    assert "loss became nan" in done.identification["flaw"]
    assert (done.identification["tries"], done.identification["error-set-size"]) == (2, 0)
    assert len(strategy.notes) == 1
    assert "is left out" in strategy.notes[0]


def test_val_groups_needs_groups_in_validation() -> None:
    config = federated(identify_stop="val-groups", selection="val-average")
    with pytest.raises(ConfigError, match="identify-stop is val-groups, but validation has no examples with known"):
        identified(config, tiny_splits(known=False))


def test_without_the_guard_divergence_is_an_error_that_says_where(monkeypatch: pytest.MonkeyPatch) -> None:
    diverging(monkeypatch, lambda rate: True)  # noqa: ARG005
    with pytest.raises(DivergedError, match=r"^identify stage, round 1, machine 0: the loss became nan"):
        identified(federated(identify_guard=False))


@pytest.mark.parametrize("robust", ["central", "federated"])
def test_a_useless_model_is_left_out_and_said_and_training_is_plain_erm(
    monkeypatch: pytest.MonkeyPatch, robust: str
) -> None:
    Sets(monkeypatch, [20])
    done, strategy, _ = identified(federated(identify_guard=True, robust=robust))
    found = done.identification
    flaw = "60 of 60 examples are called wrong, which is hardly a minority"
    assert (found["tries"], found["flaw"], found["error-set-size"], found["upsample-factor"]) == (2, flaw, 0, 1)
    assert strategy.notes[0].startswith(f"the identification model was useless in 2 tries ({flaw}); its error set is")
    erm, grid = parts_of_a_run(tiny_config(method="erm", robust=robust), tiny_splits())
    assert erm.run(grid).weights.tobytes() == done.weights.tobytes()


def test_without_the_guard_a_useless_model_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    Sets(monkeypatch, [20])
    done, _, seen = identified(federated(identify_guard=False))
    assert gentle_flags(seen) == [0, 0]
    assert done.identification["error-set-size"] == 60


# --- the cache and the bytes ---


def plain(identification: dict[str, Any]) -> dict[str, Any]:
    """The report without times."""
    machines = [{k: v for k, v in each.items() if k != "seconds"} for each in identification["machines"]]
    return {**identification, "machines": machines}


@pytest.mark.parametrize("robust", ["central", "federated"])
@pytest.mark.parametrize("stop", ["last", "stable", "val-groups"])
def test_a_cached_model_gives_the_same_result(tmp_path: Any, robust: str, stop: str) -> None:
    config = federated(robust=robust, identify_stop=stop, identify_rounds=3)
    none, _, _ = identified(config, harder())
    first, before, learned = identified(config, harder(), cache=StageCache(tmp_path))
    second, after, loaded = identified(config, harder(), cache=StageCache(tmp_path))
    assert before.traffic["identify"].sent == after.traffic["identify"].sent
    # Seconds and the like differ in no byte, but a whole number may take one more or less than another.
    assert before.traffic["identify"].received == pytest.approx(after.traffic["identify"].received, abs=60)
    assert none.weights.tobytes() == first.weights.tobytes() == second.weights.tobytes()
    assert plain(none.identification) == plain(first.identification) == plain(second.identification)
    assert "learn" in {action for action, *_ in learned}
    assert "learn" not in {action for action, *_ in loaded}
    # what learning cost is told again, though only the judgement was made
    assert second.seconds["identify"]["sum"] > sum(m["seconds"] for m in second.identification["machines"])


def test_only_the_last_judgement_names_ids() -> None:
    _, _, seen = identified(federated(identify_stop="val-groups", identify_rounds=3), harder())
    named = ["error-ids" in reply.arrays for action, machine, _, reply in seen if (action, machine) == ("judge", 0)]
    assert named == [False, False, False, True]


def test_a_cached_useless_model_is_left_out_again(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    Sets(monkeypatch, [20])
    results = [identified(federated(identify_guard=True), cache=StageCache(tmp_path)) for _ in range(2)]
    assert results[0][1].notes == results[1][1].notes
    assert plain(results[0][0].identification) == plain(results[1][0].identification)


@pytest.mark.parametrize(
    ("changes", "shared"),
    [({"robust": "federated"}, True), ({"upsample": 7}, True), ({"learning_rate": 0.5}, True),
     ({"seed": 1}, False), ({"machines": 4}, False), ({"identify_rounds": 3}, False), ({"identify_guard": True}, False),
     ({"identify_aggregator": "fedmedian"}, False), ({"identify_learning_rate": 0.5}, False)],
    ids=str,
)  # fmt: skip
def test_the_cache_is_shared_by_all_that_cannot_change_the_model(
    tmp_path: Any, changes: dict[str, Any], shared: bool
) -> None:
    identified(federated(), cache=StageCache(tmp_path))
    _, _, seen = identified(federated(**changes), cache=StageCache(tmp_path))
    assert ("learn" not in {action for action, *_ in seen}) is shared


def test_bytes_are_those_of_the_records_that_travel() -> None:
    """Two rounds: three machines get and return the model twice, and get it once more to judge by."""
    strategy, grid = parts_of_a_run(federated(robust="federated"), tiny_splits())
    counted = {"sent": 0, "received": 0}
    original = grid.send_and_receive

    def counting(messages: Any, **rest: Any) -> Any:
        listed = list(messages)
        replies = original(listed, **rest)
        if listed[0].metadata.message_type.split(".")[1] in ("census", "learn", "judge"):
            counted["sent"] += sum(count_bytes(message.content) for message in listed)
            counted["received"] += sum(count_bytes(reply.content) for reply in replies)
        return replies

    grid.send_and_receive = counting  # type: ignore[method-assign]
    strategy.run(grid)
    identify = strategy.traffic["identify"]
    assert {"sent": identify.sent, "received": identify.received} == counted
    model = 4 * PARAMETERS
    assert 9 * model <= identify.sent <= 9 * model + 12 * 1000  # twelve messages, with less than a kB of framing each
    assert 6 * model <= identify.received <= 6 * model + 12 * 1000


def test_seconds_add_up_the_slowest_of_every_exchange(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two rounds of (1, 2, 3) s and a judgement of as much: slowest 3 + 3 + 3, sum 3 x 6."""
    config = federated()
    strategy, grid = parts_of_a_run(config, tiny_splits())
    ask = strategy.ask

    def timed(place: Any, action: str, *rest: Any) -> list[Payload]:
        replies = ask(place, action, *rest)
        if action not in ("learn", "judge"):
            return replies
        return [Payload(r.arrays, {**r.numbers, "seconds": float(n)}) for n, r in enumerate(replies, start=1)]

    monkeypatch.setattr(strategy, "ask", timed)
    assert strategy.run(grid).seconds["identify"] == {"sum": 18.0, "slowest": 9.0}
