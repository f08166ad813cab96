"""Machines that fail, vanish, come back, join late or lie: what a run does then, fault by fault."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from flwr.app import Error, Message, RecordDict

from fedjtt.client_app import make_client_app
from fedjtt.config import RunConfig
from fedjtt.errors import EngineError
from fedjtt.methods.base import Payload
from fedjtt.provide import provide_parts, server_data, spread
from fedjtt.records import PARTITION_ID, failure_of, from_records, to_reply
from fedjtt.server_app import Outcome, run_method
from fedjtt.simulation import InProcessGrid
from tests.tiny import tiny_config, tiny_splits

Tamper = Callable[[Payload], Payload]
LIAR = 2


@dataclass(frozen=True)
class Fault:
    """What becomes of a machine's replies to an action: of the first, of some, or of all (no `times`)."""

    action: str
    what: str | Tamper
    times: tuple[int, ...] = (1,)
    machine: int = LIAR


# What Flower 1.41 replies in a machine's place: code and reason.
ERRORS = {
    "raise": (2, "Traceback\n  ...\nValueError: boom"),
    "exit": (8, "Error: the app's process stopped"),
    "lost": (5, "Error: Node Unavailable"),
}


class FaultyGrid(InProcessGrid):
    """Machines in this process of which some fail as they are told to.

    raise: the app raises; exit: its process ends; lost: Flower has not heard of its node for long; silent: it works and
    its reply is lost, or comes too late; leave: it is gone for good;
    restart: it is killed before it answers and comes back without its memory; return: so, as another node.
    """

    faults: tuple[Fault, ...] = ()
    late: dict[int, tuple[str, int]] = {}  # noqa: RUF012 (set anew on every grid that has any)

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.asked: Counter[tuple[str, int]] = Counter()
        self.exchanges: Counter[str] = Counter()
        self.counted: list[tuple[str, int]] = []
        self.timeouts: set[float | None] = set()

    def machine_of(self, node: int) -> int:
        return int(self._contexts[node].node_config[PARTITION_ID])

    def get_node_ids(self) -> list[int]:
        """A machine that is late is there once so many exchanges of an action have been made."""
        waiting = {machine for machine, (action, number) in self.late.items() if self.exchanges[action] < number}
        return [node for node in self._contexts if self.machine_of(node) not in waiting]

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> list[Message]:
        listed = list(messages)
        self.timeouts.add(timeout)
        replies = [reply for message in listed for reply in self._answer(message)]
        self.exchanges[listed[0].metadata.message_type.split(".")[1]] += 1
        return replies

    def _answer(self, message: Message) -> list[Message]:
        node, action = message.metadata.dst_node_id, message.metadata.message_type.split(".")[1]
        machine = self.machine_of(node)
        self.asked[action, machine] += 1
        number = self.asked[action, machine]
        mine = [fault for fault in self.faults if (fault.action, fault.machine) == (action, machine)]
        what = next((fault.what for fault in mine if not fault.times or number in fault.times), "")
        if what in ("leave", "restart", "return"):
            context = self._contexts.pop(node)
            context.state = RecordDict()
            if what != "leave":
                self._contexts[node if what == "restart" else node + 100] = context
            return []
        (reply,) = super().send_and_receive([message])
        if what in ERRORS:
            code, reason = ERRORS[what]
            return [Message(Error(code=code, reason=reason), reply_to=message)]
        if what == "silent":
            return []
        if callable(what):
            told = what(from_records(reply.content))
            return [Message(to_reply(told, told.integer(PARTITION_ID)), reply_to=message)]
        if failure_of(reply.content) is None:
            self.counted.append((action, machine))
        return [reply]


def config_of(**changes: Any) -> RunConfig:
    return tiny_config(**{"machines": 4, "robust": "federated", "batch_size": 8, "connect_timeout": 0.0, **changes})


