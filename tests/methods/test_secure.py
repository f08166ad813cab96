"""A machine under secure aggregation: what it refuses, whatever the server asks."""

from typing import Any

import numpy as np
import pytest

from fedjtt.errors import DivergedError, EngineError, ForgottenError
from fedjtt.methods.base import Action, Node, Payload
from fedjtt.methods.secure import keys, reveal, secured, shares
from fedjtt.methods.summed import flatten
from tests.tiny import grouped, node_of, tiny_config

SAID = Payload(numbers={"examples": 5, "label-counts": [2, 3], "group-counts": [2, 0, 1, 2]})


def counting(node: Node, request: Payload) -> Payload:  # noqa: ARG001 (an action's signature)
    return SAID


class Machines:
    """Machines between the steps of the protocol."""

    def __init__(self, machines: int = 4, action: Action = counting, name: str = "census") -> None:
        config = tiny_config(machines=machines, robust="federated", secure_aggregation=True)
        self.nodes = [node_of(config, grouped([0, 1]), number=number, machines=machines) for number in range(machines)]
        self.act, self.everyone = secured(name, action), range(machines)

    def have_keys(self, question: int = 1) -> "Machines":
        request = Payload(numbers={"question": question})
        self.public = [keys(node, request).arrays["public-keys"] for node in self.nodes]
        return self

    def neighbours(self, machine: int) -> list[int]:
        return [other for other in self.everyone if other != machine]

    def share_request(self, machine: int, others: list[int] | None = None) -> Payload:
        others = self.neighbours(machine) if others is None else others
        return Payload({"neighbours": np.array(others), "public-keys": np.stack([self.public[m] for m in others])})

    def have_shared(self) -> "Machines":
        self.have_keys()
        sealed = [shares(node, self.share_request(machine)) for machine, node in enumerate(self.nodes)]
        self.sealed = [reply.arrays["sealed-shares"] for reply in sealed]
        return self

    def action_request(self, machine: int, senders: list[int] | None = None) -> Payload:
        senders = self.neighbours(machine) if senders is None else senders
        sealed = [self.sealed[sender][self.neighbours(sender).index(machine)] for sender in senders]
        return Payload({"senders": np.array(senders, np.int64), "sealed-shares": np.stack(sealed)})

    def have_answered(self) -> "Machines":
        self.have_shared()
        self.replies = [self.act(node, self.action_request(machine)) for machine, node in enumerate(self.nodes)]
        return self


def reveal_request(answered: list[int], dropped: list[int]) -> Payload:
    return Payload({"answered": np.array(answered, np.int64), "dropped": np.array(dropped, np.int64)})


def test_a_reply_is_under_masks_that_vanish_in_no_single_one() -> None:
    machines = Machines().have_answered()
    plain = flatten("census", SAID, 4).vector
    for reply in machines.replies:
        assert set(reply.numbers) == {"layout"}
        assert set(reply.arrays) == {"masked"}
        assert not (reply.arrays["masked"] == plain).any()


def test_nothing_secured_is_said_in_the_clear() -> None:
    machines = Machines().have_shared()
    with pytest.raises(EngineError, match="the machine's reply to census leaves it only under a mask"):
        machines.act(machines.nodes[0], Payload())


def test_a_machine_that_is_reminded_does_as_it_is_told_and_says_nothing() -> None:
    done = []

    def action(node: Node, request: Payload) -> Payload:  # noqa: ARG001
        done.append(node.partition_id)
        return SAID

    machines = Machines(action=action)
    assert machines.act(machines.nodes[2], Payload(numbers={"quiet": 1})) == Payload()
    assert done == [2]


def test_the_same_keys_mask_nothing_twice() -> None:
    """Of two replies under the same masks the difference would be in the clear."""
    machines = Machines().have_answered()
    with pytest.raises(ForgottenError, match="no keys for this exchange"):
        machines.act(machines.nodes[0], machines.action_request(0, [1, 2]))


@pytest.mark.parametrize(
    ("answered", "dropped"),
    [([0, 1, 2, 3], [3]), ([0, 1, 2], [2, 3]), ([0, 0, 1, 2], []), ([0, 1, 2], [3, 3])],
)
def test_both_secrets_of_a_machine_are_never_revealed(answered: list[int], dropped: list[int]) -> None:
    machines = Machines().have_answered()
    with pytest.raises(EngineError, match="reveals one secret of a machine, never both"):
        reveal(machines.nodes[0], reveal_request(answered, dropped))


