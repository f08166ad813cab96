"""Rounds of weighted training, the stage that all methods share: both halves.

The server sends the weights and a span of steps; every machine takes the same number of steps on its own examples,
drawn by their weights, and its update counts by its weighted size. On one machine with all the data that is plain
training cut into rounds, so central and federated training are this one definition on two grids.
"""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from fedjtt.cache import STAGE_KEYS, pack_json, unpack_json
from fedjtt.config import RunConfig, digest_of, kebab
from fedjtt.data.sampling import draw_batches
from fedjtt.keys.methods import MethodKeys
from fedjtt.methods.assess import SELECTION_SCORE, assess_weights, ranked
from fedjtt.methods.averaging import by_size, normalised, shortened, weighted_mean
from fedjtt.methods.base import Array, Method, Node, Payload, Place, Scalar, Server, Trained, seconds_of
from fedjtt.methods.census import Population
from fedjtt.methods.lesson import Course, Lesson, all_places, whole_batch
from fedjtt.methods.network import initial_weights, purpose_of
from fedjtt.methods.robust_steps import batch_size_of, epochs_of, planned_steps
from fedjtt.training import Span, Terms, TrainSettings, train

# Everything that the rounds on the server's data depend on, beside the request: the key of their cache.
CENTRAL_KEYS = (
    *STAGE_KEYS, "method", "robust-epochs", "robust-rounds", "robust-min-steps", "batch-size", "learning-rate",
    "learning-rate-schedule", "averaging", "momentum", "weight-decay", "clip-norm", "aggregator",
    "server-learning-rate", "proximal-mu", "selection",
    *map(kebab, MethodKeys.model_fields),
)  # fmt: skip

MEAN_RULES = ("fedavg", "fedprox")
COURSE = "course-"


@dataclass(frozen=True)
class FitPlan:
    """What the server must know before the first round.

    Attributes
    ----------
    population : Population
        Train examples: of all machines, which the history counts epochs in, and per group, for the adjusted average.
    request : Payload
        What the method's ``example_weights`` needs on a node, sent in every round.
    course : Course
        What the method tells and learns from round to round.
    weighted : float or None
        Sum of all examples' weights over all machines; None: each weighs 1.
    method : str
        The method that these rounds are those of, where a method has rounds of another as a stage; empty: its own.
    stage : str
        What the rounds are called to whoever watches.
    selection : str
        How the round is chosen whose model is kept, where it is not as ``selection`` says.
    """

    population: Population
    request: Payload = field(default_factory=Payload)
    course: Course = field(default_factory=Course)
    weighted: float | None = None
    method: str = ""
    stage: str = "robust"
    selection: str = ""

    @property
    def weighted_size(self) -> float:
        """What one epoch of ``robust-epochs`` passes over."""
        return self.population.total if self.weighted is None else self.weighted


def fit(node: Node, request: Payload, method: Method) -> Payload:
    """Train the incoming weights for one round's span on this machine's weighted examples."""
    config = node.config
    server_round = request.integer("round")
    lesson = method.lesson(node, request)
    size = float(lesson.weights.double().sum())
    if not size:
        return _nothing(config, request, lesson.told())
    span = Span(request.integer("first"), request.integer("last"), request.integer("total"))
    if config.aggregator == "fednova":
        span = by_size(span, size / request.real("mean-size"))
    part = node.data.train
    generator = node.generator(purpose_of("robust", request), server_round)
    places, terms = batches_of(node, lesson, span.steps, generator)
    sent = {name: lesson.spread(request.arrays[name]) for name in ("weights", "average") if name in request.arrays}
    model, average = node.load(sent["weights"]), sent.get("average")
    outcome = train(
        model, part.dataset, part.rows[places], train_settings(config, config.averaging), span,
        None if average is None else torch.from_numpy(average), terms=terms, places=places, live=lesson.live,
    )  # fmt: skip
    told = lesson.told()
    trained = shortened(sent["weights"], model.vector.cpu().numpy().copy(), config.clip_update_norm)
    arrays = {"weights": lesson.taken(trained)}
    if outcome.average is not None:
        arrays["average"] = lesson.taken(outcome.average.cpu().numpy())
    if config.noise_multiplier:  # what a machine adds to the sum must not depend on how much it has
        size = 1.0
    numbers = {"size": size, "loss": outcome.mean_loss, "seconds": outcome.seconds, "steps": span.steps}
    return Payload({**arrays, **told.arrays}, {**numbers, **told.numbers})


