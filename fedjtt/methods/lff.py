"""Learning from failure (Nam et al. 2020): a second network leans on what is easy, and where it fails counts more.

The biased network learns by generalised cross-entropy; an example weighs l_B / (l_B + l_D) for the other one, with both
networks' losses smoothed over its visits and divided by the largest of its label. Over machines a maximum is a maximum
of maxima: it is the last round's, over all machines, on one machine as on many. The smoothing starts anew in every
round, at the loss of an example's first visit: a machine that restarts has lost nothing.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fedjtt.data.sampling import gather
from fedjtt.methods.averaging import shortened, weighted_mean
from fedjtt.methods.base import Array, Node, Payload, Server, Trained
from fedjtt.methods.census import count_population
from fedjtt.methods.fit import FitPlan, fit_rounds, train_settings
from fedjtt.methods.lesson import Course, Lesson
from fedjtt.objectives import cross_entropies, generalized_cross_entropy
from fedjtt.training import Span, Trainer

BIASED, LARGEST = "biased", ("largest-biased", "largest-debiased")
SMOOTHING = 0.7
SLOT = 1


class Smoothed:
    """The smoothed losses of a machine's examples in a round."""

    def __init__(self, examples: int) -> None:
        self.value = torch.zeros(examples)
        self.seen = torch.zeros(examples, dtype=torch.bool)

    def take(self, losses: Tensor, places: Tensor) -> Tensor:
        """Take in losses of examples; return what their smoothed ones now are."""
        before = torch.where(self.seen[places], self.value[places], losses)
        self.value[places] = SMOOTHING * before + (1 - SMOOTHING) * losses
        self.seen[places] = True
        return self.value[places]

    def largest(self, label: Tensor, num_labels: int) -> list[float]:
        """Return the largest smoothed loss of every label; 0 for one that was not seen."""
        top = torch.zeros(num_labels).scatter_reduce(0, label[self.seen], self.value[self.seen], "amax")
        return [float(value) for value in top]


class LffLesson(Lesson):
    """A round on one machine: every step trains the biased network too, on the same examples."""

    def __init__(self, node: Node, request: Payload) -> None:
        part = node.data.train
        super().__init__(torch.ones(len(part), dtype=torch.int64), self._weighed)
        self.part, self.config, self.sent = part, node.config, request.arrays[BIASED]
        self.label = part.dataset.label[part.rows]
        self.largest = [torch.tensor(request.reals(name)).clamp(min=1e-8) for name in LARGEST]
        self.losses = Smoothed(len(part)), Smoothed(len(part))
        span = Span(request.integer("first"), request.integer("last"), request.integer("total"))
        self.trainer = Trainer(node.load(self.sent, SLOT), train_settings(node.config, averaging="none"), span)

    def _weighed(self, losses: Tensor, places: Tensor) -> Tensor:
        biased, debiased = (
            smoothed.take(values, places) / largest[self.label[places]]
            for smoothed, values, largest in zip(
                self.losses, (self._biased_step(places), losses.detach().cpu()), self.largest, strict=True
            )
        )
        return losses * (biased / (biased + debiased + 1e-8)).to(losses.device)

    def _biased_step(self, places: Tensor) -> Tensor:
        """Take a step of the biased network; return its cross-entropies before it."""
        device = self.trainer.model.vector.device
        rows, found = self.part.rows[places], []
        label = self.label[places].to(device)

        def loss_of(logits: Tensor) -> Tensor:
            found.append(cross_entropies(logits.detach(), label).cpu())
            return generalized_cross_entropy(logits, label)

        self.trainer.step(gather(self.part.dataset.x, rows).to(device), loss_of)
        return found[0]

    def told(self) -> Payload:
        """Return the biased network, and the largest losses of every label."""
        self.trainer.average()  # refuses weights that are not finite
        weights = self.trainer.model.vector.cpu().numpy().copy()
        labels = self.part.dataset.num_labels
        largest = {
            name: smoothed.largest(self.label, labels) for name, smoothed in zip(LARGEST, self.losses, strict=True)
        }
        return Payload({BIASED: shortened(self.sent, weights, self.config.clip_update_norm)}, {**largest})


class LffCourse(Course):
    """The server's biased network, and the largest losses so far of the last round."""

    def __init__(self, weights: Array, labels: int) -> None:
        self.weights = weights
        self.largest = {name: [1.0] * labels for name in LARGEST}

    def request(self, server_round: int) -> Payload:  # noqa: ARG002 (a course's signature)
        """Tell both; in the first round nothing is known of the losses, and all labels count alike."""
        return Payload({BIASED: self.weights}, {**self.largest})

    def learn(self, server_round: int, replies: Sequence[Payload]) -> Mapping[str, Any]:  # noqa: ARG002
        """Average the machines' biased networks by their sizes and take the largest of their largest losses."""
        self.weights = weighted_mean([reply.arrays[BIASED] for reply in replies], self.sizes(replies))
        for name in LARGEST:
            columns = zip(*(reply.reals(name) for reply in replies), strict=True)
            self.largest[name] = [max(column) or 1.0 for column in columns]
        return {}

    def state(self) -> dict[str, Array]:
        """Return the biased network and the largest losses."""
        return {BIASED: self.weights} | {name: np.array(values) for name, values in self.largest.items()}

    def resume(self, state: Mapping[str, Array]) -> None:
        """Take over what :meth:`state` returned."""
        if BIASED in state:
            self.weights = state[BIASED]
            self.largest = {name: state[name].tolist() for name in LARGEST}


class LfF:
    """Learning from failure."""

    name = "lff"
    arrays = (BIASED,)

    def lesson(self, node: Node, request: Payload) -> LffLesson:
        """Train both networks."""
        return LffLesson(node, request)

    def coordinate(self, server: Server) -> Trained:
        """Count the examples, then train."""
        population = count_population(server, "server" if server.config.robust == "central" else "machines")
        biased = server.ask("server", "initial", Payload(numbers={"slot": SLOT}))[0].arrays["weights"]
        course = LffCourse(biased, population.num_labels)
        return fit_rounds(server, FitPlan(population, course=course))
