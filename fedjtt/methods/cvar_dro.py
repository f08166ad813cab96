"""Joint DRO: the mean loss of the worst share alpha of all examples, the CVaR (methods.md section 3).

``cvar-threshold = global`` minimises its dual, eta + mean(relu(loss - eta)) / alpha, over the weights and eta at once:
eta is one more weight, which every machine moves along its gradient and the server averages like the others, so that
all machines together look for the one tail of all examples. ``batch`` takes the tail of every batch, as Levy et al.
2020 and the JTT paper do: biased low, and over machines another objective than on one.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fedjtt.config import RunConfig
from fedjtt.methods.base import Array, Node, Payload, Server, Trained
from fedjtt.methods.census import count_population
from fedjtt.methods.fit import FitPlan, fit_rounds
from fedjtt.methods.lesson import Course, Lesson
from fedjtt.objectives import cvar_weights
from fedjtt.schedules import learning_rate_at
from fedjtt.training import Span

ETA, ETA_SUM = "eta", "eta-sum"


class CvarLesson(Lesson):
    """A round of the dual on one machine: eta moves against its gradient, 1 - (share of losses above it) / alpha."""

    def __init__(self, examples: int, config: RunConfig, eta: float, span: Span) -> None:
        super().__init__(torch.ones(examples, dtype=torch.int64), self._dual)
        self.config, self.eta, self.span = config, eta, span
        self._steps = 0

    def _dual(self, losses: Tensor, places: Tensor) -> Tensor:  # noqa: ARG002 (a lesson's terms)
        alpha, eta = self.config.cvar_alpha, self.eta
        above = float((losses.detach() > eta).double().mean())
        step, schedule = self.span.first + self._steps, self.config.learning_rate_schedule
        self.eta -= learning_rate_at(step, self.span.total, self.config.learning_rate, schedule) * (1 - above / alpha)
        self._steps += 1
        return eta + (losses - eta).relu() / alpha

    def told(self) -> Payload:
        """Return eta times the machine's size: the server divides the sum by the sizes' sum."""
        return Payload(numbers={ETA_SUM: self.eta * len(self.weights)})


class EtaCourse(Course):
    """The server's eta; losses are not negative, so it starts at 0."""

    def __init__(self) -> None:
        self.eta = 0.0

    def request(self, server_round: int) -> Payload:  # noqa: ARG002 (a course's signature)
        """Tell eta."""
        return Payload(numbers={ETA: self.eta})

    def learn(self, server_round: int, replies: Sequence[Payload]) -> Mapping[str, Any]:  # noqa: ARG002
        """Average the machines' eta by their sizes."""
        if all(ETA_SUM in reply.numbers for reply in replies):
            self.eta = math.fsum(reply.real(ETA_SUM) for reply in replies) / sum(self.sizes(replies))
        return {ETA: self.eta}

    def state(self) -> dict[str, Array]:
        """Return eta."""
        return {ETA: np.array([self.eta])}

    def resume(self, state: Mapping[str, Array]) -> None:
        """Take over eta."""
        self.eta = float(state[ETA][0]) if ETA in state else 0.0


class CvarDRO:
    """CVaR of the training loss."""

    name = "cvar-dro"

    def lesson(self, node: Node, request: Payload) -> Lesson:
        """Weigh the tail, as ``cvar-threshold`` says."""
        examples, config = len(node.data.train), node.config
        if config.cvar_threshold == "batch":
            return Lesson(torch.ones(examples, dtype=torch.int64), lambda losses, places: _tail(losses, config))  # noqa: ARG005
        span = Span(request.integer("first"), request.integer("last"), request.integer("total"))
        return CvarLesson(examples, config, request.real(ETA), span)

    def coordinate(self, server: Server) -> Trained:
        """Count the examples, then train."""
        population = count_population(server, "server" if server.config.robust == "central" else "machines")
        return fit_rounds(server, FitPlan(population, course=EtaCourse()))


def _tail(losses: Tensor, config: RunConfig) -> Tensor:
    return losses * (len(losses) * cvar_weights(losses.detach(), config.cvar_alpha))