def train_settings(config: RunConfig, averaging: str) -> TrainSettings:
    """Return what a step of the robust stage does."""
    return TrainSettings(
        config.learning_rate, config.momentum, config.weight_decay,
        config.learning_rate_schedule, averaging, config.proximal_mu, config.clip_norm,
    )  # fmt: skip


def batches_of(node: Node, lesson: Lesson, steps: int, generator: torch.Generator) -> tuple[Tensor, Terms | None]:
    """Return places in the train part, ``[steps, batch]``, and what a step minimises the mean of.

    One pass over an epoch must not repeat between rounds: the round is in the generator's seed.
    """
    if not node.config.batch_size:
        return all_places(len(node.data.train), steps), whole_batch(lesson)
    return draw_batches(lesson.weights, batch_size_of(node.config), steps, generator), lesson.terms


def _nothing(config: RunConfig, request: Payload, told: Payload) -> Payload:
    """Return a reply that counts for nothing: of a machine without rows, or of which nothing was left in a cut.

    Where the server sees only sums, it does not know whom not to ask.
    """
    steps = request.integer("last") - request.integer("first")
    names = ("weights", "average") if config.averaging == "ema" else ("weights",)
    arrays = {name: request.arrays.get(name, request.arrays["weights"]) for name in names}
    numbers: dict[str, Scalar] = {"size": 0.0, "loss": 0.0, "seconds": 0.0, "steps": steps}
    return Payload({**arrays, **told.arrays}, {**numbers, **told.numbers})


def fit_rounds(server: Server, plan: FitPlan) -> Trained:
    """Run the rounds of the robust stage where ``robust`` says, and select a round's model on validation.

    Training on the server's data does not depend on the machines: its result is cached, so that a sweep over numbers
    of machines computes it once for every error set.
    """
    rounds = _Rounds(server, plan)
    # Weights that were handed in are in no key.
    cache = server.cache if server.config.robust == "central" and server.initial is None else None
    key = _cache_key(server, plan)
    if cache is not None and (saved := cache.load(key)) is not None:
        trained = Trained(saved["weights"], **unpack_json(saved["about"]))
        for line in trained.history:  # whoever watches sees the rounds, and metrics.jsonl holds them, all the same
            server.progress(plan.stage, line["round"], len(trained.history), {**line, "stage": plan.stage})
        return trained
    trained = rounds.run(f"robust/{key[:16]}")
    if cache is not None:
        about = {
            "history": trained.history, "seconds": trained.seconds, "selected_round": trained.selected_round,
            "sparse": trained.sparse,
        }  # fmt: skip
        cache.save(key, {"weights": trained.weights, "about": pack_json(about)})
    return trained


def _cache_key(server: Server, plan: FitPlan) -> str:
    arrays = {**plan.request.arrays, **({} if server.reference is None else {"reference": server.reference["weights"]})}
    request = {name: hashlib.sha256(array.tobytes()).hexdigest() for name, array in arrays.items()}
    others = {key: value for key, value in (("method", plan.method), ("selection", plan.selection)) if value}
    keys = {**server.config.subset(CENTRAL_KEYS), **others}
    about = [keys, request, dict(plan.request.numbers), plan.weighted_size]
    return digest_of(["fit", *about])