def grid_of(
    config: RunConfig, *faults: Fault, rows: Any = None, late: dict[int, tuple[str, int]] | None = None
) -> tuple[FaultyGrid, Callable[[], Outcome]]:
    splits = tiny_splits()
    parts = spread(splits, config, rows)
    grid = FaultyGrid(make_client_app(provide_parts(parts)), config, config.machines)
    grid.faults, grid.late = faults, late or {}

    def owner(machine: int) -> Any:
        return parts[machine].train.id.numpy()

    return grid, lambda: run_method(config, grid, provide_parts([server_data(splits)]), owner=owner)


def run(config: RunConfig, *faults: Fault, **more: Any) -> Outcome:
    return grid_of(config, *faults, **more)[1]()


@cache
def digest_of(config: RunConfig, *faults: Fault) -> str:
    """The digest of a run with these faults, or with none."""
    return str(run(config, *faults).result["digest"])


def arrays(**changes: Callable[[Any], Any]) -> Tamper:
    """Change a reply's arrays; one that it does not have is made from the first that it has."""

    def tamper(payload: Payload) -> Payload:
        first = next(iter(payload.arrays.values()), None)
        held = {name.replace("_", "-"): change for name, change in changes.items()}
        return Payload(
            {**payload.arrays, **{name: change(payload.arrays.get(name, first)) for name, change in held.items()}},
            payload.numbers,
        )

    return tamper


def numbers(**changes: Any) -> Tamper:
    """Change a reply's numbers; None leaves one out, a function is of what it was."""

    def tamper(payload: Payload) -> Payload:
        told = dict(payload.numbers)
        for key, value in changes.items():
            name = key.replace("_", "-")
            was = told.pop(name)
            if value is not None:
                told[name] = value(was) if callable(value) else value
        return Payload(payload.arrays, told)

    return tamper


def one_nan(vector: Any) -> Any:
    return np.where(np.arange(len(vector)) == 5, np.float32("nan"), vector)


def no_ids(nothing: Any) -> Any:  # noqa: ARG001 (a change's signature)
    return np.arange(3)


def doubled(values: list[int]) -> list[int]:
    return [2 * value for value in values]


FEDERATED = {"identify": "federated"}
LOOKING = {"identify": "federated", "identify_stop": "stable"}
PEERS = {"identify": "peers"}
CENTRAL = {"robust": "central"}
AT_MACHINES = {"evaluation_at": "machines"}

