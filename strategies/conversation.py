"""What the server and its machines say to each other: exchanges in which some fail, forget, join late or lie."""

from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import dataclass
from functools import partial
from typing import Any

from flwr.app import ArrayRecord, ConfigRecord, Message, RecordDict
from flwr.serverapp import Grid

from fedjtt.cache import pack_json, unpack_json
from fedjtt.config import RunConfig
from fedjtt.errors import FedJTTError, ForgottenError
from fedjtt.methods.base import Array, Payload, Place
from fedjtt.methods.registry import CATEGORIES
from fedjtt.records import ACTION, ARRAYS, CONFIG, PARTITION_ID, failure_of, from_records, to_array_record
from fedjtt.seeding import numpy_generator
from strategies.acceptance import Acceptance, Owner
from strategies.exchange import Problem, check_quorum, good_replies_needed, sort_out, stage_of, wait_for_nodes
from strategies.register import Absence, Register, Traffic

Requests = Payload | Mapping[int, Payload]
"""One request for all machines, or one for each by its partition id."""

FIRST = ("describe", "prepare", "census")
"""Actions that come before the server knows all machines."""

DRAWN = ("fit", "learn")
"""Actions that a share of the machines is drawn for."""


@dataclass(frozen=True)
class _Tried:
    """What came of an exchange: how many machines were meant, what counts, and what does not."""

    asked: int
    payloads: list[Payload]
    problems: list[Problem]
    failure: FedJTTError | None


