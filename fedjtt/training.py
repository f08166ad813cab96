"""The training loop: the only file with ``loss.backward()``."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from fedjtt.data.grouped import GroupedDataset
from fedjtt.data.sampling import gather
from fedjtt.errors import ConfigError, DivergedError
from fedjtt.models import FlatModel
from fedjtt.objectives import OBJECTIVES, cross_entropies, proximal_gradient
from fedjtt.optimisers import make_optimiser
from fedjtt.sparse.live import LiveWeights

EMA_DECAY = 0.999


@dataclass(frozen=True)
class TrainSettings:
    """What a stage's steps do; the numbers of batches and rows come from elsewhere.

    Attributes
    ----------
    learning_rate : float
        The peak, where the schedule has one.
    schedule : str
        ``constant``, ``one-cycle``, ``cosine`` or ``warm-up``.
    averaging : str
        ``none`` or ``ema``.
    clip_norm : float
        The loss's gradient is shortened to this length where it is longer; 0: never.
    objective : str
        ``cross-entropy`` or ``gce``.
    warm_up : float
        Share of the stage's steps over which the schedule ``warm-up`` climbs.
    optimizer : str
        ``sgd`` or ``adamw``.
    """

    learning_rate: float
    momentum: float
    weight_decay: float
    schedule: str = "constant"
    averaging: str = "none"
    proximal_mu: float = 0.0
    clip_norm: float = 0.0
    objective: str = "cross-entropy"
    warm_up: float = 0.0
    optimizer: str = "sgd"


@dataclass(frozen=True)
class Span:
    """Steps `first` to `last` (exclusive) of a stage of `total`: what one round trains."""

    first: int
    last: int
    total: int

    @property
    def steps(self) -> int:
        """Number of steps."""
        return self.last - self.first


@dataclass(frozen=True)
class TrainOutcome:
    """What training leaves beside the changed weights: the average of weights, the mean loss, CPU seconds."""

    average: Tensor | None
    mean_loss: float
    seconds: float


def learning_rate_at(step: int, total: int, peak: float, schedule: str, warm_up: float = 0.0) -> float:
    """Return the learning rate of a step of the whole stage, counted from 0.

    ``one-cycle`` (Smith and Topin 2019) climbs for 30 % of the steps from peak/25 and falls to peak/250,000, both
    along a cosine, with torch's defaults; ``cosine`` falls from the peak to 0; ``warm-up`` climbs
    in a line over a share of the steps and stays.
    """
    if schedule == "warm-up":
        return peak * min(1.0, (step + 1) / max(1.0, warm_up * total))
    if schedule == "constant":
        return peak
    if schedule == "cosine":
        return peak * 0.5 * (1 + math.cos(math.pi * step / total))
    top = 0.3 * total - 1
    if step <= top:
        start, end, share = peak / 25, peak, step / top
    else:
        start, end, share = peak, peak / 250_000, (step - top) / max(1.0, total - 1 - top)
    return end + (start - end) * 0.5 * (1 + math.cos(math.pi * share))


def ema_decay_at(step: int) -> float:
    """Return the weight of the past in the average after a step, counted from 0.

    Warmed up, so that the average forgets the initial weights: (1 + t) / (10 + t), at most .999.
    """
    return min(EMA_DECAY, (1 + step) / (10 + step))


def shorten(gradient: Tensor, length: float) -> None:
    """Scale a gradient in place so that it is no longer than `length` (Pascanu et al. 2013)."""
    norm = float(gradient.norm())
    if norm > length:
        gradient.mul_(length / norm)


def _differentiate(model: FlatModel, loss: Tensor) -> None:
    """Put a loss's gradient where the model keeps it."""
    model.gradient.zero_()
    loss.backward()  # type: ignore[no-untyped-call]


Terms = Callable[[Tensor, Tensor], Tensor]
"""From a batch's losses ``[m]`` and its examples' places in the part to terms ``[m]``: a step's loss is their mean."""


