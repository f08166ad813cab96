"""REST, reweighted sparse training (Zhao et al. 2023): a network too sparse for the shortcut, and a louder minority.

The objective is the paper's, the mean of w l with w = lambda for examples that conflict with the shortcut and 1 for the
others, divided by the mean of w over all machines' examples: so that lambda does not change the learning rate. The mask
is that of :mod:`fedjtt.methods.sparse_course`.
"""

import math
from dataclasses import replace

import torch
from torch import Tensor

from fedjtt.errors import ConfigError
from fedjtt.methods.base import Node, Payload, Server, Trained
from fedjtt.methods.fit import FitPlan, fit_rounds
from fedjtt.methods.grouping import Groups, agree_on_groups, groups_of, identified
from fedjtt.methods.masked import MaskedLesson
from fedjtt.methods.sparse_course import BYTES, SparseCourse

WEIGHTS, FACTORS = "group-weights", "group-factors"
LAMBDAS = {0.005: 10.0, 0.01: 30.0, 0.02: 50.0, 0.05: 80.0}
"""The paper's lambda by the share of conflicting examples, on Coloured MNIST and Corrupted CIFAR-10."""

LAMBDAS_OF = {"bffhq": {0.005: 80.0}}
"""Those of datasets that the paper sets by themselves."""

BEYOND = 2.0
"""How many times the table's largest share it is read for."""


class REST:
    """Reweighted sparse training."""

    name = "rest"

    def lesson(self, node: Node, request: Payload) -> MaskedLesson:
        """Weigh the losses by group and train the live weights."""
        weights = torch.ones(len(node.data.train), dtype=torch.int64)
        factors = torch.tensor(request.reals(FACTORS))
        if bool((factors == 1).all()):
            return MaskedLesson(node, request, weights, None)
        factor = factors[groups_of(node, request)]

        def terms(losses: Tensor, places: Tensor) -> Tensor:
            return losses * factor[places].to(losses.device)

        return MaskedLesson(node, request, weights, terms)

    def coordinate(self, server: Server) -> Trained:
        """Find out who conflicts with the shortcut, set lambda, train."""
        groups = agree_on_groups(server)
        conflicting = conflicting_groups(groups)
        share = sum(size for size, is_so in zip(groups.sizes, conflicting, strict=True) if is_so) / sum(groups.sizes)
        factor = self._lambda(server, share)
        weights = [factor if is_so else 1.0 for is_so in conflicting]
        mean = math.fsum(w * size for w, size in zip(weights, groups.sizes, strict=True)) / sum(groups.sizes)
        numbers = {FACTORS: [w / mean for w in weights], WEIGHTS: [1.0] * len(weights)}
        request = Payload(groups.request.arrays, {**groups.request.numbers, **numbers})
        course = SparseCourse(server, groups.place, request)
        plan = FitPlan(groups.population, request, course)
        trained = identified(fit_rounds(server, plan), groups)
        about = {**(trained.sparse or {}), "lambda": factor, "conflicting-share": share}
        shares = [line[BYTES] for line in trained.history if BYTES in line]
        about[BYTES] = math.fsum(shares) / len(shares) if shares else None
        return replace(trained, sparse=about)

    def _lambda(self, server: Server, share: float) -> float:
        if not share:
            server.note("no example conflicts with the shortcut: all weigh alike; identify for fewer epochs")
            return 1.0
        given = server.config.rest_weight
        return usual_lambda(share, server.config.dataset) if given == "auto" else float(given)


def conflicting_groups(groups: Groups) -> list[bool]:
    """Return which groups conflict with the shortcut: those in the error set, or all but each label's largest.

    Raises
    ------
    ConfigError
        Where groups are the true ones and nobody knows them.
    """
    labels = groups.population.num_labels
    if groups.found is not None:
        return [False, True] * labels
    majority = groups.population.majority
    if majority is None:
        raise ConfigError("groups is true, but no attribute is known; set groups to inferred")
    width = len(groups.sizes) // labels
    return [place % width != majority[place // width] for place in range(len(groups.sizes))]


def usual_lambda(share: float, dataset: str = "coloured-mnist") -> float:
    """Return the paper's lambda for a dataset and the nearest share of conflicting examples (as a ratio).

    Far beyond its table, at more than a tenth, the weight that lets both parts count alike.
    """
    table = LAMBDAS_OF.get(dataset, LAMBDAS)
    if share > BEYOND * max(table):
        return max(1.0, (1 - share) / share)
    return table[min(table, key=lambda known: abs(math.log(known / share)))]
