"""One exchange with machines over a Grid: send to all, wait, order the replies, refuse what is not good enough."""

import math
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from flwr.app import Message
from flwr.serverapp import Grid

from fedjtt.errors import EngineError, FedJTTError, ForgottenError
from fedjtt.methods.base import Payload
from fedjtt.records import FAILURE, METRICS, PARTITION_ID, failure_of, from_records

# Flower's reply error codes, in words (flwr.app.error.ErrorCode).
ERROR_TEXTS = {
    0: "failed for an unknown reason",
    1: "could not load the app",
    2: "raised an exception",
    3: "did not answer in time",
    4: "answered, but the answer is gone",
    5: "is not connected any more",
    8: "had its process stopped",
}
# Flower puts a dead Ray actor back to work: it fails every later message at once and so draws most of them.
DEAD_ACTOR = re.compile(r"ray\.exceptions\.\w*Actor\w*Error")
NODE_WAIT_SECONDS = 120.0
SHORTAGE_SECONDS = 2.0


@dataclass(frozen=True)
class Problem:
    """A reply that does not count: from which machine or node, and what was wrong with it."""

    node: int | None
    machine: int | None
    why: str

    def __str__(self) -> str:
        """Say it in words; a node's number means nothing to a person who knows the machine's."""
        return self.why if self.node is None else f"node {self.node} {self.why}"


@dataclass(frozen=True)
class Sorted:
    """Replies sorted out.

    Attributes
    ----------
    good : list of Message
        By partition id: completion order must not reach a sum, floating-point addition is not associative.
    problems : list of Problem
        The others.
    failure : FedJTTError or None
        The error that a machine reported itself; of several the first machine's, whichever reply came first.
    """

    good: list[Message]
    problems: list[Problem]
    failure: FedJTTError | None


def stage_of(action: str) -> str:
    """Return the stage that an action's bytes are booked under."""
    stages = {
        "describe": "prepare", "prepare": "prepare", "fit": "robust", "initial": "robust",
        "sketch": "robust", "mask": "robust", "slopes": "robust",
        "refer": "evaluate", "assess": "evaluate", "spectrum": "evaluate",
    }  # fmt: skip
    stages |= dict.fromkeys(("features", "moments", "draw", "slope", "score"), "head")
    attributing = ("measure", "gram", "squares", "scatter", "divide", "target", "align", "rank", "drop")
    stages |= dict.fromkeys(attributing, "attribute")
    return stages.get(action, "identify")


def wait_for_nodes(
    grid: Grid,
    machines: int,
    on_shortage: Callable[[Grid, int], None] | None = None,
    seconds: float = NODE_WAIT_SECONDS,
    poll: float = 0.1,
    needed: int | None = None,
) -> list[int]:
    """Wait until as many nodes as machines are connected: Flower starts the server before all nodes are.

    Parameters
    ----------
    needed : int or None
        Nodes that are enough after `seconds`; None: all machines.
    on_shortage : callable or None
        Given one of the nodes, once, when there are too few for two seconds; may raise if more are not to come.

    Raises
    ------
    EngineError
        After `seconds`, with both numbers.
    """
    started = time.monotonic()
    while True:
        nodes = sorted(grid.get_node_ids())
        if len(nodes) >= machines:
            return nodes
        waited = time.monotonic() - started
        if on_shortage is not None and nodes and waited > SHORTAGE_SECONDS:
            on_shortage(grid, nodes[0])
            on_shortage = None
        if waited > seconds and len(nodes) >= (machines if needed is None else needed):
            return nodes
        if waited > seconds:
            raise EngineError(
                f"{len(nodes)} of {machines} machines connected within {seconds:.0f} s; start the missing ones, "
                f"or set machines to {len(nodes)}"
            )
        time.sleep(poll)


def good_replies_needed(min_machines: float, asked: int) -> int:
    """Return how many good replies a round needs: a share (up to 1) of those asked, or a number."""
    needed = math.ceil(min_machines * asked - 1e-9) if min_machines <= 1 else int(min_machines)
    return max(1, min(needed, asked))