class Conversation:
    """The server's exchanges with the machines and with its own node.

    Parameters
    ----------
    server_grid : Grid
        One node: the data that the server itself holds.
    note : callable
        Takes a line for the result.
    owner : callable
        Gives the ids of a machine's train examples, where the server can know them.

    Attributes
    ----------
    machines_grid : Grid or None
        The machines.
    kept : dict
        By action, what a machine that has forgotten is asked again, one after another.
    traffic : dict
        Bytes between server and machines by stage; the server's own node costs none.
    register : Register
        Who is which node, what each machine sent and received, who was missing when.
    """

    def __init__(self, config: RunConfig, server_grid: Grid, note: Callable[[str], None], owner: Owner) -> None:
        self.config, self.server_grid, self.note = config, server_grid, note
        self.machines_grid: Grid | None = None
        self.kept: dict[str, Requests] = {}
        stages = (*(["prepare"] if config.own_data else []), "identify", "robust", "evaluate")
        self.traffic = {stage: Traffic() for stage in stages}
        self.register = Register()
        self._acceptance = Acceptance(owner, config.max_update_norm)
        self._failed_rounds = 0
        self._met = False

    def ask(self, place: Place, action: str, request: Requests, server_round: int = 0) -> list[Payload]:
        """Send a request to a place's machines and return the good replies, ordered by partition id.

        Where too few machines count, the exchange is made again, as often as ``max-failed-rounds`` allows in a run.
        """
        where = f"{stage_of(action)} stage" + (f", round {server_round}" if server_round else "")
        while True:
            tried = self._try(place, action, request, server_round, where)
            self._enter(tried, stage_of(action), server_round)
            if len(tried.payloads) >= good_replies_needed(self.config.min_machines, tried.asked):
                if tried.problems:
                    told = "; ".join(map(str, tried.problems))
                    self.note(f"{where}: {len(tried.payloads)} of {tried.asked} machines counted; {told}")
                return tried.payloads
            if tried.failure is not None:
                raise tried.failure
            self._failed_rounds += 1
            if self._failed_rounds > self.config.max_failed_rounds:
                problems = [str(problem) for problem in tried.problems]
                check_quorum(len(tried.payloads), tried.asked, self.config.min_machines, where, problems)
            self.note(f"{where}: only {len(tried.payloads)} of {tried.asked} machines counted; asked again")

    def keep(self, action: str, request: Requests) -> None:
        """Remember what a machine that has forgotten is asked again, in the order in which a run asks it."""
        order = list(CATEGORIES)
        self.kept = dict(sorted({**self.kept, action: request}.items(), key=lambda item: order.index(item[0])))

    def broadcast(self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid) -> list[Message]:
        """Return a round's messages to the machines that take part: all, or a share drawn by seed."""
        action = str(config[ACTION])
        nodes = self._nodes(grid)
        if action in DRAWN and grid is self.machines_grid:
            nodes = self._drawn([node for node in nodes if self._can_train(node)], server_round)
        content = RecordDict({ARRAYS: arrays, CONFIG: config})
        kind = f"{CATEGORIES[action]}.{action}"
        return [Message(content, node, kind, group_id=str(server_round)) for node in nodes]

    def _try(self, place: Place, action: str, request: Requests, server_round: int, where: str) -> _Tried:
        """Make an exchange, tell good replies from others, and judge what the good ones say."""
        if place == "machines" and self.register.node_of and action not in FIRST:
            self._greet()
        messages = list(self._messages(place, action, request, server_round))
        replies = self._exchange(place, action, messages, server_round)
        forgetful = {reply.metadata.src_node_id for reply in replies if _has_forgotten(reply)}
        if forgetful and self.kept:
            self._remind(place, forgetful)
            anew = self._messages(place, action, request, server_round)  # Flower knows a message by its content
            again = [message for message in anew if message.metadata.dst_node_id in forgetful]
            replies = [reply for reply in replies if reply.metadata.src_node_id not in forgetful]
            replies += self._exchange(place, action, again, server_round)
        found = sort_out(replies, where)
        asked = len(request) if isinstance(request, Mapping) else len(messages)
        if isinstance(request, Payload) and place == "machines" and action not in DRAWN:
            asked = max(asked, self.config.machines)
        payloads, refused = self._judged(place, action, request, found.good)
        problems = [*found.problems, *refused]
        if place == "machines":
            problems += self._unheard(messages, replies, asked)
        return _Tried(asked, payloads, problems, found.failure)

    def _judged(
        self, place: Place, action: str, request: Requests, good: list[Message]
    ) -> tuple[list[Payload], list[Problem]]:
        """Return the payloads that the server accepts, and what it objects to in the others."""
        payloads, refused = [], []
        for message in good:
            payload = from_records(message.content)
            machine = payload.integer(PARTITION_ID)
            if place == "machines":
                own = request[machine] if isinstance(request, Mapping) else request
                if objection := self._acceptance.objection(action, machine, own, payload):
                    refused.append(Problem(None, machine, f"machine {machine} is refused: {objection}"))
                    continue
                self.register.node_of[machine] = message.metadata.src_node_id
            payloads.append(payload)
        return payloads, refused

    def _unheard(self, messages: list[Message], replies: list[Message], asked: int) -> list[Problem]:
        """Return the machines of which nothing was heard."""
        heard = {reply.metadata.src_node_id for reply in replies}
        nodes = [m.metadata.dst_node_id for m in messages if m.metadata.dst_node_id not in heard]
        machines = [self.register.machine_of(node) for node in nodes]
        silent = [
            Problem(None, machine, f"{'a machine' if machine is None else f'machine {machine}'} did not answer in time")
            for machine in machines
        ]
        away = asked - len(messages)
        return silent + ([Problem(None, None, f"{away} not connected")] if away > 0 else [])

    def _enter(self, tried: _Tried, stage: str, server_round: int) -> None:
        for problem in tried.problems:
            machine = problem.machine
            if machine is None and problem.node is not None:
                machine = self.register.machine_of(problem.node)
            self.register.absences.append(Absence(stage, server_round, machine, problem.why))

    def _greet(self) -> None:
        """Ask nodes that the server does not know, which joined late or came back as another node, who they are."""
        known = set(self.register.node_of.values())
        strange = [node for node in self._grid("machines").get_node_ids() if node not in known]
        if strange:
            self._remind("machines", set(strange), ["prepare"])
            messages = [
                m for m in self._messages("machines", "census", Payload(), 0) if m.metadata.dst_node_id in strange
            ]
            found = sort_out(self._exchange("machines", "census", messages, 0), "a machine that joined")
            self._judged("machines", "census", Payload(), found.good)

    def _messages(self, place: Place, action: str, request: Requests, server_round: int) -> Iterable[Message]:
        grid = self._grid(place)
        if isinstance(request, Payload):
            return self.broadcast(server_round, *_records(action, request), grid)
        kind, connected = f"{CATEGORIES[action]}.{action}", set(grid.get_node_ids())
        return [
            Message(RecordDict(dict(zip((ARRAYS, CONFIG), _records(action, own), strict=True))), node, kind)
            for partition_id, own in sorted(request.items())
            if (node := self.register.node_of.get(partition_id)) in connected and node is not None
        ]

    def _exchange(self, place: Place, action: str, messages: list[Message], server_round: int) -> list[Message]:
        timeout = self.config.round_timeout or None
        replies = list(self._grid(place).send_and_receive(messages, timeout=timeout)) if messages else []
        if place == "machines":
            stage = stage_of(action)
            cost = self.register.book(stage, server_round, messages, replies)
            self.traffic[stage].sent += cost.sent
            self.traffic[stage].received += cost.received
        return replies

    def _remind(self, place: Place, nodes: Set[int], actions: Iterable[str] | None = None) -> None:
        """Ask machines that restarted what they knew before; what they then find is what they had found."""
        for action in actions or tuple(self.kept):
            if action not in self.kept or (place == "server" and action != "prepare"):
                continue
            messages = self._messages(place, action, self.kept[action], 0)
            asked = [message for message in messages if message.metadata.dst_node_id in nodes]
            if asked:  # a machine that did not answer then has nothing to be reminded of
                self._exchange(place, action, asked, 0)

    def _grid(self, place: Place) -> Grid:
        if place == "server":
            return self.server_grid
        if self.machines_grid is None:
            raise RuntimeError("run(grid) gives the machines")
        return self.machines_grid

    def _nodes(self, grid: Grid) -> list[int]:
        """Return the connected nodes: at first all are waited for, later only as many as must count."""
        if grid is self.server_grid:
            return wait_for_nodes(grid, 1)
        needed = good_replies_needed(self.config.min_machines, self.config.machines)
        wanted = needed if self._met else self.config.machines
        ask = partial(_compare_sizes, "describe" if self.config.own_data else "census")
        nodes = wait_for_nodes(grid, wanted, ask, self.config.connect_timeout, needed=needed)
        self._met = True
        return nodes

    def _can_train(self, node: int) -> bool:
        """Return whether a machine has an example to train on; a host may have test rows only."""
        machine = self.register.machine_of(node)
        return machine is None or self._acceptance.census.get(machine) is None or self._acceptance.examples(machine) > 0

    def _drawn(self, nodes: list[int], server_round: int) -> list[int]:
        """Draw this round's machines by seed, from their partition ids: node ids differ from run to run."""
        share = max(1, round(float(self.config.fraction_train) * max(len(nodes), self.config.machines)))
        if share >= len(nodes):
            return nodes
        partitions = sorted(machine for machine, node in self.register.node_of.items() if self._can_train(node))
        drawn = numpy_generator(self.config.seed, "sample-machines", server_round).permutation(partitions)[:share]
        return [self.register.node_of[int(partition_id)] for partition_id in sorted(drawn)]


