"""A round of a method: what a machine trains on, and what the server tells machines and learns from them."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from fedjtt.methods.base import Array, Payload
from fedjtt.sparse.live import LiveWeights
from fedjtt.training import Span, Terms


class Lesson:
    """What a machine trains on in a round; methods with a loss of their own derive from it.

    Attributes
    ----------
    weights : Tensor
        int64 copies of every example in an epoch, or float sampling weights, ``[n]``.
    terms : callable or None
        What a step minimises the mean of, given losses and places; None: the cross-entropy.
    live : LiveWeights or None
        Which weights are trained, where the others are 0; None: all.
    """

    live: LiveWeights | None = None

    def __init__(self, weights: Tensor, terms: Terms | None = None) -> None:
        self.weights, self.terms = weights, terms

    def taken(self, vector: Array) -> Array:
        """Return what travels of a vector of weights: all of it."""
        return vector

    def spread(self, values: Array) -> Array:
        """Return the vector of which these values travelled."""
        return values

    def told(self) -> Payload:
        """Return what the machine tells the server afterwards beside its weights: numbers that are added up."""
        return Payload()


def whole_batch(lesson: Lesson) -> Terms:
    """Return terms whose mean over all examples is what the lesson's batches have on average.

    An example that is drawn with the probability w / sum(w) counts n w / sum(w) where all are in every batch.
    """
    weights = lesson.weights.double()
    share = (weights * (len(weights) / weights.sum())).float()

    def terms(losses: Tensor, places: Tensor) -> Tensor:
        inner = losses if lesson.terms is None else lesson.terms(losses, places)
        return inner * share.to(losses.device)[places]

    return terms


class Course:
    """The server's half of the rounds, beside the weights; methods with something to learn derive from it."""

    def begin(self, server_round: int, span: Span, weights: Array, average: Array | None) -> tuple[Array, Array | None]:  # noqa: ARG002
        """Return the weights, and their average, that a round begins with: those that the one before ended with."""
        return weights, average

    def taken(self, vector: Array) -> Array:
        """Return what travels of a vector of weights: all of it."""
        return vector

    def spread(self, values: Array) -> Array:
        """Return the vector of which these values travelled."""
        return values

    def request(self, server_round: int) -> Payload:  # noqa: ARG002 (for those that derive)
        """Return what the machines are told in a round."""
        return Payload()

    def sizes(self, replies: Sequence[Payload]) -> list[float]:
        """Return what the machines' updates count by."""
        return [reply.real("size") for reply in replies]

    def learn(self, server_round: int, replies: Sequence[Payload]) -> Mapping[str, Any]:  # noqa: ARG002
        """Take in a round's replies; return what the history says of it."""
        return {}

    def state(self) -> dict[str, Array]:
        """Return what a run that goes on from a checkpoint needs."""
        return {}

    def resume(self, state: Mapping[str, Array]) -> None:
        """Take over what :meth:`state` returned."""

    def spent(self) -> list[float]:
        """Return the CPU seconds that machines spent on what the course asked them itself at this round's beginning."""
        return []

    def report(self) -> dict[str, Any] | None:
        """Return what the result says of the rounds beside their history."""
        return None


def all_places(examples: int, steps: int) -> Tensor:
    """Return int64 ``[steps, examples]``: every step has all examples; takes no memory."""
    return torch.arange(examples).expand(steps, examples)
