"""The in-process Grid: Flower's messages between a strategy and machines in this process, or in a few workers.

No Ray, no polling, no start-up; an exception on a machine is raised where the strategy waits. The private parts of
Flower that this needs (an identity for the process and the ids of messages) stand in this file and in no other;
tests/test_simulation.py notices when they change.
"""

import itertools
from collections.abc import Callable, Iterable

from flwr.app import Context, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid
from flwr.supercore.run import Run
from flwr.supercore.task_identity import TaskIdentity

from fedjtt.config import RunConfig
from fedjtt.records import PARTITION_ID
from fedjtt.workers import WorkerPool

Task = tuple[Message, Context]
Answer = tuple[Message, RecordDict]
ReplyObserver = Callable[[str, int, int], None]


def _identify_process() -> None:
    """Give this process the identity that ``Message(...)`` asks for, unless a Flower process already has one."""
    for name in ("_task_id", "_run_id", "_node_id"):
        if getattr(TaskIdentity, name) is None:
            setattr(TaskIdentity, name, 1)


class InProcessGrid(Grid):
    """Machines in this process.

    Parameters
    ----------
    client_app : ClientApp
        What the machines run.
    config : RunConfig
        Handed to the machines as Flower's run config.
    machines : int
        Number of machines; their partition ids are 0 to machines - 1.
    pool : WorkerPool or None
        Processes that take over the machines' work; None: this process does it, machine by machine.
    on_reply : callable or None
        Told of every reply as it comes: message type, replies so far, replies expected.
    """

    def __init__(
        self,
        client_app: ClientApp,
        config: RunConfig,
        machines: int,
        pool: WorkerPool | None = None,
        on_reply: ReplyObserver | None = None,
    ) -> None:
        _identify_process()
        self._app = client_app
        self._pool = pool
        self._on_reply = on_reply or (lambda kind, done, expected: None)  # noqa: ARG005
        self._counter = itertools.count(1)
        self._replies: dict[str, Message] = {}
        run_config = config.flat()
        self._contexts = {
            partition_id + 1: Context(
                run_id=1,
                node_id=partition_id + 1,
                node_config={PARTITION_ID: partition_id, "num-partitions": machines},
                state=RecordDict(),
                run_config=dict(run_config),
            )
            for partition_id in range(machines)
        }

    @staticmethod
    def handler(app: ClientApp) -> Callable[[Task], Answer]:
        """Return what a worker does with a task: the app's reply and the machine's state after it."""

        def handle(task: Task) -> Answer:
            message, context = task
            return app(message, context), context.state

        return handle

    def set_run(self, run: Run) -> None:
        """Do nothing: there is one run."""

    @property
    def run(self) -> Run:
        """The run, of which only the id means anything here."""
        return Run.create_empty(run_id=1)

    def create_message(
        self, content: RecordDict, message_type: str, dst_node_id: int, group_id: str, ttl: float | None = None
    ) -> Message:
        """Return a message to a machine."""
        return Message(content, dst_node_id, message_type, ttl=ttl, group_id=group_id)

    def get_node_ids(self) -> list[int]:
        """Return the machines' node ids, 1 to N."""
        return list(self._contexts)

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        """Run the messages and keep the replies until they are pulled."""
        replies = self.send_and_receive(messages)
        for reply in replies:
            self._replies[reply.metadata.reply_to_message_id] = reply
        return [reply.metadata.reply_to_message_id for reply in replies]

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        """Return the replies to pushed messages, each once."""
        return [self._replies.pop(message_id) for message_id in message_ids if message_id in self._replies]

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> list[Message]:  # noqa: ARG002 (nothing to wait for)
        """Let the machines answer; the replies stand in the messages' order."""
        tasks = []
        for message in messages:
            message.metadata.__dict__["_message_id"] = f"in-process-{next(self._counter)}"
            tasks.append((message, self._contexts[message.metadata.dst_node_id]))
        kind = tasks[0][0].metadata.message_type if tasks else ""
        if self._pool is None:
            replies = []
            for message, context in tasks:
                replies.append(self._app(message, context))
                self._on_reply(kind, len(replies), len(tasks))
            return replies
        answers = self._pool.map(tasks, lambda done: self._on_reply(kind, done, len(tasks)))
        for (_, context), (_, state) in zip(tasks, answers, strict=True):
            context.state = state
        return [reply for reply, _ in answers]
