"""Group distributionally robust optimisation (Sagawa et al. 2020), with one q over all machines.

The objective is sum_g q_g l_g; where a group's loss is high its q grows: q_g <- q_g exp(step (l_g + C / sqrt(n_g))),
normalised. Examples are drawn so that groups are equally frequent, which makes the mean of G q_g l over a batch an
unbiased estimate on any machine, whatever groups it has. A machine moves a copy of q step by step and reports how far
each group's logarithm moved and by how many examples; the server takes the mean by examples. On one machine that is the
algorithm as published, but for the order: a step's loss is weighed by the q of the step before, since over machines no
other q can be the same everywhere.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fedjtt.config import RunConfig
from fedjtt.methods.base import Array, Node, Payload, Server, Trained
from fedjtt.methods.fit import FitPlan, fit_rounds
from fedjtt.methods.grouping import agree_on_groups, groups_of, identified
from fedjtt.methods.identification import added_up_reals
from fedjtt.methods.lesson import Course, Lesson

LOG_Q, GAINS, SEEN = "log-q", "dro-gains", "dro-seen"
WEIGHTS = "group-weights"


class DroLesson(Lesson):
    """A round of GroupDRO on one machine.

    Parameters
    ----------
    group : Tensor
        int64 ``[n]`` of the train examples.
    sizes : Tensor
        float64 ``[G]`` over all machines; a group of size 0 does not exist.
    weights : Tensor
        float64 ``[G]``: how often an example is drawn, so that all groups are equally frequent.
    log_q : Tensor
        float64 ``[G]``, normalised.
    config : RunConfig
        Has the step of q, and C.
    """

    def __init__(self, group: Tensor, sizes: Tensor, weights: Tensor, log_q: Tensor, config: RunConfig) -> None:
        self.present = sizes > 0
        self.groups = int(self.present.sum())
        super().__init__(weights[group], self._weighed)
        self.group, self.log_q, self.step = group, log_q.clone(), config.dro_step
        self.extra = torch.where(self.present, config.dro_adjustment / sizes.clamp(min=1).sqrt(), 0.0)
        self.gains, self.seen = torch.zeros_like(sizes), torch.zeros_like(sizes)

    def _weighed(self, losses: Tensor, places: Tensor) -> Tensor:
        group = self.group[places]
        factor = (self.groups * self.log_q.exp()).float()[group]
        self._move(losses.detach().cpu().double(), group)
        return losses * factor.to(losses.device)

    def _move(self, losses: Tensor, group: Tensor) -> None:
        """Raise q where the batch's losses are high; a group that is not in the batch has no loss, not a loss of 0."""
        count = torch.bincount(group, minlength=len(self.gains)).double()
        total = torch.zeros_like(self.gains).index_add_(0, group, losses)
        gain = torch.where(count > 0, self.step * (total / count.clamp(min=1) + self.extra), 0.0)
        self.log_q = normalised_log(self.log_q + gain)
        self.gains += gain
        self.seen += count

    def told(self) -> Payload:
        """Return how far each group's logarithm moved, times the examples seen of it, and these."""
        return Payload(numbers={GAINS: (self.gains * self.seen).tolist(), SEEN: self.seen.tolist()})


def normalised_log(log_q: Tensor) -> Tensor:
    """Return logarithms of which the exponentials add up to 1."""
    return log_q - log_q.logsumexp(dim=0)


class DroCourse(Course):
    """The server's q."""

    def __init__(self, sizes: Sequence[int]) -> None:
        groups = sum(size > 0 for size in sizes)
        self.weights = [sum(sizes) / (groups * size) if size else 0.0 for size in sizes]
        exists = torch.tensor([size > 0 for size in sizes])
        self.log_q = normalised_log(torch.where(exists, 0.0, -torch.inf).double())

    def request(self, server_round: int) -> Payload:  # noqa: ARG002 (a course's signature)
        """Tell q; a group that does not exist is told as one of very small q, which a message can hold."""
        return Payload(numbers={WEIGHTS: self.weights, LOG_Q: self.log_q.clamp(min=-1e9).tolist()})

    def learn(self, server_round: int, replies: Sequence[Payload]) -> Mapping[str, Any]:  # noqa: ARG002
        """Move q by the machines' mean gains, each group's by the examples that a machine saw of it."""
        gains, seen = (torch.tensor(added_up_reals(replies, name), dtype=torch.float64) for name in (GAINS, SEEN))
        self.log_q = normalised_log(self.log_q + torch.where(seen > 0, gains / seen.clamp(min=1), 0.0))
        return {"q": self.log_q.exp().tolist()}

    def state(self) -> dict[str, Array]:
        """Return q."""
        return {LOG_Q: self.log_q.numpy().copy()}

    def resume(self, state: Mapping[str, Array]) -> None:
        """Take over q."""
        if LOG_Q in state:
            self.log_q = torch.from_numpy(np.array(state[LOG_Q]))


class GroupDRO:
    """GroupDRO over the groups that ``groups`` names, or over the machines: then it is agnostic federated learning.

    Parameters
    ----------
    name : str
        Of the method.
    """

    def __init__(self, name: str = "group-dro") -> None:
        self.name = name

    def lesson(self, node: Node, request: Payload) -> DroLesson:
        """Draw the groups equally often and weigh their losses by q."""
        sizes = torch.tensor(request.integers("group-sizes"), dtype=torch.float64)
        log_q = torch.tensor(request.reals(LOG_Q), dtype=torch.float64)
        group = groups_of(node, request)
        weights = torch.tensor(request.reals(WEIGHTS), dtype=torch.float64)
        return DroLesson(group, sizes, weights, log_q, node.config)

    def coordinate(self, server: Server) -> Trained:
        """Count the groups, then train."""
        groups = agree_on_groups(server)
        plan = FitPlan(groups.population, groups.request, DroCourse(groups.sizes))
        return identified(fit_rounds(server, plan), groups)
