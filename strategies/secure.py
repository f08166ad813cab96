"""Secure aggregation, the server's half: four exchanges in place of one, and of the replies nothing but their sum.

What the machines do and refuse to do stands in fedjtt/methods/secure.py. A machine that fails in any of the exchanges
is left out from there on: before it has handed out its shares nobody has masked anything for it; afterwards the others
reveal its mask key; and whoever answered counts, even if it is gone when the masks are taken away.
"""

import secrets
from collections import Counter
from collections.abc import Callable, Mapping, Set
from dataclasses import replace
from functools import reduce
from operator import add

import numpy as np

from fedjtt.config import RunConfig
from fedjtt.errors import EngineError, FedJTTError
from fedjtt.methods.base import Array, Payload
from fedjtt.methods.secure import (
    ANSWERED,
    DROPPED,
    LAYOUT,
    MASK,
    MASKED,
    NEIGHBOURS,
    PUBLIC,
    QUESTION,
    QUIET,
    SEALED,
    SENDERS,
    SHARES,
)  # fmt: skip
from fedjtt.methods.summed import SECONDS, Flat, read_sum
from fedjtt.rules import FEWEST_MACHINES
from fedjtt.secagg.crypto import SEALED_BYTES, join, mask_of, pair_mask, public_of
from fedjtt.secagg.fixed_point import Ring
from fedjtt.secagg.neighbours import neighbours_of, threshold_of
from strategies.exchange import Problem
from strategies.question import Question, Tried
from strategies.requests import Requests
from strategies.secure_rules import objection_to_sum

Try = Callable[[Question], Tried]

GREETING = Payload(numbers={QUESTION: 0})
"""What a node is asked who it is by: it answers with public keys that nobody uses."""


def quietly(request: Requests) -> Requests:
    """Return a request that a machine is reminded by: it does what it is asked and says nothing."""
    if isinstance(request, Payload):
        return Payload(request.arrays, {**request.numbers, QUIET: 1})
    return {machine: Payload(own.arrays, {**own.numbers, QUIET: 1}) for machine, own in request.items()}


class SecureSums:
    """The questions of a run to which the server sees the sum of the replies and nothing else.

    Parameters
    ----------
    needed : callable
        Gives how many of so many machines must count, at least.
    """

    def __init__(self, config: RunConfig, needed: Callable[[int], int]) -> None:
        self._config, self._needed = config, needed
        self._census: list[int] | None = None

    def asking(self, question: Question, attempt: Try) -> Callable[[Set[int]], Tried]:
        """Return what asks all machines anew, whoever has answered before: a sum over the others would be theirs alone.

        A machine knows by a question's number that it is asked the same thing again; it is not from the run's seed.
        """
        number = secrets.randbits(62)

        def ask(done: Set[int]) -> Tried:  # noqa: ARG001
            tried = _Asked(attempt, question, number, self._config.seed, self._needed).tried()
            if tried.total is not None:
                self._check(question, tried.total, len(tried.payloads))
            return tried

        return ask

    def _check(self, question: Question, total: Payload, machines: int) -> None:
        asked = question.request
        request = asked if isinstance(asked, Payload) else next(iter(asked.values()))
        if question.action == "census" and machines == self._config.machines:
            self._census = total.integers("label-counts")
        objection = objection_to_sum(question.action, request, total, self._census)
        if objection:
            raise EngineError(f"{question.where}: the machines' sum is refused: {objection}")


