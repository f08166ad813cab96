"""Identification by one model that the machines train together: rounds of averaging, then each splits its own data.

What the machines share is the shortcut; what tells their rare examples from the rest is different on each of them and
is lost in the average. So the common model is wrong about the minority where a machine's own model has learned it.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fedjtt.cache import pack_json, unpack_json
from fedjtt.config import RunConfig, digest_of
from fedjtt.errors import ConfigError, DivergedError
from fedjtt.inference.guard import flaw_of
from fedjtt.inference.selection import estimated_f1
from fedjtt.inference.stopping import Watch
from fedjtt.methods.assess import assess_weights
from fedjtt.methods.base import Array, Node, Payload, Server
from fedjtt.methods.census import Population
from fedjtt.methods.identification import Identified, join_reports, request_of
from fedjtt.methods.identify_local import IDENTIFY_KEYS, Schedule, gentler, schedule_for, train_span
from fedjtt.training import Span


def learn(node: Node, request: Payload) -> Payload:
    """Train the common identification model for one round on this machine's data."""
    schedule = _schedule(node.config, request.integer("examples"), bool(request.integer("gentle")))
    span = Span(request.integer("first"), request.integer("last"), schedule.steps)
    model = node.load(request.arrays["weights"])
    seconds = train_span(node, model, schedule, span, request.integer("round") - 1)
    weights = model.vector.cpu().numpy().copy()
    return Payload({"weights": weights}, {"size": float(len(node.data.train)), "seconds": seconds})