def _records(action: str, request: Payload) -> tuple[ArrayRecord, ConfigRecord]:
    return to_array_record(request.arrays), ConfigRecord({**request.numbers, ACTION: action})


def _has_forgotten(reply: Message) -> bool:
    return reply.has_content() and isinstance(failure_of(reply.content), ForgottenError)


def _compare_sizes(action: str, grid: Grid, node: int) -> None:
    """Ask a machine for its counts: it refuses if the federation's size, which only it knows, is not ``machines``."""
    content = RecordDict({ARRAYS: ArrayRecord(), CONFIG: ConfigRecord({ACTION: action})})
    for reply in grid.send_and_receive([Message(content, node, f"{CATEGORIES[action]}.{action}")]):
        if reply.has_content() and (failure := failure_of(reply.content)) is not None:
            raise failure


def pack_requests(action: str, requests: Requests) -> dict[str, Array]:
    """Return an action's requests as arrays: an array that all machines share stands there once."""
    whole = isinstance(requests, Payload)
    each = {-1: requests} if isinstance(requests, Payload) else dict(requests)
    numbers: dict[str, dict[str, Any]] = {}
    arrays: dict[str, Array] = {}
    places: dict[int, str] = {}
    for machine, request in each.items():
        numbers[str(machine)] = dict(request.numbers)
        for name, array in request.arrays.items():
            place = places.setdefault(id(array), f"array-{len(places)}")
            arrays[place] = array
            numbers[str(machine)][f"@{name}"] = place
    about = {"action": action, "whole": whole, "requests": numbers}
    return {**arrays, "about": pack_json(about)}


def unpack_requests(saved: Mapping[str, Array]) -> tuple[str, Requests]:
    """Return what :func:`pack_requests` packed."""
    about = unpack_json(saved["about"])
    requests = {
        int(machine): Payload(
            {name[1:]: saved[place] for name, place in values.items() if name.startswith("@")},
            {name: value for name, value in values.items() if not name.startswith("@")},
        )
        for machine, values in about["requests"].items()
    }
    return about["action"], requests[-1] if about["whole"] else requests
