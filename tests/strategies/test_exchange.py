"""One exchange: order, quorum, and errors in words."""

from typing import Any

import pytest
from flwr.app import Array as FlowerArray
from flwr.app import ArrayRecord, ConfigRecord, Error, Message, MetricRecord, RecordDict

from fedjtt.client_app import app
from fedjtt.config import RunConfig
from fedjtt.errors import ConfigError, DivergedError, EngineError, ForgottenError
from fedjtt.methods.base import Payload
from fedjtt.records import failure_records, to_reply
from fedjtt.simulation import InProcessGrid
from strategies.exchange import (
    Problem,
    accept,
    good_replies_needed,
    partition_id_of,
    read_payload,
    sort_out,
    stage_of,
    wait_for_nodes,
)


def sent(node: int) -> Message:
    InProcessGrid(app, RunConfig(), 1)  # gives this process an identity
    message = Message(RecordDict(), node, "query")
    message.metadata.__dict__["_message_id"] = str(node)
    return message


def good(number: int) -> Message:
    return Message(to_reply(Payload(), number), reply_to=sent(100 - number))


def broken(code: int = 2, reason: str = "Traceback\n  ...\nValueError: no disk\n") -> Message:
    return Message(Error(code=code, reason=reason), reply_to=sent(7))


@pytest.mark.parametrize(
    ("min_machines", "asked", "needed"),
    [
        (1.0, 10, 10),
        (0.5, 10, 5),
        (0.51, 10, 6),
        (0.1, 3, 1),
        (0.7, 10, 7),
        (0.01, 5, 1),
        (3, 10, 3),
        (30, 10, 10),
        (2, 1, 1),
    ],
)
def test_the_quorum_by_hand(min_machines: float, asked: int, needed: int) -> None:
    assert good_replies_needed(min_machines, asked) == needed


def test_replies_are_ordered_by_machine_whatever_their_node() -> None:
    accepted, problems = accept([good(2), good(0), good(11), good(1)], 4, 1.0, "fit")
    assert [partition_id_of(reply) for reply in accepted] == [0, 1, 2, 11]
    assert problems == []


def test_enough_good_replies_are_enough_and_the_others_are_said() -> None:
    accepted, problems = accept([good(1), broken(), good(0)], 4, 0.5, "fit")
    assert len(accepted) == 2
    assert problems == ["node 7 raised an exception: ValueError: no disk", "1 did not answer in time"]


def test_too_few_good_replies_end_the_run_in_one_line() -> None:
    with pytest.raises(EngineError) as caught:
        accept([good(1), broken(3, ""), *[broken() for _ in range(4)]], 7, 0.5, "fit round 2")
    text = str(caught.value)
    assert text.startswith("fit round 2: 1 of 7 machines answered, 4 are needed: node 7 did not answer in time")
    assert "and 3 more" in text
    assert "\n" not in text


def test_an_error_code_that_nobody_knows_is_named() -> None:
    with pytest.raises(EngineError, match="failed with code 99"):
        accept([broken(99)], 1, 1.0, "fit")


@pytest.mark.parametrize("error", [DivergedError("the loss became nan"), ConfigError("machines is 3")])
def test_a_machines_own_error_is_raised_with_stage_and_machine_even_where_few_replies_would_do(error: Any) -> None:
    reply = Message(failure_records(error, 4), reply_to=sent(5))
    with pytest.raises(type(error), match=f"fit round 2, machine 4: {error}"):
        accept([good(0), reply], 2, 0.1, "fit round 2")


def test_a_reply_with_a_strange_machine_is_refused() -> None:
    reply = good(0)
    reply.content.metric_records["metrics"]["partition-id"] = 1.5
    with pytest.raises(EngineError, match=r"names machine 1\.5"):
        partition_id_of(reply)


def test_bytes_are_booked_by_stage() -> None:
    assert {stage_of(action) for action in ("census", "identify")} == {"identify"}
    assert {stage_of(action) for action in ("fit", "initial")} == {"robust"}
    assert stage_of("assess") == "evaluate"


class Slow:
    """A Grid to which one node more is connected at every look."""

    def __init__(self) -> None:
        self.looks = 0

    def get_node_ids(self) -> list[int]:
        self.looks += 1
        return [30, 10, 20][: self.looks]


