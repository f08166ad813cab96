"""What the server and its machines say to each other: exchanges in which some fail, forget, join late or lie."""

from collections.abc import Callable, Iterable, Mapping, Set
from functools import partial

from flwr.app import ArrayRecord, ConfigRecord, Message, RecordDict
from flwr.serverapp import Grid

from fedjtt.choices import REMOVING
from fedjtt.config import RunConfig
from fedjtt.errors import ForgottenError
from fedjtt.methods.base import Payload, Place
from fedjtt.methods.registry import CATEGORIES
from fedjtt.methods.summed import FORMS
from fedjtt.records import ACTION, ARRAYS, CONFIG, failure_of, to_array_record
from fedjtt.seeding import numpy_generator
from strategies.acceptance import Acceptance
from strategies.exchange import (
    Problem,
    good_replies_needed,
    partition_id_of,
    read_payload,
    sort_out,
    too_few,
    wait_for_nodes,
)
from strategies.known import Owner
from strategies.question import DRAWN, FIRST, Question, Tried
from strategies.register import Absence, Register, Traffic
from strategies.requests import Requests
from strategies.secure import GREETING, SecureSums, quietly
from strategies.secure_rules import objection_to_step


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
        stages += ("head",) if config.method == "dfr" else ("attribute",) if config.method in REMOVING else ()
        self.traffic = {stage: Traffic() for stage in stages}
        self.register = Register()
        self._acceptance = Acceptance.of_run(config, owner)
        self._sums = SecureSums(config, self._needed)
        self._failed_rounds = 0
        self._met = False

    def ask(self, place: Place, action: str, request: Requests, server_round: int = 0) -> list[Payload]:
        """Send a request to a place's machines and return the good replies, ordered by partition id.

        Where too few machines count, the others are asked again, as often as ``max-failed-rounds`` allows in a run.
        """
        question = Question(place, action, request, server_round)
        if action == "lend" and self._acceptance.parameters is None:
            self._acceptance.parameters = len(self.ask("server", "initial", Payload())[0].arrays["weights"])
        summed = self.config.secure_aggregation and place == "machines" and action in FORMS
        attempt = self._sums.asking(question, self._try) if summed else partial(self._try, question)
        good: dict[int, Payload] = {}
        while True:
            tried = attempt(good.keys())
            good = tried.payloads if summed else good | tried.payloads  # a sum over the others would be theirs alone
            self._enter(tried.problems, question)
            if len(good) >= tried.needed:
                if tried.problems:
                    told = "; ".join(map(str, tried.problems))
                    self.note(f"{question.where}: {len(good)} of {tried.asked} machines counted; {told}")
                return [good[machine] for machine in sorted(good)] if tried.total is None else [tried.total]
            if tried.failure is not None:
                raise tried.failure
            self._failed_rounds += 1
            if self._failed_rounds > self.config.max_failed_rounds:
                raise too_few(len(good), tried.asked, tried.needed, question.where, [*map(str, tried.problems)])
            again = "all" if summed else "the others"
            self.note(f"{question.where}: only {len(good)} of {tried.asked} machines counted; {again} were asked again")

    def _needed(self, asked: int) -> int:
        return good_replies_needed(self.config.min_machines, asked)

    def keep(self, action: str, request: Requests) -> None:
        """Remember what a machine that has forgotten is asked again, in the order in which a run asks it."""
        order = list(CATEGORIES)
        self.kept = dict(sorted({**self.kept, action: request}.items(), key=lambda item: order.index(item[0])))

    def broadcast(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid, drawn: bool = False
    ) -> list[Message]:
        """Return a round's messages to the machines that take part: all, or a share drawn by seed."""
        action = str(config[ACTION])
        nodes = self._nodes(grid)
        if (action in DRAWN or drawn) and grid is self.machines_grid:
            nodes = self._drawn([node for node in nodes if self._trains(self.register.machine_of(node))], server_round)
        content = RecordDict({ARRAYS: arrays, CONFIG: config})
        kind = f"{CATEGORIES[action]}.{action}"
        return [Message(content, node, kind, group_id=str(server_round)) for node in nodes]

    def _try(self, question: Question, done: Set[int] = frozenset()) -> Tried:
        """Make an exchange with all but those who are done, and judge what the good replies say."""
        place, request = question.place, question.request
        problems: list[Problem] = []
        if place == "machines" and self.register.node_of and question.action not in FIRST and question.begins:
            problems += self._greet()
        messages = list(self._messages(question))
        asked = self._meant(question, messages)
        messages = [m for m in messages if self.register.machine_of(m.metadata.dst_node_id) not in done]
        replies = self._exchange(question, messages)
        forgetful = {reply.metadata.src_node_id for reply in replies if _has_forgotten(reply)}
        if forgetful and self.kept and question.acts:
            self._remind(place, forgetful)
            anew = self._messages(question)  # Flower knows a message by its content
            again = [message for message in anew if message.metadata.dst_node_id in forgetful]
            replies = [reply for reply in replies if reply.metadata.src_node_id not in forgetful]
            replies += self._exchange(question, again)
        found = sort_out(replies, question.where)
        payloads, refused = self._judged(question, found.good)
        problems += [*found.problems, *refused]
        if place == "machines":
            meant = set(request if isinstance(request, Mapping) else self._asked(question)) - set(done)
            named = {problem.machine for problem in problems}
            problems += self.register.absent(meant - named, messages, replies, asked - len(done) - len(messages))
        return Tried(asked, payloads, problems, found.failure, self._needed(asked))

    def _judged(
        self, question: Question, good: list[Message], present: Set[int] = frozenset()
    ) -> tuple[dict[int, Payload], list[Problem]]:
        """Return the payloads that the server accepts, and what it objects to in the others.

        `present` are nodes that were not asked: what they are known to be, nobody else can be.
        """
        payloads: dict[int, Payload] = {}
        refused: list[Problem] = []
        senders = {(partition_id_of(message), message.metadata.src_node_id) for message in good}
        senders |= {(machine, node) for machine, node in self.register.node_of.items() if node in present}
        for message in good:
            machine, node = partition_id_of(message), message.metadata.src_node_id
            payload, objection = read_payload(message)
            if question.place == "machines" and not objection:
                objection = self.register.imposture(machine, node, self.config.machines, senders)
                objection = objection or self._objection(question, machine, payload, machine in payloads)
            if objection:
                own = self.register.machine_of(node)
                own = machine if own is None else own
                refused.append(Problem(None, own, f"machine {own} is refused: {objection}"))
                continue
            if question.place == "machines":
                self.register.node_of[machine] = node
            payloads[machine] = payload
        return payloads, refused

    def _objection(self, question: Question, machine: int, payload: Payload, answered: bool) -> str:
        asked = question.request
        meant = asked if isinstance(asked, Payload) else asked.get(machine)
        if answered or meant is None:
            return "it was not asked, or another node has answered as it"
        if question.step:
            return objection_to_step(question.step, question.action, meant, payload)
        return self._acceptance.objection(question.action, machine, meant, payload)

    def _meant(self, question: Question, messages: list[Message]) -> int:
        """Return how many machines an exchange is meant for, whoever is connected."""
        if isinstance(question.request, Mapping):
            return len(question.request)
        if question.place == "server":
            return len(messages)
        share = float(self.config.fraction_train) if question.is_drawn else 1.0
        return max(len(messages), round(share * len(self._asked(question))))

    def _asked(self, question: Question) -> list[int]:
        """Return the machines that a question is for, by what is known of them."""
        return [machine for machine in range(self.config.machines) if not question.is_drawn or self._trains(machine)]

    def _enter(self, problems: list[Problem], question: Question) -> None:
        for problem in problems:
            machine = problem.machine
            if machine is None and problem.node is not None:
                machine = self.register.machine_of(problem.node)
            self.register.absences.append(Absence(question.stage, question.round, machine, problem.why))

    def _greet(self) -> list[Problem]:
        """Ask nodes that the server does not know, which joined late or came back as another node, who they are."""
        nodes, known = self._nodes(self._grid("machines")), set(self.register.node_of.values())
        strange = [node for node in nodes if node not in known]
        if not strange:
            return []
        self._remind("machines", set(strange), ["prepare"])
        question = self._greeting
        messages = [m for m in self._messages(question) if m.metadata.dst_node_id in strange]
        found = sort_out(self._exchange(question, messages), "a machine that joined")
        return self._judged(question, found.good, set(nodes))[1]

    @property
    def _greeting(self) -> Question:
        """What a node says who it is in answer to: its counts, or, where these are secret, public keys."""
        if self.config.secure_aggregation:
            return Question("machines", "census", GREETING, step="keys")
        return Question("machines", "census", Payload())

    def _messages(self, question: Question) -> Iterable[Message]:
        grid, request, action = self._grid(question.place), question.request, question.sent
        if isinstance(request, Payload):
            return self.broadcast(question.round, *_records(action, request), grid, question.is_drawn)
        kind, connected = f"{CATEGORIES[action]}.{action}", set(self._nodes(grid))
        return [
            Message(RecordDict(dict(zip((ARRAYS, CONFIG), _records(action, own), strict=True))), node, kind)
            for partition_id, own in sorted(request.items())
            if (node := self.register.node_of.get(partition_id)) in connected and node is not None
        ]

    def _exchange(self, question: Question, messages: list[Message]) -> list[Message]:
        timeout = self.config.round_timeout or None
        replies = list(self._grid(question.place).send_and_receive(messages, timeout=timeout)) if messages else []
        if question.place == "machines":
            cost = self.register.book(question.stage, question.round, messages, replies)
            self.traffic[question.stage].sent += cost.sent
            self.traffic[question.stage].received += cost.received
        return replies

    def _remind(self, place: Place, nodes: Set[int], actions: Iterable[str] | None = None) -> None:
        """Ask machines that restarted what they knew before; what they then find is what they had found."""
        for action in actions or tuple(self.kept):
            if action not in self.kept or (place == "server" and action != "prepare"):
                continue
            summed = self.config.secure_aggregation and action in FORMS
            question = Question(place, action, quietly(self.kept[action]) if summed else self.kept[action])
            asked = [message for message in self._messages(question) if message.metadata.dst_node_id in nodes]
            if asked:  # a machine that did not answer then has nothing to be reminded of
                self._exchange(question, asked)

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
        nodes = wait_for_nodes(grid, wanted, self._compare_sizes, self.config.connect_timeout, needed=needed)
        self._met = True
        return nodes

    def _compare_sizes(self, grid: Grid, node: int) -> None:
        """Ask a machine for its counts: it refuses if the federation's size, which it knows, is not ``machines``."""
        action = "describe" if self.config.own_data else self._greeting.sent
        request = GREETING if self.config.secure_aggregation else Payload()
        content = RecordDict(dict(zip((ARRAYS, CONFIG), _records(action, request), strict=True)))
        message = Message(content, node, f"{CATEGORIES[action]}.{action}")
        found = sort_out(grid.send_and_receive([message], timeout=self.config.round_timeout or None), "connecting")
        if found.failure is not None:
            raise found.failure

    def _trains(self, machine: int | None) -> bool:
        """Return whether a machine may have an example to train on; a host may have test rows only."""
        return machine is None or self._acceptance.census.get(machine) is None or self._acceptance.examples(machine) > 0

    def _drawn(self, nodes: list[int], server_round: int) -> list[int]:
        """Draw this round's machines by seed, from their partition ids: node ids differ from run to run."""
        share = max(1, round(float(self.config.fraction_train) * max(len(nodes), self.config.machines)))
        if share >= len(nodes):
            return nodes
        partitions = sorted(machine for machine in self.register.node_of if self._trains(machine))
        drawn = numpy_generator(self.config.seed, "sample-machines", server_round).permutation(partitions)[:share]
        return [self.register.node_of[int(partition_id)] for partition_id in sorted(drawn)]


def _records(action: str, request: Payload) -> tuple[ArrayRecord, ConfigRecord]:
    return to_array_record(request.arrays), ConfigRecord({**request.numbers, ACTION: action})


def _has_forgotten(reply: Message) -> bool:
    return reply.has_content() and isinstance(failure_of(reply.content), ForgottenError)
