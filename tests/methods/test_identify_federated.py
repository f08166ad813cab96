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
from fedjtt.methods.identify_local import schedule_for, train_span
from fedjtt.methods.look import lookers
from fedjtt.records import count_bytes
from fedjtt.training import Span
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


STABLE = {"identify_rounds": 4, "identify_stop": "stable"}


@pytest.mark.parametrize(
    "changes",
    [
        {"identify_rounds": 1},
        {"identify_rounds": 1, "identify_split": "eiil", "identify_objective": "gce"},
        {"identify_rounds": 1, "identify_schedule": "scaled", "identify_warm_up": 0.5, "identify_clip_norm": 0.5},
        STABLE,
        {**STABLE, "identify_averaging": "rounds"},
        {**STABLE, "identify_averaging": "rounds", "identify_optimizer": "adamw"},
        {"identify_rounds": 1, "identify_label_correction": 0.9},
        {"identify_rounds": 1, "identify_label_correction": 1.0},
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
    return Payload({"weights": weights}, {**numbers, "labels": [30, 30], **changes})


def test_every_round_and_machine_and_seed_has_batches_of_its_own() -> None:
    data = tiny_splits().train
    nodes = [
        node_of(federated(), data), node_of(federated(), data, number=1), node_of(federated(seed=1), data),
    ]  # fmt: skip
    start = nodes[0].initial_model().vector.numpy().copy()

    def taught(node: Any, server_round: int) -> bytes:
        return learn(node, lesson(start, server_round)).arrays["weights"].tobytes()

    results = {taught(node, server_round) for node in nodes for server_round in (1, 2, 3)}
    assert len(results) == 9
    assert taught(nodes[0], 2) in results  # the same again is the same


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


def learned(rows: Any, degree: float, **changes: Any) -> Array:
    node = node_of(federated(identify_label_correction=degree), tiny_splits().train, rows)
    return learn(node, lesson(node.initial_model().vector.numpy().copy(), **changes)).arrays["weights"]


def test_a_lesson_corrects_for_the_machines_labels() -> None:
    """Against a training with the shift by hand."""
    rows = torch.cat([torch.arange(0, 40, 2), torch.arange(1, 20, 2)])  # 20 of label 0, 10 of label 1
    config = federated(identify_label_correction=0.9)
    node = node_of(config, tiny_splits().train, rows)
    model = node.initial_model()
    # Shares 2/3 and 1/3 beside 1/2 and 1/2.
    shift = torch.tensor([0.9 * 4 / 3 + 0.1, 0.9 * 2 / 3 + 0.1], dtype=torch.float64).log().float()
    train_span(node, model, schedule_for(config, 20, 60), Span(0, 3, 3), 0, shift)
    np.testing.assert_allclose(learned(rows, 0.9), model.vector.numpy(), rtol=1e-5, atol=1e-7)
    assert not np.allclose(learned(rows, 0.0), learned(rows, 0.9), rtol=1e-3, atol=1e-5)
    # What counts is the machine's mixture beside that of all: beside one like its own it has nothing to correct.
    assert learned(rows, 0.9, labels=[40, 20]).tobytes() == learned(rows, 0.0).tobytes()


def test_where_all_machines_are_mixed_alike_there_is_nothing_to_correct() -> None:
    rows = torch.arange(20)  # labels by turns
    assert learned(rows, 0.9).tobytes() == learned(rows, 0.0).tobytes()


def test_under_full_correction_a_machine_with_one_label_learns_nothing() -> None:
    """Of the loss there is no gradient, so only the decay moves the weights: three steps, without momentum here."""
    rows = torch.arange(0, 40, 2)
    config = federated(identify_label_correction=1.0, momentum=0.0, identify_weight_decay=0.5)
    node = node_of(config, tiny_splits().train, rows)
    start = node.initial_model().vector.numpy().copy()
    weights = learn(node, lesson(start)).arrays["weights"]
    np.testing.assert_allclose(weights, start * (1 - 0.01 * 0.5) ** 3, rtol=1e-5, atol=1e-8)


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
        vectors = [learn(node, request).arrays["weights"].astype(np.float64) for node in nodes]
        weights = np.average(vectors, axis=0, weights=[10, 20, 30]).astype(np.float32)
    np.testing.assert_allclose(models_of(seen, "judge", "models")[-1][0], weights, rtol=1e-5, atol=1e-6)


def test_the_machines_are_told_how_many_of_every_label_there_are() -> None:
    _, _, seen = identified(federated())
    requests = [request for action, _, request, _ in seen if action == "learn"]
    assert len(requests) == 6  # three machines, two rounds
    assert all(request.integers("labels") == [30, 30] for request in requests)  # labels by turns


@pytest.mark.parametrize(("rows", "same"), [("even", True), ("skewed", False)])
def test_label_correction_matters_where_machines_differ_in_their_labels(rows: str, same: bool) -> None:
    """Machines of 18 to 2, 2 to 18 and 10 to 10 examples of the two labels; and three of 10 to 10."""
    parts = {
        "even": [torch.arange(0, 20), torch.arange(20, 40), torch.arange(40, 60)],
        "skewed": [
            torch.cat([torch.arange(0, 36, 2), torch.tensor([1, 3])]),
            torch.cat([torch.arange(5, 41, 2), torch.tensor([36, 38])]),
            torch.cat([torch.arange(40, 60, 2), torch.arange(41, 60, 2)]),
        ],
    }[rows]
    assert sorted(torch.cat(parts).tolist()) == list(range(60))
    models = []
    for degree in (0.0, 0.9):
        config = federated(identify_label_correction=degree, identify_learning_rate=0.05, identify_epochs=3)
        _, _, seen = identified(config, rows=parts)
        models.append(models_of(seen, "judge", "models")[0])
    assert (models[0].tobytes() == models[1].tobytes()) is same
    assert np.allclose(models[0], models[1], atol=1e-3) is same


@pytest.mark.parametrize("stop", ["last", "val-groups"])
def test_under_averaging_the_mean_of_the_rounds_models_is_split_by(stop: str) -> None:
    """Machines go on from the round's own mean over machines; weights 1 x 2 x 3 = 6, 24, 60 for three rounds."""
    config = federated(identify_stop=stop, identify_rounds=3, identify_averaging="rounds", identify_learning_rate=0.05)
    _, _, seen = identified(config)
    replies = [reply.arrays["weights"].astype(np.float64) for action, _, _, reply in seen if action == "learn"]
    joined = [np.mean(replies[3 * number : 3 * number + 3], axis=0) for number in range(3)]
    sent = models_of(seen, "learn")
    for model, expected in zip(sent[1:], joined, strict=False):
        np.testing.assert_allclose(model, expected, rtol=1e-5, atol=1e-6)
    means = [joined[0], (6 * joined[0] + 24 * joined[1]) / 30, (6 * joined[0] + 24 * joined[1] + 60 * joined[2]) / 90]
    looked = models_of(seen, "look")
    assert len(looked) == (0 if stop == "last" else 3)
    for model, expected in zip(looked, means, strict=False):
        np.testing.assert_allclose(model, expected, rtol=1e-5, atol=1e-6)
    (judged,) = models_of(seen, "judge", "models")
    if stop == "last":
        np.testing.assert_allclose(judged[0], means[2], rtol=1e-5, atol=1e-6)
        assert not np.allclose(judged[0], joined[2], atol=1e-4)
    else:
        assert judged[0].tobytes() in {model.tobytes() for model in looked} | {sent[0].tobytes()}


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
    looked, (judged,) = models_of(seen, "look"), models_of(seen, "judge", "models")
    assert len({model.tobytes() for model in looked}) == len(looked) == 4  # after every round
    assert judged.tobytes() == looked[1].tobytes()  # the second round's; the fourth is not better
    assert strategy.talk.kept["judge"].arrays["models"].tobytes() == judged.tobytes()
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
    # All of the 60 are looked at: three machines' parts are far smaller than their samples.
    assert done.identification["error-set-size"] == round(60 * best["error-share"])
    assert len({each["error-share"] for each in figures}) > 1
    factor = done.identification["upsample-factor"]
    if robust == "federated":
        sizes = sum(reply.real("size") for action, _, _, reply in seen[-6:] if action == "fit") / 2
        assert sizes == 60 + (factor - 1) * done.identification["error-set-size"]


def test_stable_stops_when_the_set_grows_no_more_and_keeps_the_largest(monkeypatch: pytest.MonkeyPatch) -> None:
    # Of 20 a machine: 10 (too many), 2, 2 (the same again: stable), 2 (no growth: the end, after 4 of 8 rounds).
    Sets(monkeypatch, [10, 2])
    config = federated(identify_stop="stable", identify_rounds=8, identify_epochs=4, robust="federated")
    done, _, seen = identified(config)
    looked, (judged,) = models_of(seen, "look"), models_of(seen, "judge", "models")
    assert len(looked) == 4
    assert judged.tobytes() == looked[2].tobytes() != looked[3].tobytes()
    assert (done.identification["rounds"], done.identification["error-set-size"]) == (4, 6)
    # 4 passes of ceil(20 / 8) = 3 steps; four of eight rounds are half of them
    assert {machine["steps"] for machine in done.identification["machines"]} == {6}


def test_what_is_watched_is_told_round_by_round(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three machines of 20: shares 30/60 and 6/60; 6 of the 30 again, then all."""
    Sets(monkeypatch, [10, 2])
    watching = Watching()
    config = federated(identify_stop="stable", identify_rounds=8, identify_epochs=4)
    identified(config, observer=watching)
    lines = [line for line in watching.lines if line[0] == "identify" and "overlap" in line[3]]
    assert [(number, rounds) for _, number, rounds, _ in lines] == [(1, 8), (2, 8), (3, 8), (4, 8)]
    # at first nothing is known of a set before: none in both, all in either
    assert [line[3] for line in lines] == [
        {"error-share": 0.5, "overlap": 0.0}, {"error-share": 0.1, "overlap": 0.2},
        {"error-share": 0.1, "overlap": 1.0}, {"error-share": 0.1, "overlap": 1.0},
    ]  # fmt: skip


@pytest.mark.parametrize(("stop", "rounds"), [("stable", 6), ("val-groups", 3)])
def test_where_nothing_is_stable_as_many_rounds_are_added(
    monkeypatch: pytest.MonkeyPatch, stop: str, rounds: int
) -> None:
    Sets(monkeypatch, [10, 2, 10, 2, 10, 2, 10])  # overlaps of .2
    done, _, seen = identified(federated(identify_stop=stop, identify_rounds=3, robust="federated"))
    looked, (judged,) = models_of(seen, "look"), models_of(seen, "judge", "models")
    assert len(looked) == done.identification["rounds"] == rounds
    if stop == "stable":
        assert judged.tobytes() == looked[-1].tobytes()
        # a pass of ceil(20 / 8) = 3 steps, and as many again
        assert {machine["steps"] for machine in done.identification["machines"]} == {6}


def test_the_sample_is_shared_out_over_those_who_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK_EXAMPLES", 26)
    _, _, seen = identified(federated(identify_stop="val-groups"))
    looks = [(request.integer("sample"), sum(reply.integers("label-sizes")))
             for action, _, request, reply in seen if action == "look"]  # fmt: skip
    assert looks == [(8, 8)] * 6  # 26 // 3, for three machines and two rounds


def test_of_many_machines_the_same_ten_look_and_all_judge(monkeypatch: pytest.MonkeyPatch) -> None:
    config = federated(machines=12, identify_stop="val-groups", identify_rounds=3, identify_epochs=3)
    monkeypatch.setattr(module, "LOOK_EXAMPLES", 5)
    _, _, seen = identified(config)
    looked = [machine for action, machine, _, _ in seen if action == "look"]
    assert looked == lookers(12, config.seed) * 3
    assert len(set(looked)) == 10
    # less than one example each is one
    assert {sum(r.integers("label-sizes")) for action, _, _, r in seen if action == "look"} == {1}
    assert sorted(machine for action, machine, _, _ in seen if action == "judge") == list(range(12))


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


@pytest.mark.parametrize("stop", ["stable", "val-groups"])
def test_only_the_judgement_names_ids(stop: str) -> None:
    _, _, seen = identified(federated(identify_stop=stop, identify_rounds=3), harder())
    named = [(action, "error-ids" in reply.arrays) for action, machine, _, reply in seen
             if machine == 0 and action in ("look", "judge")]  # fmt: skip
    assert set(named[:-1]) == {("look", False)}
    assert named[-1] == ("judge", True)


def test_a_cached_useless_model_is_left_out_again(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    Sets(monkeypatch, [20])
    results = [identified(federated(identify_guard=True), cache=StageCache(tmp_path)) for _ in range(2)]
    assert results[0][1].notes == results[1][1].notes
    assert plain(results[0][0].identification) == plain(results[1][0].identification)


@pytest.mark.parametrize(
    ("changes", "shared"),
    [({"robust": "federated"}, True), ({"upsample": 7}, True), ({"learning_rate": 0.5}, True),
     ({"seed": 1}, False), ({"machines": 4}, False), ({"identify_rounds": 3}, False), ({"identify_guard": True}, False),
     ({"identify_aggregator": "fedmedian"}, False), ({"identify_learning_rate": 0.5}, False),
     ({"identify_optimizer": "adamw"}, False), ({"identify_averaging": "rounds"}, False),
     ({"identify_label_correction": 0.5}, False)],
    ids=str,
)  # fmt: skip
def test_the_cache_is_shared_by_all_that_cannot_change_the_model(
    tmp_path: Any, changes: dict[str, Any], shared: bool
) -> None:
    identified(federated(), cache=StageCache(tmp_path))
    _, _, seen = identified(federated(**changes), cache=StageCache(tmp_path))
    assert ("learn" not in {action for action, *_ in seen}) is shared


@pytest.mark.parametrize(("stop", "looks"), [("last", 0), ("val-groups", 2)])
def test_bytes_are_those_of_the_records_that_travel(stop: str, looks: int) -> None:
    """Two rounds: three machines get and return the model twice, and get it once more to judge by.

    Every look is one more model down, and none up.
    """
    strategy, grid = parts_of_a_run(federated(robust="federated", identify_stop=stop), tiny_splits())
    counted = {"sent": 0, "received": 0}
    original = grid.send_and_receive

    def counting(messages: Any, **rest: Any) -> Any:
        listed = list(messages)
        replies = original(listed, **rest)
        if listed[0].metadata.message_type.split(".")[1] in ("census", "learn", "look", "judge"):
            counted["sent"] += sum(count_bytes(message.content) for message in listed)
            counted["received"] += sum(count_bytes(reply.content) for reply in replies)
        return replies

    grid.send_and_receive = counting  # type: ignore[method-assign]
    strategy.run(grid)
    identify = strategy.traffic["identify"]
    assert {"sent": identify.sent, "received": identify.received} == counted
    model, framing = 4 * PARAMETERS, (12 + 3 * looks) * 1000  # messages with less than a kB of framing each
    assert (9 + 3 * looks) * model <= identify.sent <= (9 + 3 * looks) * model + framing
    assert 6 * model <= identify.received <= 6 * model + framing


@pytest.mark.parametrize(("stop", "exchanges"), [("last", 3), ("val-groups", 5)])
def test_seconds_add_up_the_slowest_of_every_exchange(
    monkeypatch: pytest.MonkeyPatch, stop: str, exchanges: int
) -> None:
    """Two rounds of (1, 2, 3) s, each perhaps with a look, and a judgement of as much: 3 s along the slowest, 6 in all.

    So 9 and 18 without looks, 15 and 30 with them.
    """
    strategy, grid = parts_of_a_run(federated(identify_stop=stop), tiny_splits())
    ask = strategy.ask

    def timed(place: Any, action: str, *rest: Any) -> list[Payload]:
        replies = ask(place, action, *rest)
        if action not in ("learn", "look", "judge"):
            return replies
        return [Payload(r.arrays, {**r.numbers, "seconds": float(n)}) for n, r in enumerate(replies, start=1)]

    monkeypatch.setattr(strategy, "ask", timed)
    assert strategy.run(grid).seconds["identify"] == {"sum": 6.0 * exchanges, "slowest": 3.0 * exchanges}
