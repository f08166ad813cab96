"""Who is which node, who was absent, and the ledger."""

from typing import Any

import pytest
from flwr.app import Error, Message

from fedjtt.client_app import app
from fedjtt.config import RunConfig
from fedjtt.methods.base import Payload
from fedjtt.records import count_bytes, to_reply
from fedjtt.simulation import InProcessGrid
from strategies.register import Absence, Register, Traffic


def sent(node: int) -> Message:
    InProcessGrid(app, RunConfig(), 1)  # gives this process an identity
    message = Message(to_reply(Payload(numbers={"examples": 1}), 0), node, "query")
    message.metadata.__dict__["_message_id"] = str(node)
    return message


def answer(node: int, machine: int = 0) -> Message:
    return Message(to_reply(Payload(numbers={"examples": 1, "errors": 2}), machine), reply_to=sent(node))


def register(**nodes: int) -> Register:
    return Register({int(name[1:]): node for name, node in nodes.items()})


def test_a_node_is_the_machine_that_it_last_was() -> None:
    known = register(m0=10, m2=30)
    assert [known.machine_of(node) for node in (10, 30, 20)] == [0, 2, None]
    known.node_of[2] = 31
    assert (known.machine_of(30), known.machine_of(31)) == (None, 2)


@pytest.mark.parametrize(
    ("machine", "node", "senders", "said"),
    [
        (0, 10, set(), ""),
        (1, 20, set(), ""),  # nobody knew it
        (0, 11, set(), ""),  # came back as another node
        (0, 11, {(0, 11)}, ""),
        (0, 11, {(0, 11), (0, 10)}, "another node, which the server knows, has answered as it"),
        (0, 10, {(0, 11), (0, 10)}, ""),
        (2, 10, set(), "it is machine 0 and says that it is 2"),
        (3, 20, set(), "it says that it is machine 3, and there are 3"),
        (-1, 20, set(), "it says that it is machine -1, and there are 3"),
    ],
)
def test_no_node_can_be_another_machine(machine: int, node: int, senders: Any, said: str) -> None:
    assert register(m0=10, m2=30).imposture(machine, node, 3, senders) == said


@pytest.mark.parametrize(
    ("nodes", "meant", "asked", "heard", "away", "said"),
    [
        # all known: whoever is silent has a name, and so has whoever is not connected
        ({"m0": 10, "m1": 20}, {0, 1}, [10, 20], [10], 0, [(1, "machine 1 did not answer in time")]),
        ({"m0": 10, "m1": 20}, {0, 1}, [10], [10], 1, [(1, "machine 1 is not connected")]),
        ({"m0": 10, "m1": 20}, {0, 1}, [20], [], 1,
         [(1, "machine 1 did not answer in time"), (0, "machine 0 is not connected")]),
        # one of three is not known: it is the one that is left
        ({"m0": 10, "m1": 20}, {0, 1, 2}, [10, 20, 30], [10, 20], 0, [(2, "machine 2 did not answer in time")]),
        ({"m0": 10, "m1": 20}, {0, 1, 2}, [10, 20], [10, 20], 1, [(2, "machine 2 is not connected")]),
        # a stranger is silent and one is away: which is which?
        ({"m0": 10}, {0, 1, 2}, [10, 30], [10], 1, [(None, "a machine did not answer in time"),
                                                   (None, "1 not connected")]),
        ({}, {0, 1}, [10, 20], [10, 20], 0, []),
    ],
)  # fmt: skip
def test_the_absent_have_names_where_it_is_clear_who_they_are(
    nodes: Any, meant: Any, asked: list[int], heard: list[int], away: int, said: Any
) -> None:
    problems = register(**nodes).absent(meant, [sent(n) for n in asked], [answer(n) for n in heard], away)
    assert [(problem.machine, problem.why) for problem in problems] == said


def test_the_ledger_has_a_row_for_every_stage_round_and_machine() -> None:
    known = register(m0=10, m1=20)
    one = count_bytes(sent(10).content)
    two = count_bytes(answer(10).content)
    assert 0 < one < two
    total = known.book("robust", 2, [sent(10), sent(20), sent(30)], [answer(10), answer(30)])
    assert total == Traffic(3 * one, 2 * two)
    assert known.book("robust", 2, [sent(10)], []) == Traffic(one, 0)
    known.book("identify", 0, [sent(20)], [answer(20)])
    shown = [tuple(row.values()) for row in known.ledger()]
    assert list(known.ledger()[0]) == ["stage", "round", "machine", "messages", "sent", "received"]
    assert shown == [
        ("identify", 0, 1, 1, one, two),
        ("robust", 2, -1, 1, one, two),  # nobody knew who node 30 is
        ("robust", 2, 0, 2, 2 * one, two),
        ("robust", 2, 1, 1, one, 0),
    ]


def test_an_error_weighs_nothing() -> None:
    broken = Message(Error(code=2, reason="boom"), reply_to=sent(10))
    assert register(m0=10).book("robust", 1, [], [broken]) == Traffic(0, 0)


def test_absences_are_told_in_their_order_and_outlive_the_server() -> None:
    known = register(m0=10)
    known.absences += [Absence("robust", 2, 1, "boom"), Absence("identify", 0, None, "1 not connected")]
    known.book("robust", 2, [sent(10)], [answer(10)])
    assert known.missing() == [
        {"stage": "robust", "round": 2, "machine": 1, "why": "boom"},
        {"stage": "identify", "round": 0, "machine": None, "why": "1 not connected"},
    ]
    again = Register()
    again.unpack(known.packed())
    assert (again.missing(), again.ledger()) == (known.missing(), known.ledger())
