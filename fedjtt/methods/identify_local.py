"""Identification by a model of each machine's own, on its own data: both halves. Nothing but the result travels."""

import math
import time
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from fedjtt.cache import STAGE_KEYS
from fedjtt.config import RunConfig, digest_of
from fedjtt.data.sampling import shuffled_passes
from fedjtt.errors import DivergedError
from fedjtt.evaluation import outputs_of
from fedjtt.inference.guard import flaw_of
from fedjtt.inference.splits import SPLITS
from fedjtt.inference.stopping import Watch
from fedjtt.methods.base import Array, Node, Payload, Server, senders_of
from fedjtt.methods.census import Population
from fedjtt.methods.identification import (
    Found,
    Identified,
    errors_by_label,
    join_reports,
    pack_found,
    recall_found,
    report_found,
    request_of,
    unpack_found,
)  # fmt: skip
from fedjtt.methods.look import LOOK_EXAMPLES, Verdict, look_at, train_in_rounds
from fedjtt.models import FlatModel
from fedjtt.training import Span, TrainSettings, train

# Everything that identification depends on, beside a machine's number and the number of all examples.
IDENTIFY_KEYS = (
    *STAGE_KEYS, "machines", "partition", "dirichlet-alpha", "identify", "identify-epochs", "identify-rounds",
    "identify-min-steps", "identify-batch-size", "identify-learning-rate", "identify-warm-up",
    "identify-weight-decay", "identify-clip-norm", "identify-optimizer", "identify-averaging",
    "identify-label-correction", "identify-schedule", "identify-objective", "identify-split", "identify-stop",
    "identify-guard", "identify-aggregator", "identify-server-learning-rate", "fraction-train", "peers",
    "peer-vote", "momentum", "clip-update-norm", "noise-multiplier", "count-noise", "noise-seed",
)  # fmt: skip
SMALLEST_BATCH = 8
SCALED_WARM_UP = 0.1
GENTLER = 4.0
OWN_MODEL = "own-model"


@dataclass(frozen=True)
class Schedule:
    """How a machine's identification model is trained: what depends on its share of the data."""

    batch_size: int
    steps: int
    settings: TrainSettings


