"""What the server knows of the machines: who is which node, what each sent and received, who was missing when."""

from collections import defaultdict
from collections.abc import Iterable, Sequence, Set
from dataclasses import asdict, dataclass, field
from typing import Any

from flwr.app import Message

from fedjtt.records import count_bytes
from strategies.exchange import Problem

NOBODY = -1


@dataclass
class Traffic:
    """Bytes of records that the server sent and received."""

    sent: int = 0
    received: int = 0


@dataclass(frozen=True)
class Absence:
    """A machine that did not count in an exchange, and why.

    Attributes
    ----------
    machine : int or None
        Its partition id; None where the server does not know which machine a node is.
    """

    stage: str
    round: int
    machine: int | None
    why: str


@dataclass
class _Cell:
    messages: int = 0
    sent: int = 0
    received: int = 0


@dataclass
class Register:
    """The machines of a run.

    Attributes
    ----------
    node_of : dict
        A machine's node id in Flower by its partition id, as it last answered.
    absences : list of Absence
        In the order in which they came.
    """

    node_of: dict[int, int] = field(default_factory=dict)
    absences: list[Absence] = field(default_factory=list)
    _cells: dict[tuple[str, int, int], _Cell] = field(default_factory=lambda: defaultdict(_Cell))

    def machine_of(self, node: int) -> int | None:
        """Return the machine behind a node, or None."""
        return next((machine for machine, its in self.node_of.items() if its == node), None)

    def imposture(self, machine: int, node: int, machines: int, senders: Set[tuple[int, int]]) -> str:
        """Return why a node cannot be the machine that it says it is, or an empty string.

        Parameters
        ----------
        senders : set of (int, int)
            Machine and node of every reply in this exchange: a machine that comes back as another node may take its
            place while the node that it was is silent.
        """
        if not 0 <= machine < machines:
            return f"it says that it is machine {machine}, and there are {machines}"
        known = self.machine_of(node)
        if known not in (None, machine):
            return f"it is machine {known} and says that it is {machine}"
        if (machine, self.node_of.get(machine, node)) in senders and self.node_of.get(machine, node) != node:
            return "another node, which the server knows, has answered as it"
        return ""

    def absent(
        self, meant: Set[int], messages: Sequence[Message], replies: Sequence[Message], away: int
    ) -> list[Problem]:
        """Return the machines of which nothing was heard, and those that are not connected.

        Parameters
        ----------
        meant : set of int
            Machines that the exchange was meant for and of which nothing else is to be said.
        away : int
            How many of them no message went to.
        """
        heard = {reply.metadata.src_node_id for reply in replies}
        reached = {message.metadata.dst_node_id for message in messages}
        silent = [self.machine_of(node) for node in sorted(reached - heard)]
        nowhere = sorted(machine for machine in meant if self.node_of.get(machine) not in reached)
        strangers, away = silent.count(None), max(0, away)
        if len(nowhere) == strangers + away and 0 in (strangers, away):  # so it is clear who they are
            known = sorted(machine for machine in silent if machine is not None)
            silent = [*known, *(nowhere if strangers else [])]
        else:
            nowhere = []
        problems = [_of(machine, "did not answer in time") for machine in silent]
        if away:
            problems += [_of(machine, "is not connected") for machine in nowhere]
            problems += [] if nowhere else [Problem(None, None, f"{away} not connected")]
        return problems

    def book(self, stage: str, server_round: int, requests: Iterable[Message], replies: Iterable[Message]) -> Traffic:
        """Enter an exchange's messages and bytes for each machine; return the sums."""
        total = Traffic()
        machine_of = {node: machine for machine, node in self.node_of.items()}
        for message in requests:
            cell = self._cells[stage, server_round, machine_of.get(message.metadata.dst_node_id, NOBODY)]
            size = count_bytes(message.content)
            cell.messages, cell.sent, total.sent = cell.messages + 1, cell.sent + size, total.sent + size
        for reply in replies:
            if reply.has_content():
                cell = self._cells[stage, server_round, machine_of.get(reply.metadata.src_node_id, NOBODY)]
                size = count_bytes(reply.content)
                cell.received, total.received = cell.received + size, total.received + size
        return total

    def ledger(self) -> list[dict[str, Any]]:
        """Return a row for every stage, round and machine: messages sent, bytes sent and received by the server.

        Messages to a node before the server knew which machine it is stand under machine -1.
        """
        return [
            {"stage": stage, "round": server_round, "machine": machine, **asdict(cell)}
            for (stage, server_round, machine), cell in sorted(self._cells.items())
        ]

    def missing(self) -> list[dict[str, Any]]:
        """Return who did not count, when and why, ready for the result."""
        return [asdict(absence) for absence in self.absences]

    def packed(self) -> dict[str, Any]:
        """Return what must outlive the server, as JSON; node ids do not, nodes are asked again who they are."""
        return {"missing": self.missing(), "ledger": self.ledger()}

    def unpack(self, saved: dict[str, Any]) -> None:
        """Take over what :meth:`packed` returned."""
        self.absences = [Absence(**row) for row in saved["missing"]]
        for row in saved["ledger"]:
            key = (row.pop("stage"), row.pop("round"), row.pop("machine"))
            self._cells[key] = _Cell(**row)


def _of(machine: int | None, what: str) -> Problem:
    return Problem(None, machine, f"{'a machine' if machine is None else f'machine {machine}'} {what}")