class _Asked:
    """One try at a question.

    Parameters
    ----------
    attempt : callable
        Makes one exchange.
    number : int
        What the question is called.
    seed : int
        Of the run: the ring of neighbours is drawn by it, and nothing else.
    """

    def __init__(self, attempt: Try, question: Question, number: int, seed: int, needed: Callable[[int], int]) -> None:
        self._attempt, self._question, self._number, self._seed = attempt, question, number, seed
        self._quorum = needed
        self._problems: list[Problem] = []
        self._failure: FedJTTError | None = None
        self._asked = 0

    def tried(self) -> Tried:
        """Make the four exchanges."""
        whole = Payload(numbers={QUESTION: self._number})
        asked = self._question.request
        keys = self._step("keys", dict.fromkeys(asked, whole) if isinstance(asked, Mapping) else whole)
        self._asked = keys.asked
        needed = max(self._quorum(keys.asked), threshold_of(keys.asked))
        if len(keys.payloads) < max(needed, FEWEST_MACHINES):
            return self._too_few(keys.payloads, max(needed, FEWEST_MACHINES))
        graph = neighbours_of(keys.payloads, self._seed, self._question.round)
        public = {machine: reply.arrays[PUBLIC] for machine, reply in keys.payloads.items()}
        shares = self._step("shares", _share_requests(graph, public))
        if len(shares.payloads) < needed:
            return self._too_few(shares.payloads, needed)
        senders = {machine: [each for each in graph[machine] if each in shares.payloads] for machine in shares.payloads}
        masked = self._step("masked", self._addressed(graph, senders, shares.payloads))
        answered = self._alike(masked.payloads)
        if len(answered) < needed:
            return self._too_few(answered, needed)
        return self._opened(graph, senders, public, answered, needed)

    def _step(self, step: str, request: Payload | Mapping[int, Payload]) -> Tried:
        tried = self._attempt(replace(self._question, request=request, step=step))
        if step != "reveal":  # who has answered counts, gone or not
            self._problems += tried.problems
            self._failure = self._failure or tried.failure
        return tried

    def _too_few(self, counted: dict[int, Payload], needed: int) -> Tried:
        return Tried(self._asked, counted, self._problems, self._failure, needed)

    def _addressed(
        self, graph: Mapping[int, list[int]], senders: Mapping[int, list[int]], shares: Mapping[int, Payload]
    ) -> dict[int, Payload]:
        """Return the action's requests, each with the shares that were sealed for that machine."""
        asked, requests = self._question.request, {}
        for machine, sent in senders.items():
            own = asked[machine] if isinstance(asked, Mapping) else asked
            sealed = [shares[each].arrays[SEALED][graph[each].index(machine)] for each in sent]
            stacked = np.stack(sealed) if sealed else np.zeros((0, SEALED_BYTES), dtype=np.uint8)
            requests[machine] = Payload({**own.arrays, SENDERS: np.array(sent, np.int64), SEALED: stacked}, own.numbers)
        return requests

    def _alike(self, replies: Mapping[int, Payload]) -> dict[int, Payload]:
        """Return the replies that can be added up: those of the most frequent layout."""
        if not replies:
            return {}
        layouts = {machine: tuple(reply.integers(LAYOUT)) for machine, reply in replies.items()}
        (common, _), *_ = Counter(layouts.values()).most_common(1)
        for machine, layout in layouts.items():
            if layout != common:
                why = f"machine {machine} is refused: its reply has parts of {list(layout)}, the others {list(common)}"
                self._problems.append(Problem(None, machine, why))
        return {machine: reply for machine, reply in replies.items() if layouts[machine] == common}

    def _opened(
        self,
        graph: Mapping[int, list[int]],
        senders: Mapping[int, list[int]],
        public: Mapping[int, Array],
        answered: Mapping[int, Payload],
        needed: int,
    ) -> Tried:
        """Ask for the shares that take the masks away, and return the sum."""
        holders = {machine: [*senders[machine], machine] for machine in senders}
        requests = {machine: _reveal_request(holders[machine], answered) for machine in answered}
        told = self._step("reveal", requests)
        shares = _by_owner(requests, told.payloads)
        for machine in senders:
            wanted = threshold_of(len(graph[machine]) + 1)
            if len(shares.get(machine, [])) < wanted and _is_needed(machine, senders[machine], answered):
                self._problems += told.problems
                self._failure = self._failure or told.failure
                return self._too_few(dict(told.payloads), max(len(told.payloads) + 1, needed))
        total = reduce(add, (reply.arrays[MASKED] for reply in answered.values()))
        try:
            for machine in senders:
                total = total - _mask_left_by(machine, senders, public, answered, shares, graph, len(total))
            seconds = [reply.real(SECONDS) for reply in answered.values() if SECONDS in reply.numbers]
            layout = next(iter(answered.values())).integers(LAYOUT)
            summed = read_sum(self._question.action, Flat(total, layout), seconds, len(answered))
        except ValueError as error:
            raise EngineError(f"{self._question.where}: the machines' sum cannot be opened: {error}") from None
        return Tried(self._asked, dict(answered), self._problems, self._failure, needed, summed)


def _share_requests(graph: Mapping[int, list[int]], public: Mapping[int, Array]) -> dict[int, Payload]:
    return {
        machine: Payload({NEIGHBOURS: np.array(others), PUBLIC: np.stack([public[other] for other in others])})
        for machine, others in graph.items()
    }


def _reveal_request(holders: list[int], answered: Mapping[int, Payload]) -> Payload:
    there, gone = ([each for each in holders if (each in answered) is here] for here in (True, False))
    return Payload({ANSWERED: np.array(there, dtype=np.int64), DROPPED: np.array(gone, dtype=np.int64)})


def _by_owner(requests: Mapping[int, Payload], told: Mapping[int, Payload]) -> dict[int, list[bytes]]:
    """Return by machine the shares that came of its secret, in the order of who held them."""
    found: dict[int, list[bytes]] = {}
    for holder in sorted(told):
        request = requests[holder].arrays
        for owner, share in zip([*request[ANSWERED], *request[DROPPED]], told[holder].arrays[SHARES], strict=True):
            found.setdefault(int(owner), []).append(share.tobytes())
    return found


def _is_needed(machine: int, others: list[int], answered: Mapping[int, Payload]) -> bool:
    """Return whether a mask of this machine is in the sum: its own, or one that a neighbour who answered has added."""
    return machine in answered or any(other in answered for other in others)


def _mask_left_by(
    machine: int,
    senders: Mapping[int, list[int]],
    public: Mapping[int, Array],
    answered: Mapping[int, Payload],
    shares: Mapping[int, list[bytes]],
    graph: Mapping[int, list[int]],
    length: int,
) -> Ring:
    """Return what a machine leaves in the sum: its own mask, or, dropped out, those of its neighbours against it."""
    wanted = threshold_of(len(graph[machine]) + 1)
    if machine in answered:
        return mask_of(join(shares[machine][:wanted]), length)
    left = np.zeros(length, dtype=np.uint64)
    if not _is_needed(machine, senders[machine], answered):
        return left
    private = join(shares[machine][:wanted])
    if public_of(private) != public[machine][MASK].tobytes():
        raise ValueError(f"what the others sent as shares of machine {machine}'s mask key is not of its key")
    for other in senders[machine]:
        if other in answered:
            mask = pair_mask(private, public[other][MASK].tobytes(), length)
            left = left + mask if other < machine else left - mask
    return left
