"""Secure aggregation as a whole: sums equal plain sums, whoever drops out when; runs equal runs without it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fedjtt.api import simulate
from fedjtt.client_app import make_client_app
from fedjtt.config import RunConfig
from fedjtt.data.host import NoRows
from fedjtt.errors import EngineError, FedJTTError
from fedjtt.hosts import hosts_of
from fedjtt.methods.base import Action, Node, Payload
from fedjtt.methods.secure import keys, reveal, secured, shares
from fedjtt.methods.summed import flatten
from fedjtt.provide import provide_parts
from fedjtt.server_app import Outcome, run_method
from strategies.exchange import Problem
from strategies.question import Question, Tried
from strategies.secure import SecureSums
from strategies.secure_rules import objection_to_step
from tests.own_hosts import own_config, write_hosts
from tests.strategies.test_faults import Fault, FaultyGrid, config_of, grid_of, run
from tests.tiny import asked, grouped, node_of, tiny_config, tiny_splits

LENGTH = 50


@dataclass
class Protocol:
    """Machines with made-up replies, and a server that sums them.

    `gone`: (step, machine) of machines that leave before they do anything; `lost`: they act, and nothing arrives.
    """

    machines: int
    gone: tuple[tuple[str, int], ...] = ()
    lost: tuple[tuple[str, int], ...] = ()
    needed: int = 1
    seen: list[tuple[str, int, Payload]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.config = tiny_config(machines=self.machines, robust="federated", secure_aggregation=True)
        self.nodes = [node_of(self.config, grouped([0, 1]), number=m, machines=self.machines) for m in self.everyone]
        self.away: set[int] = set()

    @property
    def everyone(self) -> range:
        return range(self.machines)

    def reply_of(self, machine: int) -> Payload:
        chance = np.random.default_rng(machine)
        weights = chance.normal(size=LENGTH).astype(np.float32)
        return Payload({"weights": weights}, {"size": float(chance.integers(5, 500)), "seconds": float(machine)})

    def attempt(self, question: Question) -> Tried:
        requests = question.request
        each = requests if isinstance(requests, Mapping) else dict.fromkeys(self.everyone, requests)
        good, problems = {}, []
        for machine, request in each.items():
            try:
                good[machine] = self._answer(question, machine, request)
            except FedJTTError as error:
                problems.append(Problem(None, machine, str(error)))
        return Tried(len(each), good, problems, None)

    def _answer(self, question: Question, machine: int, request: Payload) -> Payload:
        if (question.step, machine) in self.gone:
            self.away.add(machine)
        if machine in self.away:
            raise EngineError(f"machine {machine} is gone")

        def own(node: Node, request: Payload) -> Payload:  # noqa: ARG001
            return self.reply_of(node.partition_id)

        acts: dict[str, Action] = {"keys": keys, "shares": shares, "masked": secured("learn", own), "reveal": reveal}
        reply = acts[question.step](self.nodes[machine], request)
        assert objection_to_step(question.step, "learn", request, reply) == ""
        if (question.step, machine) in self.lost:
            raise EngineError(f"nothing was heard of machine {machine}")
        self.seen.append((question.step, machine, reply))
        return reply

    def tried(self) -> Tried:
        request = Payload({"weights": np.zeros(LENGTH, np.float32)})
        question = Question("machines", "learn", request, 1)
        return SecureSums(self.config, lambda _: self.needed).asking(question, self.attempt)(frozenset())

    def assert_sum_of(self, counted: set[int]) -> None:
        tried = self.tried()
        assert tried.total is not None
        assert set(tried.payloads) == counted
        replies = [self.reply_of(machine) for machine in sorted(counted)]
        sizes = [reply.real("size") for reply in replies]
        exact = sum(r.arrays["weights"].astype(np.float64) * s for r, s in zip(replies, sizes, strict=True)) / sum(
            sizes
        )
        # Half a unit of 2^-28 a machine, divided by the sizes; then the mean is rounded to float32.
        bound = len(counted) * 2.0**-29 / sum(sizes) + np.abs(exact) * 2.0**-24 + 1e-15
        assert (np.abs(tried.total.arrays["weights"] - exact) <= bound).all()
        assert tried.total.real("size") == sum(sizes)
        assert tried.total.integer("machines") == len(counted)
        assert tried.total.reals("seconds") == [float(machine) for machine in sorted(counted)]


@pytest.mark.parametrize("machines", [3, 4, 10, 25])
def test_the_sum_of_masked_replies_is_that_of_the_plain_ones(machines: int) -> None:
    Protocol(machines).assert_sum_of(set(range(machines)))


def test_two_sums_are_the_same_bits_whatever_the_keys() -> None:
    one, two = Protocol(5), Protocol(5)
    assert one.tried().total.arrays["weights"].tobytes() == two.tried().total.arrays["weights"].tobytes()  # type: ignore[union-attr]
    masked = [[reply.arrays["masked"] for step, _, reply in each.seen if step == "masked"] for each in (one, two)]
    assert not any((a == b).any() for a, b in zip(*masked, strict=True))


def test_all_but_one_masked_vectors_tell_nothing_of_the_sum() -> None:
    """What is left of the masks is uniform: the top bit of half of the numbers is set, but for six deviations."""
    protocol = Protocol(6)
    protocol.tried()
    masked = [reply.arrays["masked"] for step, _, reply in protocol.seen if step == "masked"]
    partial = masked[0] + masked[1] + masked[2] + masked[3] + masked[4]
    plain = [flatten("learn", protocol.reply_of(machine), 6).vector for machine in range(6)]
    assert not (partial == plain[0] + plain[1] + plain[2] + plain[3] + plain[4]).any()
    bits = np.unpackbits(np.stack(masked).view(np.uint8))
    assert abs(float(bits.mean()) - 0.5) < 6 * 0.5 / len(bits) ** 0.5


@pytest.mark.parametrize("fate", ["gone", "lost"])
@pytest.mark.parametrize(
    ("machines", "dropped", "step"),
    [
        (machines, dropped, step)
        for machines, dropped in ((3, (1,)), (5, (0, 4)), (25, (0, 1, 2, 3, 4, 5)))
        for step in ("keys", "shares", "masked")
        if (machines, step) != (3, "keys")  # two machines have nothing to hide among: see below
    ],
)
def test_who_drops_out_before_answering_is_not_in_the_sum(
    machines: int, dropped: tuple[int, ...], step: str, fate: str
) -> None:
    named = tuple((step, machine) for machine in dropped)
    protocol = Protocol(machines, **{fate: named})  # type: ignore[arg-type]
    protocol.assert_sum_of(set(range(machines)) - set(dropped))


@pytest.mark.parametrize("fate", ["gone", "lost"])
@pytest.mark.parametrize(("machines", "dropped"), [(3, (1,)), (5, (0, 4)), (25, (3, 9, 11))])
def test_who_is_gone_when_masks_are_taken_away_counts_all_the_same(
    machines: int, dropped: tuple[int, ...], fate: str
) -> None:
    named = tuple(("reveal", machine) for machine in dropped)
    Protocol(machines, **{fate: named}).assert_sum_of(set(range(machines)))  # type: ignore[arg-type]


def test_drop_outs_at_every_step_of_one_exchange() -> None:
    gone = (("keys", 0), ("shares", 1), ("masked", 2), ("reveal", 3))
    Protocol(10, gone).assert_sum_of({3, 4, 5, 6, 7, 8, 9})


@pytest.mark.parametrize(("step", "left"), [("keys", 2), ("shares", 2), ("masked", 2), ("reveal", 2)])
def test_too_few_at_any_step_and_nothing_is_opened(step: str, left: int) -> None:
    """Of five machines three must stay."""
    protocol = Protocol(5, tuple((step, machine) for machine in range(3)))
    tried = protocol.tried()
    assert tried.total is None
    assert len(tried.payloads) == left
    assert tried.needed > left
    assert len(tried.problems) == 3
    revealed = [machine for seen, machine, _ in protocol.seen if seen == "reveal"]
    assert len(revealed) == (left if step == "reveal" else 0)


def test_what_min_machines_asks_is_asked_of_the_masked_replies() -> None:
    """Four of five are more than half; where all five must count, no mask is taken away."""
    assert Protocol(5, (("masked", 2),), needed=4).tried().total is not None
    protocol = Protocol(5, (("masked", 2),), needed=5)
    tried = protocol.tried()
    assert (tried.total, tried.needed) == (None, 5)
    assert not [machine for step, machine, _ in protocol.seen if step == "reveal"]


def test_two_machines_have_nothing_to_hide_among() -> None:
    tried = Protocol(3, (("keys", 1),)).tried()
    assert (tried.total, tried.needed) == (None, 3)


def test_shares_of_another_key_are_found_out() -> None:
    """A mask key that the others' shares make must belong to the public key; no wrong mask is taken away."""
    protocol = Protocol(4, (("masked", 3),))
    original = protocol.attempt

    def lying(question: Question) -> Tried:
        tried = original(question)
        if question.step == "reveal":
            for reply in tried.payloads.values():
                reply.arrays["shares"][:, 10] ^= 1
        return tried

    protocol.attempt = lying  # type: ignore[method-assign]
    with pytest.raises(EngineError, match=r"identify stage, round 1: the machines' sum cannot be opened"):
        protocol.tried()