class Trainer:
    """Takes steps with one network, one after another; optimiser's state and average start with it.

    Parameters
    ----------
    span : Span
        Where in the stage the steps are: the schedule and the average follow the stage's global step.
    average : Tensor or None
        The average of weights so far; used with ``averaging = ema``, where None starts it at the model's weights.
        Running statistics are averaged with them.
    live : LiveWeights or None
        Which weights are trained, of a network of which the others are 0; None: all.
    """

    def __init__(
        self,
        model: FlatModel,
        settings: TrainSettings,
        span: Span,
        average: Tensor | None = None,
        live: LiveWeights | None = None,
    ) -> None:
        self.model, self.settings, self.span = model, settings, span
        self._live = None if live is None else live.to(model.vector.device)
        self._optimiser = make_optimiser(settings.optimizer, model.weights, settings.momentum, settings.weight_decay)
        self._anchor = model.weights.clone() if settings.proximal_mu else None
        self._running = (model.vector if average is None else average).clone() if settings.averaging == "ema" else None
        self._next = span.first
        self.loss_sum = 0.0

    def step(self, x: Tensor, loss_of: Callable[[Tensor], Tensor]) -> float:
        """Take a step on inputs, given the loss of their logits; return its value.

        Raises
        ------
        DivergedError
            Where the loss is not finite.
        """
        model, settings, step = self.model, self.settings, self._next
        loss = loss_of(self._logits(x))
        _differentiate(model, loss)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise DivergedError(f"the loss became {value} at step {step + 1}; lower the learning rate")
        self.loss_sum += value
        if self._live is not None:
            self._live.keep(model.gradient)
        if settings.clip_norm:
            shorten(model.gradient, settings.clip_norm)
        if self._anchor is not None:
            model.gradient += proximal_gradient(model.weights, self._anchor, settings.proximal_mu)
        total, peak = self.span.total, settings.learning_rate
        self._optimiser.step(model.gradient, learning_rate_at(step, total, peak, settings.schedule, settings.warm_up))
        if self._running is not None:
            self._running.lerp_(model.vector, 1 - ema_decay_at(step))
        self._next += 1
        return value

    def _logits(self, x: Tensor) -> Tensor:
        """Return the logits in training mode, in which batch norms take a batch's own mean and follow it."""
        module = self.model.module
        if not module.training:
            module.train()
        try:
            return module(x)  # type: ignore[no-any-return]
        except ValueError as error:
            if len(x) > 1 or not self.model.running:
                raise
            raise ConfigError(
                f"a batch of one example has no variance that a batch norm could divide by ({error}); let every "
                "machine have two examples or more, or use a model with group norms, such as resnet18"
            ) from None

    def average(self) -> Tensor | None:
        """Return the average of the weights, where there is one.

        Raises
        ------
        DivergedError
            Where a weight is not finite.
        """
        # The extremes are NaN where a weight is; a tenth of the time of isfinite on every weight.
        if not all(math.isfinite(extreme) for extreme in torch.aminmax(self.model.vector)):
            raise DivergedError(f"a weight became infinite by step {self._next}; lower the learning rate")
        return self._running


def train(
    model: FlatModel,
    dataset: GroupedDataset,
    batches: Tensor,
    settings: TrainSettings,
    span: Span,
    average: Tensor | None = None,
    logit_shift: Tensor | None = None,
    terms: Terms | None = None,
    places: Tensor | None = None,
    live: LiveWeights | None = None,
) -> TrainOutcome:
    """Train the model in place on the given batches.

    Parameters
    ----------
    batches : Tensor
        int64 ``[span.steps, batch]`` of rows of `dataset`.
    average : Tensor or None
        See :class:`Trainer`.
    logit_shift : Tensor or None
        float32 ``[num_labels]`` on the model's device, added to the logits before the loss.
    terms : callable or None
        What a step minimises the mean of, given the cross-entropy of every example; None: ``settings.objective``.
    places : Tensor or None
        int64 ``[span.steps, batch]``: what `terms` is told of the examples.
    live : LiveWeights or None
        See :class:`Trainer`.

    Raises
    ------
    DivergedError
        As soon as a loss, or in the end a weight, is not finite.
    """
    start = time.thread_time()
    device = model.vector.device
    trainer = Trainer(model, settings, span, average, live)
    objective = OBJECTIVES[settings.objective]
    for offset, rows in enumerate(batches):
        label = dataset.label[rows].to(device)

        def loss_of(logits: Tensor, label: Tensor = label, offset: int = offset) -> Tensor:
            shifted = logits if logit_shift is None else logits + logit_shift
            if terms is None or places is None:
                return objective(shifted, label)
            return terms(cross_entropies(shifted, label), places[offset]).mean()

        trainer.step(gather(dataset.x, rows).to(device), loss_of)
    mean_loss = trainer.loss_sum / max(1, span.steps)
    return TrainOutcome(trainer.average(), mean_loss, time.thread_time() - start)


def gradient_of(model: FlatModel, dataset: GroupedDataset, rows: Tensor, terms: Terms | None, places: Tensor) -> Tensor:
    """Return the gradient of a batch's loss at the model's weights, float32 ``[num_parameters]``; nothing is changed.

    Parameters
    ----------
    rows, places : Tensor
        int64 ``[batch]``: of `dataset`, and of what `terms` is told.
    """
    device = model.vector.device
    model.module.train()
    losses = cross_entropies(model.module(gather(dataset.x, rows).to(device)), dataset.label[rows].to(device))
    _differentiate(model, (losses if terms is None else terms(losses, places)).mean())
    return model.gradient.clone()
