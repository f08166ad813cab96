"""The Flower strategy that runs a method's stages over a Grid: the same for every method, engine and host."""

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from logging import INFO
from typing import Any, Protocol

from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.common.logger import log
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Result, Strategy

from fedjtt.cache import StageCache, pack_json, unpack_json
from fedjtt.checkpoint import Checkpoints
from fedjtt.config import RunConfig
from fedjtt.methods.base import Array, Payload, Place, Scalar, Trained
from fedjtt.methods.prepare import prepare_machines
from fedjtt.methods.reference import find_reference, with_its_cost
from fedjtt.methods.registry import METHODS
from fedjtt.model_rules import check_norms
from fedjtt.records import from_records, to_array_record
from strategies.aggregators import identify_aggregator, robust_aggregator
from strategies.conversation import Conversation
from strategies.exchange import accept
from strategies.known import Owner, nobody
from strategies.register import Traffic
from strategies.requests import Requests, pack_requests, unpack_requests
from strategies.update_noise import UpdateNoise

KEPT = "kept/"
"""How states of a checkpoint are called that hold what a machine is told again."""


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
    owner : callable
        Gives the ids of a machine's train examples, where the server can know them.
    checkpoints : Checkpoints or None
        Where the run's state is written after every round; what they hold is gone on from.

    Attributes
    ----------
    notes : list of str
        What the result should say about itself.
    talk : Conversation
        The exchanges: what they cost, and who was missing when.
    noise : UpdateNoise
        What is added to a round's mean, and what that is worth.
    """

    def __init__(
        self,
        config: RunConfig,
        server_grid: Grid,
        observer: Observer | None = None,
        cache: StageCache | None = None,
        owner: Owner = nobody,
        checkpoints: Checkpoints | None = None,
    ) -> None:
        self.config = config
        self.cache = cache
        self.initial: Array | None = None
        self.reference: Mapping[str, Array] | None = None
        self.notes: list[str] = []
        self.talk = Conversation(config, server_grid, self.note, owner)
        self.noise = UpdateNoise.of_run(config)
        self._observer = observer
        self._aggregators = {"robust": robust_aggregator(config)}
        self._current: Array | None = None
        self._checkpoints = checkpoints
        self._kept: dict[str, Requests] = {}
        self._told: list[tuple[str, int, int, dict[str, Any]]] = []
        self._saved: dict[str, dict[str, Array]] = {}
        if checkpoints is not None:
            self._resume(checkpoints)

    @property
    def traffic(self) -> dict[str, Traffic]:
        """Bytes between server and machines by stage."""
        return self.talk.traffic

    @cached_property
    def running(self) -> int:
        """How many numbers at the weights' end are batch norms' running statistics."""
        return self.talk.ask("server", "network", Payload())[0].integer("running")

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
            self.config = self.talk.config = self.config.replace(robust_rounds=num_rounds)
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
        return self.talk.broadcast(server_round, arrays, config, grid)

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Return an evaluation's messages: always to all machines, so that every group is counted once."""
        return self.configure_train(server_round, arrays, config, grid)

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Join the machines' weights by the run's aggregator, in the order of their partition ids."""
        payloads = self._accepted(list(replies), f"robust round {server_round}")
        updates = [(payload.arrays["weights"], payload.real("size")) for payload in payloads]
        current = updates[0][0] if self._current is None else self._current
        joined = self.combine(server_round, current, updates)
        return to_array_record({"weights": joined}), MetricRecord({"size": sum(size for _, size in updates)})

    def aggregate_evaluate(self, server_round: int, replies: Iterable[Message]) -> MetricRecord | None:
        """Add up the machines' group counts: a mean of their accuracies would not be the accuracy."""
        payloads = self._accepted(list(replies), f"evaluation in round {server_round}")
        columns: dict[str, Scalar] = {
            name: [sum(values) for values in zip(*(payload.integers(name) for payload in payloads), strict=True)]
            for name in ("correct", "count")
        }
        return MetricRecord(columns)

    # --- what the methods' server halves call ---

    def run(self, grid: Grid) -> Trained:
        """Run the method's stages with the machines behind `grid` and return the selected model."""
        self.connect(grid)
        check_norms(self.config, self.running)
        self.reference = find_reference(self)
        return with_its_cost(METHODS[self.config.method].coordinate(self), self.reference, self.config)

    def connect(self, grid: Grid) -> None:
        """Take the machines behind `grid`, and let those with rows of their own agree on how these are encoded."""
        self.talk.machines_grid = grid
        if self.config.own_data:
            self._prepare()

    def _prepare(self) -> None:
        """Let machines with rows of their own agree on an encoding, before any method asks them anything."""
        known = prepare_machines(self) > 0
        if not known:
            self.note("no attribute is known: there are no groups, and no worst group; see the worst class")
        if self.config.selection == "auto":
            self.config = self.config.replace(selection="val-worst-group" if known else "val-worst-class")

    def ask(self, place: Place, action: str, request: Requests, server_round: int = 0) -> list[Payload]:
        """Send a request to a place's machines and return the good replies, ordered by partition id."""
        return self.talk.ask(place, action, request, server_round)

    def keep(self, action: str, request: Requests) -> None:
        """Remember what a machine that has forgotten is asked again."""
        self.talk.keep(action, request)

    def combine(
        self, server_round: int, current: Array, updates: Sequence[tuple[Array, float]], stage: str = "robust"
    ) -> Array:
        """Join the machines' weights by the stage's aggregator, whose state starts afresh in a first round."""
        if server_round == 1 or stage not in self._aggregators:
            made = robust_aggregator if stage == "robust" else identify_aggregator
            self._aggregators[stage] = made(self.config)
            if server_round > 1 and (state := self._saved.get(f"aggregator/{stage}")) is not None:
                self._aggregators[stage].resume(state)
        aggregator = self._aggregators[stage]
        joined = aggregator.combine(server_round, current, updates, self.running if aggregator.steps else 0)
        self._current = self.noise.on(joined, sum(size for _, size in updates), stage, server_round)
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

    def save(self, name: str, state: Mapping[str, Array]) -> None:
        """Write a state to the checkpoint, and with it what the strategy itself knows."""
        if self._checkpoints is None:
            return
        changed = {name: state, "server": {"about": pack_json(self._about())}}
        for stage, aggregator in self._aggregators.items():
            if arrays := aggregator.state():
                changed[f"aggregator/{stage}"] = arrays
        for action, request in self.talk.kept.items():
            if self._kept.get(action) is not request:
                self._kept[action] = request
                changed[f"{KEPT}{action}"] = pack_requests(action, request)
        self._checkpoints.save(changed)

    def saved(self, name: str) -> Mapping[str, Array] | None:
        """Return what was saved under a name before the run was resumed, or None."""
        return self._saved.get(name)

    def _about(self) -> dict[str, Any]:
        traffic = {stage: [cost.sent, cost.received] for stage, cost in self.traffic.items()}
        return {
            "notes": self.notes,
            "releases": self.noise.releases,
            "told": self._told,
            "traffic": traffic,
            **self.talk.register.packed(),
        }

    def _resume(self, checkpoints: Checkpoints) -> None:
        """Take over the last good checkpoint, if there is one."""
        self._saved, damaged = checkpoints.load()
        if (server := self._saved.get("server")) is not None:
            about = unpack_json(server["about"])
            self.notes.extend(about["notes"])
            self.noise.releases = about["releases"]
            self.talk.register.unpack(about)
            for stage, (sent, received) in about["traffic"].items():
                self.book(stage, sent, received)
            stage, number, *_ = about["told"][-1] if about["told"] else ("", 0)
            last = f"after {stage} round {number}" if stage else "before its first round"
            self.note(f"the run was broken off {last} and went on from its checkpoint")
            for line in about["told"]:  # whoever watches sees the rounds that were made before
                self.progress(*line)
        if (state := self._saved.get("aggregator/robust")) is not None:
            self._aggregators["robust"].resume(state)
        for kept in [state for key, state in self._saved.items() if key.startswith(KEPT)]:
            action, request = unpack_requests(kept)
            self.talk.keep(action, request)
            self._kept[action] = request
        for text in damaged:
            self.note(text)

    def progress(self, stage: str, server_round: int, rounds: int, figures: Mapping[str, Any]) -> None:
        """Tell the observer that a round has ended."""
        if self._checkpoints is not None and figures:
            self._told.append((stage, server_round, rounds, dict(figures)))
        if self._observer is not None:
            self._observer.progress(stage, server_round, rounds, figures)

    def _accepted(self, replies: list[Message], where: str) -> list[Payload]:
        """Return the good replies to Flower's own calls, which do not say how many machines were asked."""
        good, _ = accept(replies, len(replies), self.config.min_machines, where)
        return [from_records(message.content) for message in good]


__all__ = ["Observer", "StagedStrategy"]
