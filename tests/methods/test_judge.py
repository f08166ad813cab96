"""Judging by models that came from elsewhere: votes, what is kept, and what happens when it is forgotten."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
import torch
from flwr.app import Message, RecordDict

from fedjtt.errors import EngineError, ForgottenError
from fedjtt.evaluation import outputs_of
from fedjtt.inference.splits import SPLITS, agreed
from fedjtt.methods.base import Array, Node, Payload
from fedjtt.methods.identify_local import OWN_MODEL, find_own
from fedjtt.methods.judge import judge, judged_errors
from fedjtt.simulation import InProcessGrid
from tests.tiny import node_of, parts_of_a_run, tiny_config, tiny_splits

DATA = tiny_splits().train
ROWS = torch.arange(5, 45)
LEARNED: dict[str, Any] = {"identify_learning_rate": 0.05, "identify_epochs": 3}


def machine(**changes: Any) -> Node:
    return node_of(tiny_config(**{"identify": "federated", **changes}), DATA, ROWS)


def models(count: int) -> Array:
    """Networks that disagree: the initial one, moved at random."""
    start = machine().initial_model().vector.numpy().copy()
    chance = np.random.default_rng(0)
    return np.stack([start + chance.normal(scale=0.1, size=start.shape).astype(np.float32) for _ in range(count)])


def judgement(stack: Array, **more: Any) -> Payload:
    return Payload({"models": stack}, {"examples": 60, "majority": [0, 1], "steps": 7, "tries": 1, **more})


@pytest.mark.parametrize("vote", ["majority", "mean-loss"])
@pytest.mark.parametrize("split", ["misclassified", "eiil", "clusters"])
def test_the_models_vote_on_the_machines_rows(vote: str, split: str) -> None:
    node = machine(peer_vote=vote, identify_split=split)
    stack = models(3)
    outputs = [outputs_of(node.load(weights), DATA, ROWS) for weights in stack]
    expected = agreed(outputs, DATA.label[ROWS], split, vote)
    reply = judge(node, judgement(stack))
    assert torch.equal(judged_errors(node), expected)
    assert reply.arrays["error-ids"].tolist() == ROWS[expected].tolist()
    assert 0 < reply.integer("errors") == int(expected.sum()) < 40
    wrong = DATA.label[ROWS][expected]
    assert reply.integers("label-errors") == [int((wrong == label).sum()) for label in (0, 1)]
    assert reply.integers("label-sizes") == [20, 20]
    assert (reply.integer("steps"), reply.integer("tries"), reply.integer("useless")) == (7, 1, 0)


def test_a_judgement_depends_on_none_before_it() -> None:
    """It is the last word: how a set is beside an earlier one is what looks are for."""
    node, (first, second) = machine(), models(2)
    fresh = judge(machine(), judgement(second[np.newaxis]))
    judge(node, judgement(first[np.newaxis]))
    before = judged_errors(node)
    again = judge(node, judgement(second[np.newaxis]))
    assert not torch.equal(before, judged_errors(node))
    assert "both" not in again.numbers
    replies = ({**reply.numbers, "seconds": 0} for reply in (fresh, again))
    assert next(replies) == next(replies)
    assert fresh.arrays["error-ids"].tolist() == again.arrays["error-ids"].tolist()


def test_without_any_model_nothing_is_called_wrong() -> None:
    node = machine()
    reply = judge(node, judgement(np.zeros((0, 0), np.float32)))
    assert reply.integer("errors") == 0
    assert not bool(judged_errors(node).any())


def test_the_machines_own_model_has_a_vote_where_it_is_asked_for() -> None:
    """Forgotten, it is trained again; `own` = 0 leaves it out."""
    node, stack = machine(identify="peers"), models(2)
    find_own(node, 60)
    own = node.memo[OWN_MODEL]
    reply = judge(node, judgement(stack, own=1))
    outputs = [outputs_of(node.load(weights), DATA, ROWS) for weights in (*stack, own)]
    assert torch.equal(judged_errors(node), agreed(outputs, DATA.label[ROWS], "misclassified", "majority"))
    fresh = machine(identify="peers")
    again = judge(fresh, judgement(stack, own=1))
    assert again.arrays["error-ids"].tolist() == reply.arrays["error-ids"].tolist()
    left_out = judge(machine(identify="peers"), judgement(stack, own=0))
    outputs = outputs[:2]
    expected = agreed(outputs, DATA.label[ROWS], "misclassified", "majority")
    assert left_out.arrays["error-ids"].tolist() == ROWS[expected].tolist()


def test_a_machine_that_knows_nothing_says_so() -> None:
    with pytest.raises(ForgottenError, match="has forgotten its error set"):
        judged_errors(machine())


# --- machines that restart ---


class Restarting(InProcessGrid):
    """Machines that lose their memory before an exchange, but for the one that tells them again."""

    machines: tuple[int, ...] = (0, 1, 2)
    actions: tuple[str, ...] = ("fit",)
    ever = False

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> list[Message]:
        self.told = getattr(self, "told", set[tuple[int, str, str]]())
        self.last = getattr(self, "last", dict[int, str]())
        listed = list(messages)
        for message in listed:
            node, kind = message.metadata.dst_node_id, message.metadata.message_type.split(".")[1]
            key = (node, kind, message.metadata.group_id)
            # the exchange before has told it what it knew
            again = (kind == "fit" and key in self.told) or (kind == "look" and self.last.get(node) == "look")
            self.last[node] = kind
            if node - 1 in self.machines and kind in self.actions and (self.ever or not again):
                self._contexts[node].state = RecordDict()
                self.told.add(key)
        return super().send_and_receive(listed, timeout=timeout)


def outcome(restart: bool, config: Any, **fields: Any) -> tuple[Any, Any]:
    strategy, grid = parts_of_a_run(config, tiny_splits())
    if restart:
        grid.__class__ = Restarting
        for name, value in fields.items():
            setattr(grid, name, value)
    return strategy.run(grid), strategy


@pytest.mark.parametrize("machines", [(1,), (0, 1, 2)])
@pytest.mark.parametrize("identify", ["local", "federated", "peers"])
def test_a_machine_that_forgets_is_asked_again_and_nothing_changes(identify: str, machines: tuple[int, ...]) -> None:
    config = tiny_config(identify=identify, robust="federated", **LEARNED)
    kept, whole = outcome(False, config)
    lost, reminded = outcome(True, config, machines=machines)
    assert kept.identification is not None
    assert kept.identification["error-set-size"] > 0
    assert lost.weights.tobytes() == kept.weights.tobytes()
    assert reminded.notes == whole.notes
    more = reminded.traffic["identify"].sent - whole.traffic["identify"].sent
    assert (more > 0) is (identify != "local")  # a machine finds its own errors again without being told


ACTIONS = ("learn", "look", "lend", "judge", "identify", "fit")


@pytest.mark.parametrize(
    ("identify", "stop"),
    [("local", "last"), ("local", "stable"), ("federated", "last"), ("federated", "stable"),
     ("federated", "val-groups"), ("peers", "last")],
)  # fmt: skip
def test_machines_that_restart_before_every_exchange_change_nothing_either(identify: str, stop: str) -> None:
    config = tiny_config(identify=identify, identify_stop=stop, robust="federated", **LEARNED)
    kept, _ = outcome(False, config)
    lost, _ = outcome(True, config, actions=ACTIONS)
    assert lost.weights.tobytes() == kept.weights.tobytes()


def test_a_machine_that_forgets_is_not_told_of_a_model_that_was_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it is told again is that nothing is wrong, as it was told before."""
    monkeypatch.setitem(SPLITS, "misclassified", lambda logits, label: torch.ones(len(label)).bool())  # noqa: ARG005
    config = tiny_config(identify="federated", robust="federated", identify_guard=True)
    kept, _ = outcome(False, config)
    lost, _ = outcome(True, config)
    assert lost.weights.tobytes() == kept.weights.tobytes()


@pytest.mark.parametrize("identify", ["federated", "peers"])
def test_a_machine_that_always_forgets_counts_as_one_that_does_not_answer(identify: str) -> None:
    config = tiny_config(identify=identify, robust="federated")
    line = r"robust stage, round 1: 2 of 3 machines answered, 3 are needed: machine 1: the machine has forgotten"
    with pytest.raises(EngineError, match=line):
        outcome(True, config, machines=(1,), ever=True)
    done, strategy = outcome(True, config.replace(min_machines=0.6), machines=(1,), ever=True)
    assert np.isfinite(done.weights).all()
    assert strategy.notes[0].startswith("robust stage, round 1: 2 of 3 machines counted; machine 1: the machine has")
