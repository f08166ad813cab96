"""Identification by peers: who judges whom, what is sent, and the vote."""

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from flwr.app import RecordDict

import fedjtt
from fedjtt.evaluation import outputs_of
from fedjtt.inference.splits import agreed
from fedjtt.methods import identify_local
from fedjtt.methods.base import Payload
from fedjtt.methods.identify_local import find_own
from fedjtt.methods.identify_peers import lend, peers_of
from fedjtt.provide import spread
from tests.strategies.test_staged import Lossy
from tests.tiny import a_try, asked, node_of, parts_of_a_run, tiny_config, tiny_splits

PARAMETERS = 5 * 128 + 129 * 128 + 129 * 2
# So much that the machines' own models differ from each other, and none is flawed.
LEARNED: dict[str, Any] = {"identify_learning_rate": 0.05, "identify_epochs": 3}


@pytest.mark.parametrize(("machines", "peers"), [(2, 1), (5, 1), (5, 3), (5, 4), (20, 3)])
def test_every_model_travels_equally_often_and_nobody_judges_by_its_own_twice(machines: int, peers: int) -> None:
    chosen = peers_of(range(machines), peers, seed=0)
    assert sorted(chosen) == list(range(machines))
    for machine, others in chosen.items():
        assert len(set(others)) == len(others) == peers
        assert machine not in others
    assert set(Counter(other for others in chosen.values() for other in others).values()) == {peers}


def test_no_more_peers_than_other_machines() -> None:
    assert {machine: sorted(others) for machine, others in peers_of([0, 1, 2], 7, seed=0).items()} == {
        0: [1, 2], 1: [0, 2], 2: [0, 1],
    }  # fmt: skip
    assert peers_of([4], 3, seed=0) == {4: []}


def test_the_ring_is_drawn_by_seed_over_the_machines_that_answered() -> None:
    machines = [0, 2, 3, 5, 8, 9]
    rings = [peers_of(machines, 2, seed) for seed in range(5)]
    assert all(set(ring) == set(machines) == {o for others in ring.values() for o in others} for ring in rings)
    assert rings[0] == peers_of(machines, 2, 0)
    assert len({str(sorted(ring.items())) for ring in rings}) > 1


@pytest.mark.parametrize("guard", [False, True])
@pytest.mark.parametrize("robust", ["central", "federated"])
def test_one_machine_has_no_peers_and_is_local(robust: str, guard: bool) -> None:
    results = [
        fedjtt.simulate(
            tiny_config(machines=1, robust=robust, identify=name, identify_guard=guard, **LEARNED), tiny_splits()
        ).result
        for name in ("local", "peers")
    ]
    assert results[0]["digest"] == results[1]["digest"]
    errors = [result["identification"]["error-set-size"] for result in results]
    assert errors[0] == errors[1] > 0


def test_what_is_lent_is_the_machines_own_model() -> None:
    config = tiny_config(identify="peers")
    node, other = (node_of(config, tiny_splits().train, torch.arange(20), 1, 3) for _ in range(2))
    reply = lend(node, Payload(numbers={"examples": 60}))
    found = find_own(other, 60)
    assert set(reply.arrays) == {"model"}
    assert reply.arrays["model"].tobytes() == other.memo["own-model"].tobytes()
    part, label = torch.arange(20), node.data.train.dataset.label
    logits = outputs_of(node.load(reply.arrays["model"]), node.data.train.dataset, part)
    assert torch.equal(logits.argmax(dim=1) != label[part], found.mask)
    assert (reply.integer("machine"), reply.integer("steps"), reply.integer("tries")) == (1, 3, 1)


def identified(**changes: Any) -> tuple[Any, Any, Any]:
    config = tiny_config(**{"identify": "peers", **LEARNED, **changes})
    strategy, grid = parts_of_a_run(config, tiny_splits())
    seen = asked(grid)
    return strategy.run(grid), strategy, seen


@pytest.mark.parametrize("vote", ["majority", "mean-loss"])
def test_a_machine_judges_by_its_own_model_and_its_peers(vote: str) -> None:
    """Five machines with two peers each: three votes, by hand from the models that were lent."""
    done, _, seen = identified(machines=5, peers=2, peer_vote=vote)
    config = tiny_config(machines=5)
    lent = {machine: reply.arrays["model"] for action, machine, _, reply in seen if action == "lend"}
    chosen = peers_of(range(5), 2, config.seed)
    data = tiny_splits().train
    node = node_of(config, data)
    total = 0
    for number, part in enumerate(spread(tiny_splits(), config)):
        rows = part.train.rows
        outputs = [outputs_of(node.load(lent[other]), data, rows) for other in (*chosen[number], number)]
        mask = agreed(outputs, data.label[rows], "misclassified", vote)
        (reply,) = (reply for action, machine, _, reply in seen if (action, machine) == ("judge", number))
        assert reply.arrays["error-ids"].tolist() == data.id[rows][mask].tolist()
        total += int(mask.sum())
    assert done.identification["error-set-size"] == total > 0