# --- whole runs ---

RUNS: dict[str, dict[str, Any]] = {
    "erm": {"method": "erm"},
    "group-balanced": {"method": "group-balanced"},
    "subset": {"method": "balance", "balance": "subset"},
    "upweight-inferred": {"method": "balance", "balance": "upweight", "groups": "inferred", "identify": "federated"},
    "group-dro": {"method": "group-dro", "dro_step": 0.5},
    "group-dro-inferred": {"method": "group-dro", "groups": "inferred"},
    "cvar-dro": {"method": "cvar-dro"},
    "d3m": {"method": "d3m", "d3m_remove": 9, "projection_dimension": 16, "d3m_models": 2},
    "auto-d3m": {"method": "auto-d3m", "projection_dimension": 16},
    "local": {"identify": "local", "identify_guard": True},
    "federated": {"identify": "federated"},
    "stable": {"identify": "federated", "identify_stop": "stable", "identify_rounds": 4, "identify_guard": True},
    "val-groups": {"identify": "federated", "identify_stop": "val-groups"},
    "adaptive": {"identify": "federated", "identify_aggregator": "fedadam", "aggregator": "fedavgm",
                 "averaging": "none"},
    "drawn": {"identify": "federated", "machines": 6, "fraction_train": 0.5},
}  # fmt: skip