class _Rounds:
    """The state of the rounds: current weights and average, the best round so far, and the history."""

    def __init__(self, server: Server, plan: FitPlan) -> None:
        self.server, self.plan, self.config = server, plan, server.config
        self.place: Place = "server" if self.config.robust == "central" else "machines"
        self.total = planned_steps(self.config, plan.weighted_size)
        wanted = int(self.config.robust_rounds)
        self.rounds = min(wanted, self.total)
        if self.rounds < wanted:
            server.note(
                f"robust-rounds is {wanted}, but a machine takes {self.total} steps in all: "
                f"{self.rounds} rounds were made"
            )
        self.weights = initial_weights(server, plan.request)
        self.average: Array | None = None
        self.best_score = (-math.inf, -math.inf)
        self.selected: tuple[int, Array] = (0, self.weights)
        self.history: list[dict[str, Any]] = []
        self.seconds = {"robust": 0.0, "robust-sum": 0.0}

    def run(self, name: str) -> Trained:
        """Train and evaluate round by round; `name` is the state's in a checkpoint."""
        if (saved := self.server.saved(name)) is not None:
            self._resume(saved)
        for server_round in range(len(self.history) + 1, self.rounds + 1):
            self._train(server_round)
            self._evaluate(server_round)
            self.server.save(name, self._state())
        selected_round, weights = self.selected
        return Trained(weights, self.history, self.seconds, selected_round, sparse=self.plan.course.report())

    def _state(self) -> dict[str, Array]:
        about = {"history": self.history, "seconds": self.seconds, "best": self.best_score, "round": self.selected[0]}
        arrays = {"weights": self.weights, "selected": self.selected[1], "about": pack_json(about)}
        arrays |= {f"{COURSE}{name}": value for name, value in self.plan.course.state().items()}
        return arrays if self.average is None else {**arrays, "average": self.average}

    def _resume(self, saved: Mapping[str, Array]) -> None:
        about = unpack_json(saved["about"])
        self.history, self.seconds = about["history"], about["seconds"]
        best = about["best"]
        self.best_score = (best[0], best[1])
        self.weights, self.average = saved["weights"], saved.get("average")
        self.selected = (about["round"], saved["selected"])
        own = {name.removeprefix(COURSE): value for name, value in saved.items() if name.startswith(COURSE)}
        self.plan.course.resume(own)

    def _train(self, server_round: int) -> None:
        first, last = ((server_round + offset) * self.total // self.rounds for offset in (-1, 0))
        course, span = self.plan.course, Span(first, last, self.total)
        self.weights, self.average = course.begin(server_round, span, self.weights, self.average)
        told = course.request(server_round)
        current = course.taken(self.weights)
        arrays = {**self.plan.request.arrays, **told.arrays, "weights": current}
        if self.average is not None:
            arrays["average"] = course.taken(self.average)
        numbers: dict[str, Scalar] = {"round": server_round, "first": first, "last": last, "total": self.total}
        if self.config.aggregator == "fednova":
            numbers["mean-size"] = self.plan.weighted_size / (1 if self.place == "server" else self.config.machines)
        request = Payload(arrays, {**self.plan.request.numbers, **told.numbers, **numbers})
        replies = self.server.ask(self.place, "fit", request, server_round)
        sizes = course.sizes(replies)
        updates = [(reply.arrays["weights"], size) for reply, size in zip(replies, sizes, strict=True)]
        if self.config.aggregator == "fednova":
            steps = [reply.integer("steps") for reply in replies]
            updates = normalised(current, updates, steps, self.config.momentum, self.server.running)
        self.weights = course.spread(self.server.combine(server_round, current, updates))
        if self.config.averaging == "ema":
            averages = [reply.arrays["average"] for reply in replies]
            self.average = course.spread(self._joined_average(server_round, averages, sizes))
        for seconds in (course.spent(), seconds_of(replies)):  # one exchange after the other
            self.seconds["robust"] += max(seconds, default=0.0)
            self.seconds["robust-sum"] += sum(seconds)
        loss = sum(reply.real("loss") * size for reply, size in zip(replies, sizes, strict=True)) / sum(sizes)
        learned = course.learn(server_round, replies)
        epochs = round(epochs_of(self.config, last, self.plan.population.total), 6)
        line = {"stage": self.plan.stage, "round": server_round, "steps": last, "epochs": epochs, "loss": loss}
        self.history.append({**line, **learned})

    def _joined_average(self, server_round: int, averages: list[Array], sizes: list[float]) -> Array:
        """Join the machines' averages; a rule that withstands bad weights must see these too, they become the model."""
        if self.config.aggregator in MEAN_RULES:
            return weighted_mean(averages, sizes)
        before = self.plan.course.taken(self.weights if self.average is None else self.average)
        return self.server.combine(server_round, before, list(zip(averages, sizes, strict=True)))

    def _evaluate(self, server_round: int) -> None:
        model = self.weights if self.average is None else self.average
        figures = assess_weights(self.server, model, "validation", self.plan.population.group_counts)
        line = self.history[-1]
        line.update({f"validation.{name}": figures[name] for name in SELECTION_SCORE.values() if name in figures})
        self.server.progress(self.plan.stage, server_round, self.rounds, line)
        if (self.plan.selection or self.config.selection) == "last":
            self.selected = (server_round, model)
            return
        score = ranked(self.config, figures)
        if score > self.best_score:
            self.best_score, self.selected = score, (server_round, model)