def test_the_first_round_waits_for_all_machines_and_orders_them() -> None:
    assert wait_for_nodes(Slow(), 3, poll=0.001) == [10, 20, 30]  # type: ignore[arg-type]


def test_after_the_wait_as_many_as_are_needed_are_enough() -> None:
    class Two(Slow):
        def get_node_ids(self) -> list[int]:
            return [30, 10]

    assert wait_for_nodes(Two(), 3, seconds=0.0, poll=0.001, needed=2) == [10, 30]  # type: ignore[arg-type]
    with pytest.raises(EngineError, match=r"2 of 3 machines connected within 0 s; start the missing ones, or set"):
        wait_for_nodes(Two(), 3, seconds=0.0, poll=0.001)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "content",
    [
        RecordDict(),
        RecordDict({"metrics": MetricRecord({"examples": 3})}),
        RecordDict({"metrics": MetricRecord({"partition-id": 1.5})}),
        RecordDict({"metrics": ArrayRecord()}),
        RecordDict({"failure": ConfigRecord({"kind": "DataError"})}),
        RecordDict({"failure": ConfigRecord({"kind": "DataError", "text": "lost"})}),
        RecordDict({"failure": ArrayRecord()}),
    ],
)
def test_what_is_no_reply_of_fedjtt_is_a_problem_of_its_sender_alone(content: RecordDict) -> None:
    found = sort_out([good(0), Message(content, reply_to=sent(7)), good(1)], "fit")
    assert [partition_id_of(reply) for reply in found.good] == [0, 1]
    assert [(problem.node, problem.machine) for problem in found.problems] == [(7, None)]
    assert str(found.problems[0]).startswith("node 7 sent no reply of fedjtt: ")
    assert found.failure is None


@pytest.mark.parametrize(
    ("dtype", "shape", "stype", "data"),
    [
        ("float32", (3,), "numpy.ndarray", b"nonsense"),
        ("float32", (3,), "numpy.ndarray", b""),
        ("no-such-type", (3,), "numpy.ndarray", b"x"),
        ("float32", (-3,), "numpy.ndarray", b"x"),
        ("float32", (3,), "pickle", b"x"),
    ],
)
def test_arrays_that_cannot_be_read_are_said(dtype: str, shape: tuple[int, ...], stype: str, data: bytes) -> None:
    reply = good(0)
    reply.content["arrays"] = ArrayRecord({"weights": FlowerArray(dtype, shape, stype, data)})
    payload, said = read_payload(reply)
    assert payload == Payload()
    assert said.startswith("its arrays cannot be read (")
    assert "\n" not in said
    assert read_payload(good(3)) == (Payload({}, {"partition-id": 3}), "")


def test_a_problem_names_the_machine_where_it_is_known() -> None:
    assert str(Problem(7, None, "raised an exception")) == "node 7 raised an exception"
    assert str(Problem(None, 2, "machine 2 is refused")) == "machine 2 is refused"


def test_of_several_failures_the_first_machines_is_told_whatever_came_first() -> None:
    nan = DivergedError("nan")
    replies = [Message(failure_records(nan, number), reply_to=sent(9)) for number in (2, 0, 1)]
    with pytest.raises(DivergedError, match="where, machine 0: nan"):
        accept(replies, 3, 0.1, "where")


def test_a_machine_that_has_forgotten_did_not_answer_and_the_others_may_be_enough() -> None:
    forgetful = Message(failure_records(ForgottenError("it is gone"), 4), reply_to=sent(5))
    accepted, problems = accept([good(0), forgetful, good(1)], 3, 0.6, "fit")
    assert [partition_id_of(reply) for reply in accepted] == [0, 1]
    assert problems == ["machine 4: it is gone"]
    with pytest.raises(EngineError, match="fit: 2 of 3 machines answered, 3 are needed: machine 4: it is gone"):
        accept([good(0), forgetful, good(1)], 3, 1.0, "fit")


def test_identifications_exchanges_are_booked_under_it() -> None:
    assert {stage_of(action) for action in ("census", "identify", "learn", "lend", "judge")} == {"identify"}