@cache
def outcome_of(name: str, on: bool, machines: int = 4) -> Outcome:
    settings = {"machines": machines, "robust": "federated", "evaluation_at": "machines", **RUNS[name]}
    return simulate(tiny_config(**settings, secure_aggregation=on), tiny_splits())


def known_of_all(outcome: Outcome) -> dict[str, Any]:
    """What does not depend on single machines or on the clock."""
    found = dict(outcome.result["identification"] or {})
    if (removal := outcome.result["removal"]) is not None:
        found["removal"] = {name: value for name, value in removal.items() if name != "targets"}
    for name in ("machines", "unevenness"):
        found.pop(name, None)
    return {**found, **{split: outcome.result[split]["groups"] for split in ("validation", "test")}}


@pytest.mark.parametrize("name", RUNS)
def test_a_runs_counts_are_those_without_it_and_its_weights_nearly(name: str) -> None:
    """Error sets, factors, predictions: equal. Of these short runs' weights no difference reaches 1e-5."""
    plain, secure = outcome_of(name, on=False), outcome_of(name, on=True)
    assert known_of_all(secure) == known_of_all(plain)
    assert np.abs(secure.weights - plain.weights).max() < 1e-5
    assert secure.result["missing"] == []
    assert secure.result["notes"] == plain.result["notes"]
    if secure.result["identification"]:
        assert secure.result["identification"]["machines"] is None
        assert secure.result["identification"]["unevenness"] is None


@pytest.mark.slow
def test_25_machines_of_which_each_has_20_neighbours() -> None:
    plain, secure = outcome_of("federated", on=False, machines=25), outcome_of("federated", on=True, machines=25)
    assert known_of_all(secure) == known_of_all(plain)
    assert np.abs(secure.weights - plain.weights).max() < 1e-5


