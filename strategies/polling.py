"""A Grid that looks for replies sooner than Flower's, whose ``send_and_receive`` looks every three seconds."""

import time
from collections.abc import Iterable, Mapping

from flwr.app import Message, RecordDict
from flwr.serverapp import Grid
from flwr.supercore.run import Run

FIRST_POLL_SECONDS = 0.2
LAST_POLL_SECONDS = 1.0
SHARE_OF_WAIT = 0.05


def pause(waited: float) -> float:
    """Return how long to sleep after so many seconds of waiting: little beside what was waited for anyway."""
    return min(LAST_POLL_SECONDS, max(FIRST_POLL_SECONDS, SHARE_OF_WAIT * waited))


class PollingGrid(Grid):
    """Another Grid with a waiting of its own; everything else is passed through.

    Parameters
    ----------
    grid : Grid
        Flower's, between the server and its nodes.
    """

    def __init__(self, grid: Grid) -> None:
        self._grid = grid

    def set_run(self, run: Run) -> None:
        """Set the run."""
        self._grid.set_run(run)

    @property
    def run(self) -> Run:
        """The run."""
        return self._grid.run

    def create_message(
        self, content: RecordDict, message_type: str, dst_node_id: int, group_id: str, ttl: float | None = None
    ) -> Message:
        """Return a message to a node."""
        return self._grid.create_message(content, message_type, dst_node_id, group_id, ttl)

    def get_node_ids(self) -> Iterable[int]:
        """Return the connected nodes."""
        return self._grid.get_node_ids()

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Send messages and return their ids."""
        return self._grid.push_messages(messages)

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Return the replies that have come."""
        return self._grid.pull_messages(message_ids)

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> list[Message]:
        """Send messages and wait for their replies, or until the time is over."""
        listed = list(messages)
        asked = dict(zip(self._grid.push_messages(listed), listed, strict=True))
        waiting = set(asked)
        replies: list[Message] = []
        started = time.monotonic()
        while True:
            new = list(self._grid.pull_messages(waiting))
            replies += [_from_its_node(reply, asked) for reply in new]
            waiting -= {message.metadata.reply_to_message_id for message in new}
            waited = time.monotonic() - started
            if not waiting or (timeout is not None and waited >= timeout):
                return replies
            time.sleep(pause(waited) if timeout is None else min(pause(waited), timeout - waited))


def _from_its_node(reply: Message, asked: Mapping[str, Message]) -> Message:
    """Return a reply under the name of the node that was asked: a SuperLink tells of lost nodes under its own."""
    message = asked.get(reply.metadata.reply_to_message_id)
    if not reply.has_error() or message is None or reply.metadata.src_node_id == message.metadata.dst_node_id:
        return reply
    return Message(reply.error, reply_to=message)
