"""Identification by one model that the machines train together: rounds of averaging, then each splits its own data.

What the machines share is the shortcut; what tells their rare examples from the rest is different on each of them and
is lost in the average. So the common model is wrong about the minority where a machine's own model has learned it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from fedjtt.cache import pack_json, unpack_json
from fedjtt.config import RunConfig, digest_of
from fedjtt.errors import ConfigError, DivergedError
from fedjtt.inference.guard import flaw_of
from fedjtt.inference.selection import estimated_f1
from fedjtt.inference.stopping import Watch
from fedjtt.methods.assess import assess_weights
from fedjtt.methods.averaging import shortened
from fedjtt.methods.base import Array, Node, Payload, Scalar, Server, seconds_of
from fedjtt.methods.census import Population
from fedjtt.methods.identification import Identified, added_up, join_reports, request_of
from fedjtt.methods.identify_local import IDENTIFY_KEYS, Schedule, gentler, schedule_for, train_span
from fedjtt.methods.look import (
    LOOK_EXAMPLES,
    ROUND_WEIGHTS,
    Look,
    RoundState,
    Verdict,
    joined,
    lookers,
    train_in_rounds,
)
from fedjtt.objectives import label_shift
from fedjtt.training import Span


def learn(node: Node, request: Payload) -> Payload:
    """Train the common identification model for one round on this machine's data."""
    if not len(node.data.train):  # counts for nothing; where the server sees only sums, it does not know whom to ask
        return Payload({"weights": request.arrays["weights"]}, {"size": 0.0, "seconds": 0.0})
    schedule = _schedule(node.config, request.integer("examples"), bool(request.integer("gentle")))
    span = Span(request.integer("first"), request.integer("last"), schedule.steps)
    model = node.load(request.arrays["weights"])
    part, overall = node.data.train, torch.tensor(request.integers("labels"))
    own = torch.bincount(part.dataset.label[part.rows], minlength=part.dataset.num_labels)
    shift = label_shift(own, overall, node.config.identify_label_correction).to(model.vector.device)
    seconds = train_span(node, model, schedule, span, request.integer("round") - 1, shift)
    weights = shortened(request.arrays["weights"], model.vector.cpu().numpy().copy(), node.config.clip_update_norm)
    size = 1.0 if node.config.noise_multiplier else float(len(part))
    return Payload({"weights": weights}, {"size": size, "seconds": seconds})


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
        seconds = seconds_of(replies)
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


def train_together(server: Server, population: Population) -> dict[str, Array]:
    """Train the common model and return it and what it took; what machines find otherwise does not mix with it."""
    model, _ = _trained(server, population)
    if server.config.identify != "federated":
        request = _judgement(population, model, forget=True)
        server.ask("machines", "judge", request)
        server.keep("judge", request)  # after the looks, of which a machine that restarts is told as well
    return _packed(model)


def seconds_in(packed: Mapping[str, Array]) -> dict[str, float]:
    """Return the CPU seconds that went into a model that :func:`train_together` returned."""
    model = _unpacked(packed)
    return {"sum": model.sum, "slowest": model.slowest}


def _packed(model: _Model) -> dict[str, Array]:
    about = {name: value for name, value in vars(model).items() if name != "weights"}
    return {"weights": model.weights, "about": pack_json(about)}


def _unpacked(packed: Mapping[str, Array]) -> _Model:
    return _Model(packed["weights"], **unpack_json(packed["about"]))


def _judgement(population: Population, model: _Model, forget: bool = False) -> Payload:
    models = model.weights[np.newaxis] if len(model.weights) else np.zeros((0, 0), dtype=np.float32)
    told = {"forget": 1} if forget else {}
    return Payload({"models": models}, {**request_of(population), "steps": model.steps, "tries": model.tries, **told})


def _flaw(replies: list[Payload]) -> str:
    return flaw_of(added_up(replies, "label-errors"), added_up(replies, "label-sizes"))


