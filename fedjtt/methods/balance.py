"""Balancing by groups: what is cut, drawn or weighed so that all groups count alike (methods.md section 4)."""

import torch
from torch import Tensor

from fedjtt.config import RunConfig
from fedjtt.methods.base import Node, Payload, Server, Trained
from fedjtt.methods.cut import CUT, cut_groups, kept
from fedjtt.methods.fit import FitPlan, fit_rounds
from fedjtt.methods.grouping import agree_on_groups, groups_of, identified
from fedjtt.methods.lesson import Lesson

WEIGHTS, GAMMAS = "group-weights", "group-gammas"


class Balance:
    """Idrissi et al. 2022 (subset, upsample), LaBonte et al. 2024 (upweight, mixture).

    Parameters
    ----------
    name : str
        Of the method.
    kind : str or None
        ``subset``, ``upsample``, ``upweight`` or ``mixture``; None: as the key ``balance`` says.
    """

    def __init__(self, name: str = "balance", kind: str | None = None) -> None:
        self.name, self._kind = name, kind

    def lesson(self, node: Node, request: Payload) -> Lesson:
        """Draw every example by its group's weight, if it has not been cut; or weigh its loss."""
        group = groups_of(node, request)
        stays = kept(node, request, group)
        if self._kind_of(node.config) == "subset":
            return Lesson(stays.long())
        weights = torch.tensor(request.reals(WEIGHTS), dtype=torch.float64)[group] * stays
        if GAMMAS not in request.numbers:
            return Lesson(weights)
        gamma = torch.tensor(request.reals(GAMMAS))[group]

        def terms(losses: Tensor, places: Tensor) -> Tensor:
            return losses * gamma[places].to(losses.device)

        return Lesson(weights.long(), terms)

    def coordinate(self, server: Server) -> Trained:
        """Count the groups, cut them where the balance asks for it, then train; an epoch is as long as its data."""
        groups = agree_on_groups(server)
        kind, config = self._kind_of(server.config), server.config
        least = min(size for size in groups.sizes if size)
        quotas = [min(size, int(least * (config.mixture_ratio if kind == "mixture" else 1))) for size in groups.sizes]
        numbers = dict(groups.request.numbers)
        sizes = groups.sizes
        if kind == "subset" or (kind == "mixture" and config.mixture_cut):
            limits, sizes = cut_groups(server, groups, quotas)
            numbers[CUT] = limits
        numbers[WEIGHTS] = _weights(kind, config, sizes, quotas)
        if kind == "upweight":
            numbers[GAMMAS] = [max(sizes) / size if size else 0.0 for size in sizes]
        request = Payload(groups.request.arrays, numbers)
        return identified(fit_rounds(server, FitPlan(groups.population, request, weighted=sum(sizes))), groups)

    def _kind_of(self, config: RunConfig) -> str:
        return self._kind or config.balance


def _weights(kind: str, config: RunConfig, sizes: list[int], quotas: list[int]) -> list[float]:
    """Return how often an example of each group is drawn; over all machines the weights add up to the examples."""
    if kind in ("subset", "upweight"):
        return [1.0] * len(sizes)
    wanted = quotas if kind == "mixture" and not config.mixture_cut else [int(size > 0) for size in sizes]
    return [sum(sizes) * want / (sum(wanted) * size) if size else 0.0 for want, size in zip(wanted, sizes, strict=True)]