# name: (action, what is sent in place of the reply, what is said of it, settings)
LIES: dict[str, tuple[str, Tamper, str, dict[str, Any]]] = {
    "nan update": ("fit", arrays(weights=one_nan), "weights has values that are not finite", {}),
    "infinite update": ("fit", arrays(weights=lambda w: w + np.float32("inf")), "not finite", {}),
    "nan average": ("fit", arrays(average=one_nan), "average has values that are not finite", {}),
    "wrong shape": ("fit", arrays(weights=lambda w: w[:-1]), "not float32", {}),
    "wrong type": ("fit", arrays(weights=lambda w: w.astype(np.float64)), "weights is float64", {}),
    "one array more": ("fit", arrays(rows=lambda w: w), "it sends rows, which was not asked for", {}),
    "one array less": ("fit", lambda reply: Payload({}, reply.numbers), "it lacks weights", {}),
    "inflated size": ("fit", numbers(size=1e9), "its weighted size is 1e+09, which 15 examples do not have", {}),
    "no size": ("fit", numbers(size=None), "it lacks size", {}),
    "no loss": ("fit", numbers(loss=None), "it lacks loss", {}),
    "nan loss": ("fit", numbers(loss=float("nan")), "loss is not finite", {}),
    "erm: inflated size": ("fit", numbers(size=16.0), "which 15 examples do not have", {"method": "erm"}),
    "too long": ("fit", arrays(weights=lambda w: w + 9), "max-update-norm is 50", {"max_update_norm": 50.0}),
    "average too long": ("fit", arrays(average=lambda a: a + 9), "max-update-norm is 50", {"max_update_norm": 50.0}),
    "another machine": ("fit", numbers(partition_id=1), "it is machine 2 and says that it is 1", {}),
    "no machine": ("fit", numbers(partition_id=-1), "it says that it is machine -1, and there are 4", {}),
    "learn: nan update": ("learn", arrays(weights=one_nan), "not finite", FEDERATED),
    "learn: inflated size": ("learn", numbers(size=1500.0), "which 15 examples do not have", FEDERATED),
    "foreign ids": ("identify", arrays(error_ids=lambda ids: ids + 1000), "are not its own", CENTRAL),
    "duplicated ids": ("identify", arrays(error_ids=lambda ids: ids[[0] * len(ids)]), "more than once", CENTRAL),
    "ids that do not match": ("identify", arrays(error_ids=lambda ids: ids[1:]), "announces", CENTRAL),
    "judge: foreign ids": ("judge", arrays(error_ids=lambda ids: ids + 1000), "are not its own", CENTRAL | FEDERATED),
    "ids that nobody asked for": ("identify", arrays(error_ids=no_ids), "was not asked for", {}),
    "inflated errors": ("identify", numbers(errors=16), "its errors per label do not add up to 16 of its examples", {}),
    "inflated examples": ("identify", numbers(examples=150), "it reports on 150 examples and has 15", {}),
    "half an error": ("identify", numbers(errors=0.5), "errors is 0.5, not a whole number", {}),
    "judge: no labels": ("judge", numbers(label_errors=None), "it lacks label-errors", FEDERATED),
    "judge: other labels": ("judge", numbers(label_sizes=doubled), "not those that it gave before", FEDERATED),
    "look: inflated counts": ("look", numbers(label_sizes=doubled), "it looked at more examples", LOOKING),
    "lend: wrong shape": ("lend", arrays(model=lambda m: m[:-1]), "its model is float32", PEERS),
    "lend: nan": ("lend", arrays(model=one_nan), "not finite", PEERS),
    "lend: another's": ("lend", numbers(machine=1), "it hands out the model of machine 1", PEERS),
    "inflated census": ("census", numbers(examples=30, label_counts=doubled, group_counts=doubled),
                        "it counts 30 examples, and its part has 15", {}),
    "negative census": ("census", numbers(examples=-15), "examples is negative", {}),
    "assess: more correct": ("assess", numbers(correct=lambda c: [99 for _ in c]), "more correct", AT_MACHINES),
}  # fmt: skip


def rows_of(result: dict[str, Any]) -> list[tuple[str, int, int | None]]:
    return [(row["stage"], row["round"], row["machine"]) for row in result["missing"]]


@pytest.mark.parametrize("name", LIES)
def test_a_lie_is_named_and_enters_no_sum(name: str) -> None:
    """As if the machine had not answered; and where all must count, the end, in one line."""
    action, tamper, said, settings = LIES[name]
    config = config_of(min_machines=0.75, **settings)
    outcome = run(config, Fault(action, tamper))
    missing, *later = outcome.result["missing"]
    assert missing["machine"] == LIAR
    assert said in missing["why"]
    # without a model of its own a machine has no part in the vote, and so no error set to train by in the two rounds
    forgotten = "machine 2: the machine has forgotten its error set"
    assert [row["why"] for row in later] == ([forgotten] * 2 if action == "lend" else [])
    assert missing["why"].startswith("machine 2 is refused: ")
    assert any(missing["why"] in note for note in outcome.result["notes"])
    assert outcome.result["digest"] == digest_of(config, Fault(action, "silent"))
    with pytest.raises(EngineError, match=r"3 of 4 machines answered, 4 are needed: machine 2 is refused: ") as caught:
        run(config_of(**settings), Fault(action, tamper))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


ONCE = {name: lie for name, lie in LIES.items() if lie[0] != "look"}


@pytest.mark.parametrize("name", ONCE)
def test_who_lied_once_is_asked_again_as_if_nothing_had_happened(name: str) -> None:
    action, tamper, _, settings = LIES[name]
    outcome = run(config_of(max_failed_rounds=1, **settings), Fault(action, tamper))
    assert outcome.result["digest"] == digest_of(config_of(max_failed_rounds=1, **settings))
    assert len(outcome.result["missing"]) == 1
    assert any("only 3 of 4 machines counted; the others were asked again" in n for n in outcome.result["notes"])