def sort_out(replies: Iterable[Message], where: str) -> Sorted:
    """Tell good replies from errors.

    Parameters
    ----------
    where : str
        Stage and round, for messages.

    Raises
    ------
    EngineError
        Where a worker process of the simulation died, which nothing brings back.
    """
    good: list[Message] = []
    problems: list[Problem] = []
    failures: dict[int, FedJTTError] = {}
    for reply in replies:
        node = reply.metadata.src_node_id
        if reply.has_error():
            if DEAD_ACTOR.search(reply.error.reason or ""):
                raise EngineError(
                    f"{where}: a worker process of Flower's simulation died (out of memory?), and Ray does not replace "
                    "it; use fewer workers, or engine = in-process, which does"
                )
            text = ERROR_TEXTS.get(reply.error.code, f"failed with code {reply.error.code}")
            problems.append(Problem(node, None, f"{text}: {_last_line(reply.error.reason)}"))
            continue
        try:
            failure, machine = failure_of(reply.content), _sender(reply)
        except (EngineError, KeyError, ValueError) as error:
            problems.append(Problem(node, None, f"sent no reply of fedjtt: {_last_line(str(error))}"))
            continue
        if failure is not None:
            if not isinstance(failure, ForgottenError):
                failures[machine] = type(failure)(f"{where}, machine {machine}: {failure}")
            problems.append(Problem(None, machine, f"machine {machine}: {failure}"))
        else:
            good.append(reply)
    first = failures[min(failures)] if failures else None
    return Sorted(sorted(good, key=partition_id_of), problems, first)


def accept(replies: Iterable[Message], asked: int, min_machines: float, where: str) -> tuple[list[Message], list[str]]:
    """Return the good replies, ordered by partition id, and what was wrong with the others.

    Raises
    ------
    FedJTTError
        The machine's own error where it reported one; EngineError where too few answered.
    """
    found = sort_out(replies, where)
    if found.failure is not None:
        raise found.failure
    problems = [*map(str, found.problems), *silent(asked, len(found.good) + len(found.problems))]
    check_quorum(len(found.good), asked, min_machines, where, problems)
    return found.good, problems


def silent(asked: int, answered: int) -> list[str]:
    """Return a line about machines of which nothing was heard, or none."""
    return [f"{asked - answered} did not answer in time"] if answered < asked else []


def check_quorum(good: int, asked: int, min_machines: float, where: str, problems: list[str]) -> None:
    """Raise EngineError, with both numbers and the problems, where too few machines count."""
    needed = good_replies_needed(min_machines, asked)
    if good < needed:
        raise too_few(good, asked, needed, where, problems)


def too_few(good: int, asked: int, needed: int, where: str, problems: list[str]) -> EngineError:
    """Return the error that too few machines count, with the numbers and the problems."""
    return EngineError(f"{where}: {good} of {asked} machines answered, {needed} are needed: {_shown(problems)}")


def partition_id_of(reply: Message) -> int:
    """Return the machine that a good reply comes from."""
    value = reply.content.metric_records[METRICS][PARTITION_ID]
    if not isinstance(value, int):
        raise EngineError(f"a reply names machine {value!r}, which is not a number")
    return value


def read_payload(reply: Message) -> tuple[Payload, str]:
    """Return a reply's payload, and what is wrong with it where it cannot be read: a machine can send anything."""
    try:
        return from_records(reply.content), ""
    except Exception as error:
        return Payload(), f"its arrays cannot be read ({_last_line(str(error))})"


def _sender(reply: Message) -> int:
    if FAILURE not in reply.content:
        return partition_id_of(reply)
    partition_id = reply.content.config_records[FAILURE][PARTITION_ID]
    return partition_id if isinstance(partition_id, int) else -1


def _shown(problems: list[str], limit: int = 3) -> str:
    more = [f"and {len(problems) - limit} more"] if len(problems) > limit else []
    return "; ".join(problems[:limit] + more)


def _last_line(reason: str | None) -> str:
    lines = [line.strip() for line in (reason or "no reason given").splitlines() if line.strip()]
    return lines[-1][:300] if lines else "no reason given"