def test_the_machines_train_with_the_vote_and_not_with_their_own_finding() -> None:
    done, _, seen = identified(machines=5, robust="federated")
    local = fedjtt.simulate(tiny_config(machines=5, robust="federated", **LEARNED), tiny_splits()).result[
        "identification"
    ]
    machines = done.identification["machines"]
    voted = [each["error-set-size"] for each in machines]
    assert voted != [each["error-set-size"] for each in local["machines"]]
    factor = done.identification["upsample-factor"]
    sizes = [reply.real("size") for action, _, _, reply in seen if action == "fit"][:5]
    assert sizes == [each["samples"] + (factor - 1) * each["error-set-size"] for each in machines]


def test_a_collapsed_machines_model_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under the guard machine 1's model is useless: it judges nobody's data, its own is judged by the others'."""
    original = identify_local._train_and_split

    def collapsing(node: Any, schedule: Any) -> Any:
        if node.partition_id != 1:
            return original(node, schedule)
        return replace(a_try(torch.ones(len(node.data.train)).bool()), weights=np.zeros(PARAMETERS, np.float32))

    monkeypatch.setattr(identify_local, "_train_and_split", collapsing)
    done, strategy, seen = identified(peers=2, identify_guard=True)
    lent = {machine: reply for action, machine, _, reply in seen if action == "lend"}
    assert [lent[machine].integer("useless") for machine in range(3)] == [0, 1, 0]
    judged = {machine: request for action, machine, request, _ in seen if action == "judge"}
    models = {machine: sorted(model.tobytes() for model in r.arrays["models"]) for machine, r in judged.items()}
    own = {machine: reply.arrays["model"].tobytes() for machine, reply in lent.items()}
    assert models == {0: [own[2]], 1: sorted([own[0], own[2]]), 2: [own[0]]}
    assert [judged[machine].integer("own") for machine in range(3)] == [1, 0, 1]
    assert "1 of 3 machines' own models were useless and judged no data" in strategy.notes
    assert [machine["tries"] for machine in done.identification["machines"]] == [1, 2, 1]


def test_where_all_models_are_useless_training_is_plain_erm(monkeypatch: pytest.MonkeyPatch) -> None:
    def collapsing(node: Any, _: Any) -> Any:
        return replace(a_try(torch.ones(len(node.data.train)).bool()), weights=np.zeros(PARAMETERS, np.float32))

    monkeypatch.setattr(identify_local, "_train_and_split", collapsing)
    for robust in ("central", "federated"):
        done, strategy, _ = identified(identify_guard=True, robust=robust)
        assert strategy.notes[0] == "3 of 3 machines' own models were useless and judged no data"
        assert done.identification["error-set-size"] == 0
        erm, grid = parts_of_a_run(tiny_config(method="erm", robust=robust), tiny_splits())
        assert erm.run(grid).weights.tobytes() == done.weights.tobytes()


def test_a_model_travels_up_once_and_down_to_each_peer() -> None:
    _, strategy, _ = identified(machines=5, peers=3, robust="federated")
    identify, model = strategy.traffic["identify"], 4 * PARAMETERS
    assert 5 * model <= identify.received <= 5 * model + 15 * 1000  # fifteen replies with little else in them
    assert 15 * model <= identify.sent <= 15 * model + 15 * 1000


def test_seconds_are_those_of_learning_and_of_judging(monkeypatch: pytest.MonkeyPatch) -> None:
    """(1, 2, 3) s of learning and as much of judging: slowest 3 + 3, sum 6 + 6."""
    config = tiny_config(identify="peers")
    strategy, grid = parts_of_a_run(config, tiny_splits())
    ask = strategy.ask

    def timed(place: Any, action: str, *rest: Any) -> list[Payload]:
        replies = ask(place, action, *rest)
        if action not in ("lend", "judge"):
            return replies
        return [Payload(r.arrays, {**r.numbers, "seconds": float(n)}) for n, r in enumerate(replies, start=1)]

    monkeypatch.setattr(strategy, "ask", timed)
    assert strategy.run(grid).seconds["identify"] == {"sum": 12.0, "slowest": 6.0}


def test_a_machine_that_does_not_lend_is_nobodys_peer_and_does_not_stop_the_others() -> None:
    """It has no error set, so in the robust rounds it does not count either."""
    config = tiny_config(machines=4, identify="peers", robust="federated", min_machines=0.75)
    strategy, grid = parts_of_a_run(config, tiny_splits())
    grid.__class__ = Lossy

    def crashed(action: str, number: int) -> str:
        if (action, number) != ("lend", 2):
            return ""
        grid._contexts[3].state = RecordDict()  # nothing is left of what it did
        return "error"

    grid.fails = crashed  # type: ignore[attr-defined]
    done = strategy.run(grid)
    assert np.isfinite(done.weights).all()
    assert done.identification is not None
    assert len(done.identification["machines"]) == 3
    assert "robust stage, round 1: 3 of 4 machines counted; machine 2: the machine has forgotten its error set" in (
        strategy.notes
    )