# what becomes of the machine: what is said of it
FATES = {
    "raise": "raised an exception: ValueError: boom",
    "exit": "had its process stopped: Error: the app's process stopped",
    "lost": "is not connected any more: Error: Node Unavailable",
    "silent": "machine 2 did not answer in time",
    "restart": "machine 2 did not answer in time",
    "return": "machine 2 did not answer in time",
    "leave": "machine 2 did not answer in time",
}
MOMENTS: dict[str, tuple[str, int, dict[str, Any]]] = {
    "training": ("fit", 2, {}),
    "identification": ("identify", 1, {}),
    "the common model's training": ("learn", 2, FEDERATED),
    "the judgement": ("judge", 1, FEDERATED),
    "lending": ("lend", 1, PEERS),
    "the vote": ("judge", 1, PEERS),
    "evaluation": ("assess", 1, AT_MACHINES),
}


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("fate", FATES)
def test_a_round_goes_on_without_the_missing(fate: str, moment: str) -> None:
    """The others are enough at 3 of 4; the first thing that is missing is what the fault was in."""
    action, time, settings = MOMENTS[moment]
    outcome = run(config_of(min_machines=3, **settings), Fault(action, fate, (time,)))
    stage = {"fit": "robust", "assess": "evaluate"}.get(action, "identify")
    first = outcome.result["missing"][0]
    server_round = time if action in ("fit", "learn") else 0
    assert (first["stage"], first["round"], first["machine"]) == (stage, server_round, LIAR)
    assert first["why"] == FATES[fate]
    assert np.isfinite(outcome.weights).all()
    assert {row["machine"] for row in outcome.result["missing"]} == {LIAR}


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("fate", FATES)
def test_by_default_a_missing_machine_is_the_end(fate: str, moment: str) -> None:
    action, time, settings = MOMENTS[moment]
    with pytest.raises(EngineError, match=r"stage.*: 3 of 4 machines answered, 4 are needed: ") as caught:
        run(config_of(**settings), Fault(action, fate, (time,)))
    assert FATES[fate] in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("fate", [fate for fate in FATES if fate != "leave"])
def test_who_comes_back_is_asked_again_as_if_nothing_had_happened(fate: str, moment: str) -> None:
    """Also with a lost memory, and as another node: it is greeted, reminded and asked again."""
    action, time, settings = MOMENTS[moment]
    outcome = run(config_of(max_failed_rounds=1, **settings), Fault(action, fate, (time,)))
    assert outcome.result["digest"] == digest_of(config_of(max_failed_rounds=1, **settings))
    assert [(row["machine"], row["why"]) for row in outcome.result["missing"]] == [(LIAR, FATES[fate])]


@pytest.mark.parametrize("fate", ["restart", "return"])
@pytest.mark.parametrize("look", [1, 2])
def test_a_machine_that_was_killed_at_a_look_is_reminded_of_the_last(fate: str, look: int) -> None:
    settings: dict[str, Any] = {**LOOKING, "max_failed_rounds": 1, "identify_rounds": 4, "identify_epochs": 4}
    outcome = run(config_of(**settings), Fault("look", fate, (look,)))
    assert outcome.result["digest"] == digest_of(config_of(**settings))
    assert rows_of(outcome.result) == [("identify", look, LIAR)]


def test_the_exchanges_that_may_fail_are_counted_over_the_run() -> None:
    twice = Fault("fit", "silent", (1, 3))  # 3: after the first was made again
    with pytest.raises(EngineError, match=r"robust stage, round 2: 3 of 4 machines answered, 4 are needed"):
        run(config_of(max_failed_rounds=1), twice)
    settings = {"max_failed_rounds": 2}
    assert run(config_of(**settings), twice).result["digest"] == digest_of(config_of(**settings))


def test_only_those_who_did_not_count_are_asked_again() -> None:
    grid, start = grid_of(config_of(max_failed_rounds=1), Fault("fit", "silent"))
    start()
    assert [grid.asked["fit", machine] for machine in range(4)] == [2, 2, 3, 2]