def identification_steps(epochs: int, examples: int, batch_size: int) -> int:
    """Return the steps of `epochs` passes; a last, partial batch is filled up."""
    return epochs * -(-examples // min(batch_size, examples))


def schedule_for(config: RunConfig, examples: int, total: int) -> Schedule:
    """Return the schedule of a machine that holds `examples` of `total`.

    ``same-epochs`` passes ``identify-epochs`` times over the part, ``same-updates`` makes the steps of one machine
    with all the data. ``scaled`` shrinks the batch with the share of the data, down to 8, so that the steps stay many;
    the learning rate falls with the root of the batch size, which keeps the noise of a step, and climbs at first.
    """
    batch_size, rate, warm_up = config.identify_batch_size, config.identify_learning_rate, config.identify_warm_up
    if config.identify_schedule == "scaled":
        batch_size = max(min(batch_size, SMALLEST_BATCH), round(batch_size * examples / total))
        rate *= math.sqrt(batch_size / config.identify_batch_size)
        warm_up = max(warm_up, SCALED_WARM_UP) if batch_size < config.identify_batch_size else warm_up
    counted = total if config.identify_schedule == "same-updates" else examples
    steps = max(identification_steps(config.identify_epochs, counted, batch_size), config.identify_min_steps)
    settings = TrainSettings(
        rate, config.momentum, config.identify_weight_decay, "warm-up", warm_up=warm_up,
        clip_norm=config.identify_clip_norm, objective=config.identify_objective, optimizer=config.identify_optimizer,
        precision=config.precision, compiled=config.compile,
    )  # fmt: skip
    return Schedule(batch_size, steps, settings)


def train_span(
    node: Node,
    model: FlatModel,
    schedule: Schedule,
    span: Span,
    server_round: int = 0,
    logit_shift: Tensor | None = None,
) -> float:
    """Train a model in place for a span of the stage on the machine's own data; return the CPU seconds."""
    part = node.data.train
    copies = torch.ones(len(part), dtype=torch.int64)
    batches = shuffled_passes(copies, schedule.batch_size, span.steps, node.generator("identify", server_round))
    outcome = train(model, part.dataset, part.rows[batches], schedule.settings, span, logit_shift=logit_shift)
    return outcome.seconds


def find_own(node: Node, total: int) -> Found:
    """Return the machine's error set by a model of its own; under the guard with a second, gentler try.

    Kept in the machine's memo and, where there is one, in its cache; computed again where both are lost (a node that
    restarts forgets its memo), with the same result.
    """
    known = recall_found(node)
    if known is None:
        key = digest_of(["own", node.config.subset(IDENTIFY_KEYS), node.partition_id, node.num_partitions, total])
        saved = node.cache.load(key) if node.cache else None
        if saved is None:
            saved = _train_own(node, total)
            if node.cache:
                node.cache.save(key, saved)
        node.memo.update(saved)
        known = unpack_found(saved, len(node.data.train))
    return known


@dataclass(frozen=True)
class _Try:
    mask: Tensor
    steps: int
    seconds: float
    weights: Array


def _train_own(node: Node, total: int) -> dict[str, Array]:
    """Train and split, and once more with smaller steps if the guard finds a flaw; a flawed set is left out."""
    if not len(node.data.train):  # a host may have test rows only
        nothing = pack_found(Found(torch.zeros(0, dtype=torch.bool), 0.0))
        return nothing | {OWN_MODEL: node.initial_model().vector.cpu().numpy().copy()}
    schedule = schedule_for(node.config, len(node.data.train), total)
    last, flaw = _try(node, schedule)
    tries = [last]
    if flaw:
        last, flaw = _try(node, gentler(schedule))
        tries.append(last)
    mask = torch.zeros_like(last.mask) if flaw else last.mask
    saved = pack_found(Found(mask, sum(each.seconds for each in tries), last.steps, flaw, len(tries)))
    return saved | ({OWN_MODEL: last.weights} if node.config.identify == "peers" else {})


def _try(node: Node, schedule: Schedule) -> tuple[_Try, str]:
    """Train and split; return also what the guard finds wrong with it, or an empty string."""
    if not node.config.identify_guard:
        return _train_and_split(node, schedule), ""
    try:
        outcome = _train_and_split(node, schedule)
    except DivergedError as error:
        nothing = torch.zeros(len(node.data.train), dtype=torch.bool)
        return _Try(nothing, 0, 0.0, node.initial_model().vector.cpu().numpy().copy()), str(error)
    return outcome, flaw_of(*errors_by_label(node, outcome.mask))


def gentler(schedule: Schedule) -> Schedule:
    """Return the second try's schedule: a quarter of the learning rate, and no gradient longer than 1."""
    settings = schedule.settings
    clip_norm = min(settings.clip_norm or 1.0, 1.0)
    rate = settings.learning_rate / GENTLER
    return replace(schedule, settings=replace(settings, learning_rate=rate, clip_norm=clip_norm))


def _train_and_split(node: Node, schedule: Schedule) -> _Try:
    """Train the run's initial model and split the machine's data; ``stable`` looks at a sample every now and then."""
    start = time.thread_time()
    training = _OwnTraining(node, schedule)
    weights = train_in_rounds(node.config, training.initial, training.rounds, training.advance, training.judge)
    part = node.data.train
    outputs = outputs_of(node.load(weights), part.dataset, part.rows)
    mask = SPLITS[node.config.identify_split](outputs, part.dataset.label[part.rows])
    return _Try(mask, training.last, time.thread_time() - start, weights)


class _OwnTraining:
    """The training of a machine's own model, in rounds that nobody else takes part in."""

    def __init__(self, node: Node, schedule: Schedule) -> None:
        self.node, self.schedule, self.last, self.watch = node, schedule, 0, Watch()
        self.rounds = min(node.config.identify_rounds, schedule.steps) if node.config.identify_stop == "stable" else 1
        self.initial = node.initial_model().vector.cpu().numpy().copy()
        self._before: Tensor | None = None

    def advance(self, number: int, weights: Array) -> Array:
        """Train for a round."""
        first, self.last = self.last, number * self.schedule.steps // self.rounds
        model = self.node.load(weights)
        train_span(self.node, model, self.schedule, Span(first, self.last, self.schedule.steps), number - 1)
        return model.vector.cpu().numpy().copy()

    def judge(self, number: int, weights: Array) -> Verdict:
        """Look at the error set, where that decides."""
        if self.node.config.identify_stop != "stable":
            return Verdict(keep=True, enough=True)
        seen, self._before = look_at(self.node, self.node.load(weights), LOOK_EXAMPLES, self._before)
        return seen.judged_by(self.watch, last=number >= self.rounds)


def identify(node: Node, request: Payload) -> Payload:
    """Find the machine's errors by its own model and report them."""
    return report_found(node, request, find_own(node, request.integer("examples")))


def identify_locally(server: Server, population: Population) -> Identified:
    """Let every machine find its errors by its own model."""
    replies = server.ask("machines", "identify", Payload(numbers=request_of(population)))
    if useless := sum(reply.integer("useless") for reply in replies):
        server.note(
            f"{useless} of {senders_of(replies)} machines' identification models were useless in two tries, and their "
            "error sets are left out; raise identify-min-steps, lower identify-learning-rate, or set identify to "
            "federated"
        )
    return join_reports(server, replies)
