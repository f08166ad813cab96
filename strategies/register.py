"""What the server knows of the machines: who is which node, what each sent and received, who was missing when."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from flwr.app import Message

from fedjtt.records import count_bytes

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