@pytest.mark.parametrize("name", ["stable", "drawn"])
def test_the_digest_is_the_same_from_run_to_run_and_with_workers(name: str) -> None:
    settings = {"machines": 4, "robust": "federated", "evaluation_at": "machines", **RUNS[name]}
    config = tiny_config(**settings, secure_aggregation=True)
    digest = outcome_of(name, on=True).result["digest"]
    assert simulate(config, tiny_splits()).result["digest"] == digest
    assert simulate(config.replace(workers=2), tiny_splits()).result["digest"] == digest
    assert digest != outcome_of(name, on=False).result["digest"]


def test_every_exchange_is_paid_by_the_stage_that_it_serves() -> None:
    """Four messages a machine and question in place of one; 8 bytes a parameter in place of 4, up."""
    plain, secure = outcome_of("erm", on=False), outcome_of("erm", on=True)
    rows = [
        [r for r in each.ledger if (r["stage"], r["round"], r["machine"]) == ("robust", 1, 2)]
        for each in (plain, secure)
    ]
    (before,), (after,) = rows
    assert (before["messages"], after["messages"]) == (1, 4)
    parameters = 2 * len(plain.weights)  # the weights and their average
    assert after["received"] - before["received"] == pytest.approx(4 * parameters, abs=2000)
    assert after["sent"] - before["sent"] < 2500
    for stage in ("identify", "robust", "evaluate"):
        for way in ("sent", "received"):
            of_machines = sum(row[way] for row in secure.ledger if row["stage"] == stage)
            assert of_machines == secure.result["bytes"][stage][way]


# --- faults ---

SECURE = {"secure_aggregation": True, "robust_rounds": 3}
WAYS: dict[str, tuple[str, dict[str, Any]]] = {
    "training": ("fit", {}),
    "identification": ("identify", {}),
    "the common model's training": ("learn", {"identify": "federated"}),
    "a look": ("look", {"identify": "federated", "identify_stop": "stable", "identify_rounds": 4}),
    "the judgement": ("judge", {"identify": "federated"}),
    "evaluation": ("assess", {"evaluation_at": "machines"}),
    "the census": ("census", {}),
}
FATES = ("raise", "silent", "restart", "return")


@cache
def digest_of(config: RunConfig) -> str:
    return str(run(config).result["digest"])


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("fate", FATES)
def test_who_comes_back_is_asked_again_as_if_nothing_had_happened(fate: str, way: str) -> None:
    """All are asked again, with new keys; a round is not trained twice, and a look is not a second one."""
    action, settings = WAYS[way]
    config = config_of(**{**SECURE, **settings, "max_failed_rounds": 1})
    outcome = run(config, Fault(action, fate, (1,)))
    assert outcome.result["digest"] == digest_of(config)
    assert [row["machine"] for row in outcome.result["missing"]] == [2]
    assert any("only 3 of 4 machines counted; all were asked again" in note for note in outcome.result["notes"])


@pytest.mark.parametrize("way", [way for way in WAYS if way != "the census"])
@pytest.mark.parametrize("fate", FATES)
def test_a_round_goes_on_without_who_drops_out_and_is_the_same_as_without_masks(fate: str, way: str) -> None:
    action, settings = WAYS[way]
    settings = {**SECURE, **settings, "min_machines": 3}
    fault = Fault(action, fate, (1,))
    secure, plain = (
        run(config_of(**settings), fault),
        run(config_of(**{**settings, "secure_aggregation": False}), fault),
    )
    assert [row["machine"] for row in secure.result["missing"]] == [row["machine"] for row in plain.result["missing"]]
    assert np.abs(secure.weights - plain.weights).max() < 1e-5


@pytest.mark.parametrize("step", ["keys", "shares", "reveal"])
@pytest.mark.parametrize("fate", [*FATES, "leave"])
def test_a_machine_may_fail_in_any_step_of_the_protocol(fate: str, step: str) -> None:
    """At the third question to the machines, the second round's training."""
    config = config_of(**{**SECURE, "method": "erm", "min_machines": 3})
    outcome = run(config, Fault(step, fate, (3,)))
    assert {row["machine"] for row in outcome.result["missing"]} <= {2}
    assert np.isfinite(outcome.weights).all()
    if step == "reveal" and fate in ("raise", "silent"):  # it had answered already
        assert outcome.result["digest"] == digest_of(config)
        assert outcome.result["missing"] == []