def test_a_machine_that_never_returns_is_missed_in_every_round() -> None:
    outcome = run(config_of(min_machines=0.75, robust_rounds=3), Fault("fit", "leave", (2,)))
    whys = [(row["round"], row["machine"], row["why"]) for row in outcome.result["missing"]]
    assert whys == [(2, LIAR, "machine 2 did not answer in time"), (3, LIAR, "machine 2 is not connected")]


@pytest.mark.parametrize("settings", [{}, FEDERATED, LOOKING, PEERS])
def test_a_machine_that_never_returns_ends_a_run_that_waits_for_all(settings: dict[str, Any]) -> None:
    with pytest.raises(EngineError, match=r"3 of 4 machines connected within 0 s; start the missing ones"):
        run(config_of(max_failed_rounds=9, **settings), Fault("fit", "leave"))


@pytest.mark.parametrize(("round_timeout", "passed"), [(0.0, None), (7.5, 7.5)])
def test_no_exchange_waits_longer_than_the_timeout(round_timeout: float, passed: float | None) -> None:
    settings: dict[str, Any] = {**LOOKING, "min_machines": 0.5, "evaluation_at": "machines"}
    late = {3: ("fit", 1)}
    grid, start = grid_of(config_of(round_timeout=round_timeout, **settings), Fault("fit", "return"), late=late)
    start()
    assert grid.timeouts == {passed}


def test_a_node_that_hangs_while_the_server_waits_for_others_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """One of the connected is asked how many machines there are: with the timeout as well."""
    monkeypatch.setattr("strategies.exchange.SHORTAGE_SECONDS", -1.0)
    config = config_of(round_timeout=7.5, min_machines=0.75)
    grid, start = grid_of(config, Fault("census", "silent", (), machine=0), late={3: ("fit", 99)})
    with pytest.raises(EngineError, match="2 of 4 machines answered, 3 are needed"):
        start()
    assert grid.timeouts == {7.5}


@pytest.mark.parametrize("settings", [{}, FEDERATED, LOOKING])
def test_who_joins_before_identification_is_closed_takes_part_in_it(settings: dict[str, Any]) -> None:
    late = {3: ("census", 1)}
    grid, start = grid_of(config_of(min_machines=0.75, **settings), late=late)
    outcome = start()
    assert rows_of(outcome.result) == [("identify", 0, 3)]
    assert outcome.result["missing"][0]["why"] == "machine 3 is not connected"
    assert len(outcome.result["identification"]["machines"]) == 4
    assert grid.counted.count(("fit", 3)) == 2


@pytest.mark.parametrize("settings", [{}, FEDERATED])
def test_who_joins_after_identification_takes_part_from_the_next_round(settings: dict[str, Any]) -> None:
    """It finds its own errors, or is told the common model; the factor stays what three machines made it."""
    settings = {**settings, "min_machines": 0.75, "robust_rounds": 3, "selection": "last"}
    grid, start = grid_of(config_of(**settings), late={3: ("fit", 1)})
    outcome = start()
    never = run(config_of(**settings), late={3: ("fit", 99)}).result
    assert len(outcome.result["identification"]["machines"]) == 3
    assert outcome.result["identification"]["upsample-factor"] == never["identification"]["upsample-factor"]
    assert grid.counted.count(("fit", 3)) == 2
    assert ("robust", 1, 3) in rows_of(outcome.result)
    assert ("robust", 2, 3) not in rows_of(outcome.result)
    assert outcome.result["digest"] != never["digest"]


def test_who_joins_after_a_vote_has_nobody_to_judge_its_data() -> None:
    settings = {**PEERS, "min_machines": 0.75, "robust_rounds": 3, "selection": "last"}
    outcome = run(config_of(**settings), late={3: ("fit", 1)})
    assert [row["why"] for row in outcome.result["missing"] if row["round"] > 1] == [
        "machine 3: the machine has forgotten its error set"
    ] * 2
    assert outcome.result["digest"] == run(config_of(**settings), late={3: ("fit", 99)}).result["digest"]


