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
from fedjtt.precision import Forward, LossScale
from fedjtt.schedules import learning_rate_at
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
        ``constant``, ``one-cycle``, ``cosine``, ``linear`` or ``warm-up``.
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
    precision, compiled : str, bool
        See :class:`fedjtt.precision.Forward`.
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
    precision: str = "float32"
    compiled: bool = False


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


def ema_decay_at(step: int) -> float:
    """Return the weight of the past in the average after a step, counted from 0.

    Warmed up, so that the average forgets the initial weights: (1 + t) / (10 + t), at most .999.
    """
    return min(EMA_DECAY, (1 + step) / (10 + step))


def shorten(gradient: Tensor, length: float) -> None:
    """Scale a gradient in place so that it is no longer than `length` (Pascanu et al. 2013)."""
    if gradient.is_cuda:  # to ask for the norm would be to wait for it
        gradient.mul_(_share_within(gradient, length))
        return
    norm = float(gradient.norm())
    if norm > length:
        gradient.mul_(length / norm)


def _share_within(gradient: Tensor, length: float) -> Tensor:
    """Return what a gradient is to be multiplied by, float32, without a word from the device."""
    share: Tensor = length / gradient.norm().double()
    return share.clamp(max=1).float()


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
        self._forward = Forward(model.module, settings.precision, settings.compiled)
        self._scale = LossScale() if settings.precision == "float16" else None
        self._next = span.first
        self._unread: tuple[int, Tensor] | None = None
        self._lags = model.vector.is_cuda
        self.loss_sum = 0.0

    def step(self, x: Tensor, loss_of: Callable[[Tensor], Tensor]) -> None:
        """Take a step on inputs, given the loss of their logits.

        On a GPU a step's loss is looked at when the next one begins, or at the end: to wait for it here would leave the
        GPU without work while the next batch is put together.

        Raises
        ------
        DivergedError
            Where the loss is not finite, or gradients in float16 are not at any scale.
        """
        self._look()
        loss = loss_of(self._logits(x))
        _differentiate(self.model, loss if self._scale is None else loss * self._scale.value)
        self._unread = (self._next, loss.detach())
        if not self._lags:
            self._look()
        if self._scale is None or self._scale.undone(self.model.gradient):
            self._update()
        self._next += 1

    def _look(self) -> None:
        """Add up the last step's loss, if nobody has; refuse one that is not finite."""
        if self._unread is None:
            return
        step, loss = self._unread
        self._unread, value = None, float(loss)
        if not math.isfinite(value):
            raise DivergedError(f"the loss became {value} at step {step + 1}; lower the learning rate")
        self.loss_sum += value

    def _update(self) -> None:
        """Change the weights by the gradient, as the stage's step asks for."""
        model, settings, step = self.model, self.settings, self._next
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

    def _logits(self, x: Tensor) -> Tensor:
        """Return the logits in training mode, in which batch norms take a batch's own mean and follow it."""
        module = self.model.module
        if not module.training:
            module.train()
        try:
            return self._forward(x)
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
        self._look()
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

        trainer.step(gather(dataset.x, rows, device), loss_of)
    mean = trainer.average()
    return TrainOutcome(mean, trainer.loss_sum / max(1, span.steps), time.thread_time() - start)


def gradient_of(model: FlatModel, dataset: GroupedDataset, rows: Tensor, terms: Terms | None, places: Tensor) -> Tensor:
    """Return the gradient of a batch's loss at the model's weights, float32 ``[num_parameters]``; nothing is changed.

    Parameters
    ----------
    rows, places : Tensor
        int64 ``[batch]``: of `dataset`, and of what `terms` is told.
    """
    device = model.vector.device
    model.module.train()
    losses = cross_entropies(model.module(gather(dataset.x, rows, device)), dataset.label[rows].to(device))
    _differentiate(model, (losses if terms is None else terms(losses, places)).mean())
    return model.gradient.clone()
