"""The Flower strategy that runs a method's stages over a Grid: the same for every method, engine and host."""

from collections.abc import Iterable, Mapping, Sequence, Set
from logging import INFO
from typing import Any, Protocol

from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.common.logger import log
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Result, Strategy

from fedjtt.cache import StageCache
from fedjtt.config import RunConfig
from fedjtt.errors import ForgottenError
from fedjtt.methods.base import Array, Payload, Place, Scalar, Trained
from fedjtt.methods.registry import CATEGORIES, METHODS
from fedjtt.records import ACTION, ARRAYS, CONFIG, PARTITION_ID, failure_of, from_records, to_array_record
from fedjtt.seeding import numpy_generator
from strategies.aggregators import identify_aggregator, robust_aggregator
from strategies.exchange import Traffic, accept, stage_of, total_bytes, wait_for_nodes

Requests = Payload | Mapping[int, Payload]
"""One request for all machines, or one for each by its partition id."""


class Observer(Protocol):
    """Whoever watches a run."""

    def progress(self, stage: str, server_round: int, rounds: int, figures: Mapping[str, Any]) -> None:
        """Be told that a round of a stage has ended, with its figures."""


class StagedStrategy(Strategy):
    """Runs the stages of ``config.method``; it is the ``Server`` that the methods' server halves see.

    A method asks one of two places: the machines, over the Grid that Flower or the simulation gives, or the server's
    own node, over a one-node Grid in this process. Central training is the machines' code on one node with all data.

    Parameters
    ----------
    config : RunConfig
        The run.
    server_grid : Grid
        One node: the data that the server itself holds.
    observer : Observer or None
        Told of every round.
    cache : StageCache or None
        Results of stages on the server's disk.

    Attributes
    ----------
    notes : list of str
        What the result should say about itself.
    traffic : dict
        Bytes between server and machines by stage; the server's own node costs none.
    """

    def __init__(
        self, config: RunConfig, server_grid: Grid, observer: Observer | None = None, cache: StageCache | None = None
    ) -> None:
        self.config = config
        self.cache = cache
        self.initial: Array | None = None
        self.notes: list[str] = []
        self.traffic = {"identify": Traffic(), "robust": Traffic(), "evaluate": Traffic()}
        self._server_grid = server_grid
        self._machines_grid: Grid | None = None
        self._observer = observer
        self._aggregators = {"robust": robust_aggregator(config)}
        self._kept: tuple[str, Requests] | None = None
        self._current: Array | None = None
        self._node_of: dict[int, int] = {}

    # --- what Flower calls ---

    def summary(self) -> None:
        """Log the settings."""
        log(INFO, "\t├──> fedjtt: %s, robust training %s", self.config.method, self.config.robust)
        self._aggregators["robust"].summary()

    def start(  # type: ignore[override]  # the stages bring their own settings: there are no configs to pass
        self, grid: Grid, initial_arrays: ArrayRecord | None = None, num_rounds: int | None = None
    ) -> Result:
        """Run all stages over the machines of a Grid.

        Parameters
        ----------
        initial_arrays : ArrayRecord or None
            One array ``weights`` to start the robust stage from; None: the run's seed decides.
        num_rounds : int or None
            In place of ``robust-rounds``.

        Returns
        -------
        Result
            Flower's: the selected weights, and the validation figures of every round.
        """
        if num_rounds is not None:
            self.config = self.config.replace(robust_rounds=num_rounds)
        if initial_arrays is not None:
            self.initial = initial_arrays["weights"].numpy()
        trained = self.run(grid)
        result = Result(arrays=to_array_record({"weights": trained.weights}))
        for line in trained.history:
            figures: dict[str, Scalar] = {key: value for key, value in line.items() if isinstance(value, int | float)}
            result.evaluate_metrics_serverapp[line["round"]] = MetricRecord(figures)
        return result

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Return a round's messages to the machines that take part: all, or a share drawn by seed."""
        action = str(config[ACTION])
        nodes = self._nodes(grid)
        if action in ("fit", "learn") and grid is self._machines_grid:
            nodes = self._drawn(nodes, server_round)
        content = RecordDict({ARRAYS: arrays, CONFIG: config})
        kind = f"{CATEGORIES[action]}.{action}"
        return [Message(content, node, kind, group_id=str(server_round)) for node in nodes]

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Return an evaluation's messages: always to all machines, so that every group is counted once."""
        return self.configure_train(server_round, arrays, config, grid)

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Join the machines' weights by the run's aggregator, in the order of their partition ids."""
        payloads = self._accepted(list(replies), None, f"robust round {server_round}")
        updates = [(payload.arrays["weights"], payload.real("size")) for payload in payloads]
        current = updates[0][0] if self._current is None else self._current
        joined = self.combine(server_round, current, updates)
        return to_array_record({"weights": joined}), MetricRecord({"size": sum(size for _, size in updates)})

    def aggregate_evaluate(self, server_round: int, replies: Iterable[Message]) -> MetricRecord | None:
        """Add up the machines' group counts: a mean of their accuracies would not be the accuracy."""
        payloads = self._accepted(list(replies), None, f"evaluation in round {server_round}")
        columns: dict[str, Scalar] = {
            name: [sum(values) for values in zip(*(payload.integers(name) for payload in payloads), strict=True)]
            for name in ("correct", "count")
        }
        return MetricRecord(columns)

    # --- what the methods' server halves call ---

    def run(self, grid: Grid) -> Trained:
        """Run the method's stages with the machines behind `grid` and return the selected model."""
        self._machines_grid = grid
        return METHODS[self.config.method].coordinate(self)

    def ask(self, place: Place, action: str, request: Requests, server_round: int = 0) -> list[Payload]:
        """Send a request to a place's machines and return the good replies, ordered by partition id."""
        messages = list(self._messages(place, action, request, server_round))
        replies = self._exchange(place, action, messages)
        forgetful = {reply.metadata.src_node_id for reply in replies if _has_forgotten(reply)}
        if forgetful and self._kept is not None:
            self._remind(forgetful)
            anew = self._messages(place, action, request, server_round)  # Flower knows a message by its content
            again = self._exchange(place, action, [m for m in anew if m.metadata.dst_node_id in forgetful])
            replies = [reply for reply in replies if reply.metadata.src_node_id not in forgetful] + again
        where = f"{stage_of(action)} stage" + (f", round {server_round}" if server_round else "")
        return self._accepted(replies, len(messages), where, place)

    def keep(self, action: str, request: Requests) -> None:
        """Remember what a machine that has forgotten is asked again."""
        self._kept = action, request

    def combine(
        self, server_round: int, current: Array, updates: Sequence[tuple[Array, float]], stage: str = "robust"
    ) -> Array:
        """Join the machines' weights by the stage's aggregator, whose state starts afresh in a first round."""
        if server_round == 1 or stage not in self._aggregators:
            made = robust_aggregator if stage == "robust" else identify_aggregator
            self._aggregators[stage] = made(self.config)
        self._current = self._aggregators[stage].combine(server_round, current, updates)
        return self._current

    def spent(self, stage: str) -> tuple[int, int]:
        """Return the bytes that a stage has sent to and received from machines so far."""
        return self.traffic[stage].sent, self.traffic[stage].received

    def book(self, stage: str, sent: int, received: int) -> None:
        """Count bytes that a stage cost when its cached result was computed."""
        self.traffic[stage].sent += sent
        self.traffic[stage].received += received

    def note(self, text: str) -> None:
        """Add a line to what the result says about itself, once."""
        if text not in self.notes:
            self.notes.append(text)
            log(INFO, "note: %s", text)

    def progress(self, stage: str, server_round: int, rounds: int, figures: Mapping[str, Any]) -> None:
        """Tell the observer that a round has ended."""
        if self._observer is not None:
            self._observer.progress(stage, server_round, rounds, figures)

    # --- how ---

    def _messages(self, place: Place, action: str, request: Requests, server_round: int) -> Iterable[Message]:
        grid = self._grid(place)
        configure = self.configure_evaluate if CATEGORIES[action] == "evaluate" else self.configure_train
        if isinstance(request, Payload):
            return configure(server_round, *_records(action, request), grid)
        kind = f"{CATEGORIES[action]}.{action}"
        return [
            Message(RecordDict(dict(zip((ARRAYS, CONFIG), _records(action, own), strict=True))), node, kind)
            for partition_id, own in sorted(request.items())
            if (node := self._node_of.get(partition_id)) is not None
        ]

    def _exchange(self, place: Place, action: str, messages: list[Message]) -> list[Message]:
        replies = list(self._grid(place).send_and_receive(messages))
        if place == "machines":
            traffic = self.traffic[stage_of(action)]
            traffic.sent += total_bytes(messages)
            traffic.received += total_bytes(replies)
        return replies

    def _remind(self, nodes: Set[int]) -> None:
        """Ask machines that restarted what they knew before; what they then find is what they had found."""
        if self._kept is None:
            return
        action, request = self._kept
        asked = [m for m in self._messages("machines", action, request, 0) if m.metadata.dst_node_id in nodes]
        if asked:  # a machine that did not answer then has nothing to be reminded of
            self._accepted(self._exchange("machines", action, asked), len(asked), f"{stage_of(action)} stage, again")

    def _grid(self, place: Place) -> Grid:
        if place == "server":
            return self._server_grid
        if self._machines_grid is None:
            raise RuntimeError("run(grid) gives the machines")
        return self._machines_grid

    def _nodes(self, grid: Grid) -> list[int]:
        if grid is self._server_grid:
            return wait_for_nodes(grid, 1)
        return wait_for_nodes(grid, self.config.machines, _compare_sizes)

    def _drawn(self, nodes: list[int], server_round: int) -> list[int]:
        """Draw this round's machines by seed, from their partition ids: node ids differ from run to run."""
        share = max(1, round(float(self.config.fraction_train) * len(nodes)))
        if share >= len(nodes):
            return nodes
        partitions = sorted(self._node_of)
        drawn = numpy_generator(self.config.seed, "sample-machines", server_round).permutation(partitions)[:share]
        return [self._node_of[int(partition_id)] for partition_id in sorted(drawn)]

    def _accepted(
        self, replies: list[Message], asked: int | None, where: str, place: Place = "machines"
    ) -> list[Payload]:
        count = len(replies) if asked is None else asked
        good, problems = accept(replies, count, self.config.min_machines, where)
        if problems:
            self.note(f"{where}: {len(good)} of {count} machines counted; {'; '.join(problems)}")
        payloads = [from_records(message.content) for message in good]
        for message, payload in zip(good, payloads, strict=True):
            if place == "machines":
                self._node_of[payload.integer(PARTITION_ID)] = message.metadata.src_node_id
        return payloads


def _records(action: str, request: Payload) -> tuple[ArrayRecord, ConfigRecord]:
    return to_array_record(request.arrays), ConfigRecord({**request.numbers, ACTION: action})


def _has_forgotten(reply: Message) -> bool:
    return reply.has_content() and isinstance(failure_of(reply.content), ForgottenError)


def _compare_sizes(grid: Grid, node: int) -> None:
    """Ask a machine for its counts: it refuses if the federation's size, which only it knows, is not ``machines``."""
    content = RecordDict({ARRAYS: ArrayRecord(), CONFIG: ConfigRecord({ACTION: "census"})})
    for reply in grid.send_and_receive([Message(content, node, f"{CATEGORIES['census']}.census")]):
        if reply.has_content() and (failure := failure_of(reply.content)) is not None:
            raise failure


__all__ = ["Observer", "StagedStrategy"]