def test_nobody_takes_a_machines_place_while_it_answers() -> None:
    """A node that joins late says that it is machine 1."""
    config = config_of(min_machines=0.75)
    lies = [Fault(action, numbers(partition_id=1), (), 3) for action in ("census", "fit", "identify")]
    outcome = run(config, *lies, late={3: ("census", 1)})
    assert {row["machine"] for row in outcome.result["missing"]} == {1, 3}
    assert all("has answered as it" in row["why"] or "not connected" in row["why"] for row in outcome.result["missing"])
    assert outcome.result["digest"] == run(config, late={3: ("census", 99)}).result["digest"]


ONE_CLASS = [torch.arange(0, 30, 2), torch.arange(1, 30, 2), torch.arange(30, 45), torch.arange(45, 60)]
HARDLY_ANY = [torch.arange(0, 1), torch.arange(1, 3), torch.arange(3, 30), torch.arange(30, 60)]
NONE = [torch.arange(0, 20), torch.arange(0), torch.arange(20, 40), torch.arange(40, 60)]
HONEST: dict[str, dict[str, Any]] = {
    "erm": {"method": "erm"},
    "erm, averages and a bound": {"method": "erm", "max_update_norm": 1e3},
    "group-balanced": {"method": "group-balanced"},
    "fednova": {"aggregator": "fednova", "averaging": "none"},
    "local": {},
    "local, stable": {"identify_stop": "stable", "identify_guard": True},
    "federated": FEDERATED,
    "federated, stable": {**LOOKING, "identify_guard": True, "identify_averaging": "rounds"},
    "federated, val-groups": {**FEDERATED, "identify_stop": "val-groups"},
    "peers": PEERS,
    "peers, stable": {**PEERS, "identify_stop": "stable", "peer_vote": "mean-loss"},
    "central": CENTRAL,
    "central, federated": {**CENTRAL, **FEDERATED},
    "central, peers": {**CENTRAL, **PEERS},
    "at the machines": {**LOOKING, **AT_MACHINES},
    "extra copies": {"upsample_convention": "extra", "upsample": 3},
}


@pytest.mark.parametrize("name", HONEST)
@pytest.mark.parametrize("spread_as", ["iid", "label-dirichlet", "one class", "hardly any", "none"])
def test_nothing_is_objected_to_in_an_honest_run(name: str, spread_as: str) -> None:
    rows = {"one class": ONE_CLASS, "hardly any": HARDLY_ANY, "none": NONE}.get(spread_as)
    partition = {} if rows is not None else {"partition": spread_as}
    outcome = run(config_of(**HONEST[name], **partition), rows=rows)
    assert outcome.result["missing"] == []
    assert np.isfinite(outcome.weights).all()
    assert_ledger_adds_up(outcome)


def test_a_machine_without_train_rows_is_not_taken_for_the_one_that_is_missing() -> None:
    outcome = run(config_of(min_machines=2, robust_rounds=3), Fault("fit", "leave", (2,)), rows=NONE)
    assert [(row["round"], row["machine"]) for row in outcome.result["missing"]] == [(2, LIAR), (3, LIAR)]


def assert_ledger_adds_up(outcome: Outcome) -> None:
    for stage in ("identify", "robust", "evaluate"):
        for way in ("sent", "received"):
            of_machines = sum(row[way] for row in outcome.ledger if row["stage"] == stage)
            assert of_machines == outcome.result["bytes"][stage][way]
    assert sum(row["messages"] for row in outcome.ledger) > 0


@pytest.mark.parametrize("fate", FATES)
def test_the_ledger_adds_up_whatever_fails(fate: str) -> None:
    """A message that is sent again is paid again, and a reply that does not come is not."""
    config = config_of(min_machines=0.75, **FEDERATED)
    outcome = run(config, Fault("fit", fate), late={3: ("learn", 1)})
    assert_ledger_adds_up(outcome)
    honest = run(config)
    (row,) = [row for row in outcome.ledger if (row["stage"], row["round"], row["machine"]) == ("robust", 1, LIAR)]
    (same,) = [row for row in honest.ledger if (row["stage"], row["round"], row["machine"]) == ("robust", 1, LIAR)]
    assert (row["messages"], row["received"]) == (1, 0)
    assert row["sent"] == pytest.approx(same["sent"], abs=16)  # the same message, but for its numbers
    assert same["received"] > 0