@pytest.mark.parametrize("step", ["keys", "shares", "fit"])
def test_where_all_must_count_a_failing_machine_is_the_end_in_one_line(step: str) -> None:
    with pytest.raises(EngineError, match=r"stage.*: 3 of 4 machines answered, 4 are needed: ") as caught:
        run(config_of(**SECURE), Fault(step, "silent", (2,)))
    assert "\n" not in str(caught.value)


def test_too_few_at_the_end_of_an_exchange_are_the_end() -> None:
    faults = [Fault("reveal", "silent", (2,), machine) for machine in (0, 1)]
    with pytest.raises(EngineError, match=r"2 of 4 machines answered, 3 are needed: machine 0 did not answer in time"):
        run(config_of(**SECURE, min_machines=2), *faults)


def test_who_joins_late_takes_part_without_saying_a_count_in_the_clear() -> None:
    settings = {**SECURE, "min_machines": 0.75, "selection": "last", "identify": "federated"}
    grid, start = grid_of(config_of(**settings), late={3: ("fit", 1)})
    seen = asked(grid)
    outcome = start()
    assert grid.counted.count(("fit", 3)) == 2
    assert np.isfinite(outcome.weights).all()
    assert_no_reply_in_the_clear(seen)


def test_a_shortage_of_machines_is_looked_into_without_a_count_in_the_clear(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("strategies.exchange.SHORTAGE_SECONDS", -1.0)
    grid, start = grid_of(config_of(**SECURE, min_machines=0.75), late={3: ("fit", 99)})
    seen = asked(grid)
    start()
    assert_no_reply_in_the_clear(seen)


def test_a_machine_without_a_train_row_counts_for_nothing() -> None:
    """The server does not know that it has none, and asks it."""
    rows = [torch.arange(0, 30), torch.arange(30, 45), torch.arange(45, 60), torch.arange(0)]
    settings = {**SECURE, "method": "erm"}
    outcome = run(config_of(**settings), rows=rows)
    plain = run(config_of(**{**settings, "secure_aggregation": False, "min_machines": 0.75}), rows=rows)
    assert np.abs(outcome.weights - plain.weights).max() < 1e-5


SECURED = {"census", "learn", "look", "judge", "identify", "fit", "assess"}


def assert_no_reply_in_the_clear(seen: list[tuple[str, int, Payload, Payload]]) -> None:
    for action, _, _, reply in seen:
        if action in SECURED:
            assert set(reply.arrays) <= {"masked"}, action
            assert set(reply.numbers) <= {"layout", "seconds", "partition-id"}, action


def test_a_machine_that_is_told_its_models_again_does_not_answer_with_counts() -> None:
    config = config_of(**SECURE, identify="federated", identify_stop="stable", max_failed_rounds=1)
    grid, start = grid_of(config, Fault("fit", "restart", (2,)))
    seen = asked(grid)
    start()
    reminded = [reply for action, _, request, reply in seen if action == "judge" and "quiet" in request.numbers]
    assert reminded
    assert all(set(reply.numbers) <= {"partition-id"} for reply in reminded)
    assert_no_reply_in_the_clear(seen)


def test_hosts_with_rows_of_their_own_say_their_moments_and_then_sums(tmp_path: Path) -> None:
    """Also one that restarts: it is told again how its rows are encoded."""
    config = own_config(write_hosts(tmp_path), identify="federated", secure_aggregation=True, max_failed_rounds=1)
    plain = simulate(config.replace(secure_aggregation=False))
    grid = FaultyGrid(make_client_app(provide_parts(hosts_of(config))), config, 3)
    grid.faults = (Fault("fit", "restart"),)
    seen = asked(grid)
    secure = run_method(config, grid, provide_parts([NoRows()]))
    assert known_of_all(secure) == known_of_all(plain)
    assert np.abs(secure.weights - plain.weights).max() < 1e-5
    assert_no_reply_in_the_clear(seen)
    assert {action for action, *_ in seen} >= {"describe", "prepare"}