def _schedule(config: RunConfig, total: int, gentle: bool) -> Schedule:
    """Return the schedule of the machine with the mean share: all machines take the same steps."""
    schedule = schedule_for(config, max(1, total // config.machines), total)
    return gentler(schedule) if gentle else schedule


@dataclass
class _Model:
    """The common model so far, and what it took."""

    weights: Array
    tries: int = 1
    rounds: int = 0
    steps: int = 0
    flaw: str = ""
    sum: float = 0.0
    slowest: float = 0.0
    bytes: tuple[int, int] = (0, 0)

    def spend(self, replies: list[Payload]) -> None:
        """Add the machines' CPU seconds."""
        seconds = [reply.real("seconds") for reply in replies]
        self.sum += sum(seconds)
        self.slowest += max(seconds)


def identify_together(server: Server, population: Population) -> Identified:
    """Train the common model, under the guard a second time with smaller steps, and let all machines split by it."""
    model, replies = _trained(server, population)
    if model.flaw:
        server.note(
            f"the identification model was useless in {model.tries} tries ({model.flaw}); its error set is left out: "
            "raise identify-min-steps or identify-rounds, or lower identify-learning-rate"
        )
        model.weights = model.weights[:0]
        replies = server.ask("machines", "judge", _judgement(population, model))
    server.keep("judge", _judgement(population, model))
    about = {"rounds": model.rounds, "tries": model.tries, "flaw": model.flaw}
    return join_reports(server, replies, {"sum": model.sum, "slowest": model.slowest}, about)


def _judgement(population: Population, model: _Model) -> Payload:
    models = model.weights[np.newaxis] if len(model.weights) else np.zeros((0, 0), dtype=np.float32)
    return Payload({"models": models}, {**request_of(population), "steps": model.steps, "tries": model.tries})


def _flaw(replies: list[Payload]) -> str:
    columns = ([reply.integers(name) for reply in replies] for name in ("label-errors", "label-sizes"))
    return flaw_of(*([sum(counts) for counts in zip(*column, strict=True)] for column in columns))


def _trained(server: Server, population: Population) -> tuple[_Model, list[Payload]]:
    """Return the trained model, from the server's cache where it has been trained before, and the split by it."""
    key = digest_of(["learn", server.config.subset(IDENTIFY_KEYS), population.total])
    if server.cache is not None and (saved := server.cache.load(key)) is not None:
        about = unpack_json(saved["about"])
        server.book("identify", *about.pop("bytes"))
        model = _Model(saved["weights"], **about)
        return model, server.ask("machines", "judge", _judgement(population, model))
    before = server.spent("identify")
    initial = server.ask("server", "initial", Payload())[0].arrays["weights"]
    model = _Model(initial)
    replies = _Attempt(server, population, model, gentle=False).judged()
    if model.flaw:
        model.spend(replies)
        model.weights, model.tries = initial, 2
        replies = _Attempt(server, population, model, gentle=True).judged()
    if server.cache is not None:
        about = {name: value for name, value in vars(model).items() if name != "weights"}
        # Without the last judgement, which is asked for again when this is loaded.
        about["bytes"] = [spent - earlier for spent, earlier in zip(model.bytes, before, strict=True)]
        server.cache.save(key, {"weights": model.weights, "about": pack_json(about)})
    return model, replies


class _Attempt:
    """One training of the common model, which is changed in place."""

    def __init__(self, server: Server, population: Population, model: _Model, gentle: bool) -> None:
        self.server, self.population, self.model, self.gentle = server, population, model, gentle
        self.stage = "identify-again" if gentle else "identify"
        model.steps = 0
        self.total = _schedule(server.config, population.total, gentle).steps
        self.rounds = min(server.config.identify_rounds, self.total)
        self.watch, self.best = Watch(), -1.0

    def judged(self) -> list[Payload]:
        """Train and let the machines split their data; what the guard objects to is noted as the model's flaw."""
        guarded, model = self.server.config.identify_guard, self.model
        model.flaw = ""
        try:
            self.run()
        except DivergedError as error:
            if not guarded:
                raise
            model.flaw, model.weights = str(error), model.weights[:0]
        model.bytes = self.server.spent("identify")
        replies = self.server.ask("machines", "judge", _judgement(self.population, model))
        if guarded and not model.flaw:
            model.flaw = _flaw(replies)
        return replies

    def run(self) -> None:
        """Train round by round until ``identify-stop`` says that it is enough.

        Where no error set is stable after all rounds, as many again are made at most.
        """
        stop = self.server.config.identify_stop
        keeps = {"last": None, "stable": self._looks_stable, "val-groups": self._looks_better}[stop]
        kept = self.model.weights
        most = 2 * self.rounds if stop == "stable" else self.rounds
        for number in range(1, most + 1):
            self._learn(number)
            figures: dict[str, Any] = {}
            if keeps is None or keeps(figures):
                kept = self.model.weights
            self.server.progress("identify", number, self.rounds, figures)
            if self.watch.stop or (number >= self.rounds and self.watch.settled):
                break
        self.model.weights = kept

    def _learn(self, number: int) -> None:
        model = self.model
        first, last = ((number + offset) * self.total // self.rounds for offset in (-1, 0))
        numbers = {"round": number, "first": first, "last": last, "gentle": int(self.gentle)}
        request = Payload({"weights": model.weights}, {**numbers, "examples": self.population.total})
        replies = self.server.ask("machines", "learn", request, number)
        model.spend(replies)
        updates = [(reply.arrays["weights"], reply.real("size")) for reply in replies]
        model.weights = self.server.combine(number, model.weights, updates, self.stage)
        model.rounds, model.steps = model.rounds + 1, last

    def _look(self) -> list[Payload]:
        """Let all machines split their data by the model as it is; that costs them time, and the model its way down."""
        request = _judgement(self.population, self.model)
        request = replace(request, numbers={**request.numbers, "look": 1})
        replies = self.server.ask("machines", "judge", request)
        self.model.spend(replies)
        return replies

    def _looks_stable(self, figures: dict[str, Any]) -> bool:
        replies = self._look()
        size, both, either = (sum(reply.integer(name) for reply in replies) for name in ("errors", "both", "either"))
        figures |= {"error-set-size": size, "overlap": both / either if either else 1.0}
        return self.watch.keeps(size, both, either, bool(_flaw(replies)))

    def _looks_better(self, figures: dict[str, Any]) -> bool:
        errors = sum(reply.integer("errors") for reply in self._look())
        figures_by_group = assess_weights(self.server, self.model.weights, "validation", None)
        if figures_by_group["worst-group-accuracy"] is None:
            raise ConfigError(
                "identify-stop is val-groups, but validation has no examples with known groups; use stable or last"
            )
        groups = figures_by_group["groups"]
        figures |= {"error-set-size": errors, "estimated-f1": estimated_f1(groups, errors / self.population.total)}
        better: bool = figures["estimated-f1"] > self.best
        self.best = max(self.best, figures["estimated-f1"])
        return better