def test_nor_one_after_the_other() -> None:
    machines = Machines().have_answered()
    assert reveal(machines.nodes[0], reveal_request([0, 1, 2, 3], [])).arrays["shares"].shape == (4, 52)
    with pytest.raises(ForgottenError, match="no secrets of this exchange"):
        reveal(machines.nodes[0], reveal_request([0, 1, 2], [3]))


def test_nothing_is_revealed_of_strangers_or_where_half_is_gone() -> None:
    """Of four machines three must have answered."""
    machines = Machines().have_answered()
    with pytest.raises(EngineError, match="only of its neighbours"):
        reveal(machines.nodes[0], reveal_request([0, 1, 2, 7], [3]))
    with pytest.raises(EngineError, match="where only 2 of 4 machines answered"):
        reveal(machines.nodes[0], reveal_request([0, 1], [2, 3]))


def test_nothing_is_masked_for_fewer_than_the_threshold() -> None:
    machines = Machines().have_shared()
    with pytest.raises(EngineError, match="sends nothing where only 1 of 3 neighbours are left"):
        machines.act(machines.nodes[0], machines.action_request(0, [1]))


@pytest.mark.parametrize("others", [[1], [1, 1, 2], [0, 1, 2]])
def test_shares_are_made_for_two_others_at_least_each_once(others: list[int]) -> None:
    machines = Machines().have_keys()
    with pytest.raises(EngineError, match="needs at least 3 machines, each once"):
        shares(machines.nodes[0], machines.share_request(0, others))


def test_shares_of_another_or_for_another_are_refused() -> None:
    machines = Machines().have_shared()
    request = machines.action_request(0)
    swapped = Payload({**request.arrays, "sealed-shares": request.arrays["sealed-shares"][::-1].copy()})
    with pytest.raises(EngineError, match="what came as machine 1's shares is not: it was not sealed with this key"):
        machines.act(machines.nodes[0], swapped)
    with pytest.raises(EngineError, match="shares of others than its neighbours"):
        machines.act(machines.nodes[0], Payload({**request.arrays, "senders": np.array([1, 2, 9])}))


@pytest.mark.parametrize("step", ["shares", "action", "reveal"])
def test_a_machine_that_restarted_says_that_it_has_forgotten(step: str) -> None:
    machines = Machines().have_answered()
    node = machines.nodes[0]
    node.memo.clear()
    asked: dict[str, Any] = {
        "shares": lambda: shares(node, machines.share_request(0)),
        "action": lambda: machines.act(node, machines.action_request(0)),
        "reveal": lambda: reveal(node, reveal_request([0, 1, 2, 3], [])),
    }
    with pytest.raises(ForgottenError, match="it has restarted, or used them"):
        asked[step]()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e30])
def test_what_cannot_be_summed_is_not_sent(value: float) -> None:
    def action(node: Node, request: Payload) -> Payload:  # noqa: ARG001
        return Payload({"weights": np.array([1.0, value], np.float32)}, {"size": 5.0, "seconds": 0.0})

    machines = Machines(action=action, name="learn").have_shared()
    with pytest.raises(DivergedError, match="under secure-aggregation"):
        machines.act(machines.nodes[0], machines.action_request(0))


def test_the_same_question_has_the_same_answer_and_the_next_one_is_answered_anew() -> None:
    """A round that is asked for again is not trained again; keys and masks are new ones all the same."""
    done = []

    def action(node: Node, request: Payload) -> Payload:  # noqa: ARG001
        done.append(node.partition_id)
        return SAID

    machines = Machines(action=action).have_answered()
    first, public = machines.replies[0].arrays["masked"], machines.public[0]
    machines.have_answered()
    assert done == [0, 1, 2, 3]
    assert not (machines.public[0] == public).all()
    assert not (machines.replies[0].arrays["masked"] == first).any()
    machines.have_keys(question=2)
    assert {name for name in machines.nodes[0].memo if "said" in name} == {"secure-said-question"}


def test_no_secret_is_kept_after_it_was_used() -> None:
    machines = Machines().have_shared()
    node = machines.nodes[0]
    seed, private = node.memo["secure-seed"].copy(), node.memo["secure-private"].copy()
    machines.act(node, machines.action_request(0))
    held = b"".join(array.tobytes() for array in node.memo.values())
    assert seed.tobytes() not in held
    assert private[1].tobytes() not in held
    reveal(node, reveal_request([0, 1, 2, 3], []))
    assert all(name.startswith("secure-said") for name in node.memo)
