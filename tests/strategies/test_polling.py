"""Waiting for replies: each taken once, the shorter the sooner, and never beyond the time."""

from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any, cast

import pytest
from flwr.app import Error, Message, RecordDict
from flwr.serverapp import Grid

from fedjtt.client_app import app
from fedjtt.config import RunConfig
from fedjtt.simulation import InProcessGrid
from strategies.polling import PollingGrid, pause


class Slow:
    """A grid whose n-th message is answered at the n-th look."""

    def __init__(self) -> None:
        self.looks: list[set[str]] = []

    def push_messages(self, messages: Iterable[Any]) -> list[str]:
        return [str(message) for message in messages]

    def pull_messages(self, message_ids: Iterable[str]) -> list[Any]:
        self.looks.append(set(message_ids))
        return [_reply(each) for each in self.looks[-1] if int(each) == len(self.looks)]


def _reply(message_id: str) -> Any:
    return SimpleNamespace(metadata=SimpleNamespace(reply_to_message_id=message_id), has_error=lambda: False)


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Let time pass by sleeping only."""
    naps: list[float] = []
    clock = SimpleNamespace(monotonic=lambda: sum(naps), sleep=naps.append)
    monkeypatch.setattr("strategies.polling.time", clock)
    return naps


def test_every_reply_is_taken_once(slept: list[float]) -> None:
    slow = Slow()
    replies = PollingGrid(cast(Grid, slow)).send_and_receive(cast(Any, [1, 2, 3]))
    assert [reply.metadata.reply_to_message_id for reply in replies] == ["1", "2", "3"]
    assert slow.looks == [{"1", "2", "3"}, {"2", "3"}, {"3"}]
    assert len(slept) == 2


def test_the_time_is_kept_and_late_replies_are_left_out(slept: list[float]) -> None:
    replies = PollingGrid(cast(Grid, Slow())).send_and_receive(cast(Any, [1, 2, 99]), timeout=1.0)
    assert len(replies) == 2
    assert sum(slept) == pytest.approx(1.0)


def test_a_lost_node_is_told_of_under_its_own_name() -> None:
    """The SuperLink, node 1 here, answers for node 3."""
    inner = InProcessGrid(app, RunConfig.parse({"machines": 3}), 3)
    message = Message(RecordDict(), 3, "query.census")
    message.metadata.__dict__["_message_id"] = "asked"
    link = Message(RecordDict(), 1, "query.census")
    link.metadata.__dict__["_message_id"] = "asked"
    lost = Message(Error(code=5, reason="Node Unavailable"), reply_to=link)
    assert lost.metadata.src_node_id == 1
    inner.push_messages = lambda _: ["asked"]  # type: ignore[method-assign]
    inner.pull_messages = lambda _: [lost]  # type: ignore[method-assign]
    (reply,) = PollingGrid(inner).send_and_receive([message])
    assert reply.metadata.src_node_id == 3
    assert (reply.error.code, reply.error.reason) == (5, "Node Unavailable")


def test_nothing_to_send_is_nothing_to_wait_for(slept: list[float]) -> None:
    assert PollingGrid(cast(Grid, Slow())).send_and_receive([]) == []
    assert slept == []


def test_a_pause_is_short_beside_what_was_waited_for() -> None:
    assert pause(0) < 0.5
    assert pause(1e6) <= 1
    assert all(pause(waited) <= max(pause(0), waited / 10) for waited in range(100))


def test_the_rest_is_the_other_grids() -> None:
    config = RunConfig.parse({"machines": 3})
    inner = InProcessGrid(app, config, 3)
    grid = PollingGrid(inner)
    assert grid.get_node_ids() == [1, 2, 3]
    assert grid.run.run_id == inner.run.run_id