def _trained(server: Server, population: Population) -> tuple[_Model, list[Payload]]:
    """Return the trained model, from the server's cache where it has been trained before, and the split by it."""
    if server.reference is not None:
        model = _unpacked(server.reference)
        return model, server.ask("machines", "judge", _judgement(population, model))
    keys = (*IDENTIFY_KEYS, "secure-aggregation")  # sums of fixed-point numbers are other bits
    key = digest_of(["learn", server.config.subset(keys), population.total])
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
        # Without the last judgement, which is asked for again when this is loaded.
        sent, received = (spent - earlier for spent, earlier in zip(model.bytes, before, strict=True))
        server.cache.save(key, _packed(replace(model, bytes=(sent, received))))
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
        self.lookers = lookers(server.config.machines, server.config.seed)

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
        """Train round by round until ``identify-stop`` says that it is enough."""
        judge = {"last": self._last, "stable": self._stable, "val-groups": self._better}
        stop = self.server.config.identify_stop
        state = self._resumed()
        if state is not None and stop != "last":  # what machines remember may be of a later look than ours
            self._look(1, state.mean)
        self.model.weights = train_in_rounds(
            self.server.config, self.model.weights, self.rounds, self._advance, judge[stop], self._save, state
        )

    def _save(self, state: RoundState) -> None:
        about = {
            "number": state.number, "enough": state.enough, "watch": vars(self.watch), "best": self.best,
            "model": {name: value for name, value in vars(self.model).items() if name != "weights"},
        }  # fmt: skip
        arrays = {name: getattr(state, name) for name in ROUND_WEIGHTS}
        self.server.save(self.stage, {**arrays, "about": pack_json(about)})

    def _resumed(self) -> RoundState | None:
        """Return where a run that was killed stood in this training, and take over what was known then."""
        if (saved := self.server.saved(self.stage)) is None:
            return None
        about = unpack_json(saved["about"])
        self.watch, self.best = Watch(**about["watch"]), about["best"]
        for name, value in about["model"].items():
            setattr(self.model, name, value)
        weights = {name: saved[name] for name in ROUND_WEIGHTS}
        return RoundState(number=about["number"], enough=about["enough"], **weights)

    def _advance(self, number: int, weights: Array) -> Array:
        """Let the drawn machines train for a round, and average."""
        model = self.model
        first, last = ((number + offset) * self.total // self.rounds for offset in (-1, 0))
        numbers: dict[str, Scalar] = {
            "round": number, "first": first, "last": last, "gentle": int(self.gentle),
            "examples": self.population.total, "labels": self.population.label_counts,
        }  # fmt: skip
        replies = self.server.ask("machines", "learn", Payload({"weights": weights}, numbers), number)
        model.spend(replies)
        updates = [(reply.arrays["weights"], reply.real("size")) for reply in replies]
        model.rounds, model.steps = model.rounds + 1, last
        return self.server.combine(number, weights, updates, self.stage)

    def _look(self, number: int, weights: Array) -> Look:
        """Let ten machines at most look at a sample of their data; that costs them time, and the model its way down."""
        numbers: dict[str, Scalar] = {
            "sample": max(1, LOOK_EXAMPLES // len(self.lookers)),
            "first": int(number == 1),
            "number": number,
        }
        request = Payload({"weights": weights}, numbers)
        replies = self.server.ask("machines", "look", dict.fromkeys(self.lookers, request), number)
        again = Payload(request.arrays, {**numbers, "first": 1})
        self.server.keep("look", dict.fromkeys(self.lookers, again))  # to tell a machine that restarts
        self.model.spend(replies)
        return joined(replies)

    def _say(self, number: int, figures: dict[str, Any]) -> None:
        self.server.progress("identify", number, self.rounds, figures)

    def _last(self, number: int, weights: Array) -> Verdict:  # noqa: ARG002 (a judge's signature)
        self._say(number, {})
        return Verdict(keep=True, enough=number == self.rounds)

    def _stable(self, number: int, weights: Array) -> Verdict:
        seen = self._look(number, weights)
        self._say(number, {"error-share": seen.share, "overlap": seen.overlap})
        return seen.judged_by(self.watch, last=number >= self.rounds)

    def _better(self, number: int, weights: Array) -> Verdict:
        share = self._look(number, weights).share
        figures_by_group = assess_weights(self.server, weights, "validation", None)
        if figures_by_group["worst-group-accuracy"] is None:
            raise ConfigError(
                "identify-stop is val-groups, but validation has no examples with known groups; use stable or last"
            )
        score = estimated_f1(figures_by_group["groups"], share)
        self._say(number, {"error-share": share, "estimated-f1": score})
        better, self.best = score > self.best, max(self.best, score)
        return Verdict(better, enough=number == self.rounds)
