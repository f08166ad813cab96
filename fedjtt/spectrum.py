"""How the features of each group are spread: second moments, which add up, and the eigenvalues of the covariances.

Spectral imbalance (LaBonte et al. 2024): inside a class, the largest eigenvalue of the minority group's covariance over
that of the majority group's. The features are what the last linear layer sees.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fedjtt.data.grouped import GroupedDataset
from fedjtt.evaluation import EVALUATION_BATCH, feature_batches, last_layer
from fedjtt.models import FlatModel

FEWEST = 2
"""Rows of a group from which on it has a covariance."""


@dataclass(frozen=True)
class GroupMoments:
    """Sums over the rows of each group; they add up over batches, machines and splits.

    Attributes
    ----------
    count : Tensor
        int64 ``[groups]``.
    total : Tensor
        float64 ``[groups, width]``: sum of z.
    outer : Tensor
        float64 ``[groups, width, width]``: sum of z z^T.
    """

    count: Tensor
    total: Tensor
    outer: Tensor

    @classmethod
    def zeros(cls, groups: int, width: int) -> "GroupMoments":
        """Return the moments of no rows."""
        sums = (torch.zeros(groups, *shape, dtype=torch.float64) for shape in ((width,), (width, width)))
        return cls(torch.zeros(groups, dtype=torch.int64), *sums)

    def __add__(self, other: "GroupMoments") -> "GroupMoments":
        """Return the moments of both."""
        return GroupMoments(self.count + other.count, self.total + other.total, self.outer + other.outer)

    def without_fewer_than(self, least: int) -> "GroupMoments":
        """Return the moments without those groups that have fewer rows."""
        kept = self.count >= least
        return GroupMoments(
            self.count * kept, self.total * kept.unsqueeze(1), self.outer * kept.unsqueeze(1).unsqueeze(1)
        )

    def eigenvalues(self, group: int) -> Tensor | None:
        """Return a group's eigenvalues, float64 ``[width]`` descending; None with fewer than two rows.

        Of the covariance divided by n. What rounding alone can make of the sums is 0.
        """
        n = int(self.count[group])
        if n < FEWEST:
            return None
        mean, square = self.total[group] / n, self.outer[group] / n
        found = torch.linalg.eigvalsh(square - torch.outer(mean, mean)).flip(0)
        least = len(mean) * torch.finfo(torch.float64).eps * square.trace()
        return torch.where(found > least, found, 0.0)


@torch.no_grad()
def group_moments(
    model: FlatModel, dataset: GroupedDataset, rows: Tensor, batch: int = EVALUATION_BATCH
) -> GroupMoments:
    """Return the moments of the given rows' features, batch by batch; the network computes in float64 too.

    So the numbers do not depend on how rows are cut into batches, or over machines, but for rounding.
    """
    group = dataset.group
    found = GroupMoments.zeros(dataset.num_groups, last_layer(model.module).in_features)
    for part, features in feature_batches(model, dataset, rows, torch.float64, batch):
        own = group[part]
        found.count.add_(torch.bincount(own, minlength=dataset.num_groups))
        for present in set(own.tolist()):
            z = features[own == present]
            found.total[present] += z.sum(dim=0)
            found.outer[present].addmm_(z.T, z)
    return found


@dataclass(frozen=True)
class GroupSpectrum:
    """One group's spectrum.

    Attributes
    ----------
    rows : int
        Train rows of the group, wherever they are.
    n : int
        Those that the covariance is over: machines leave out groups of which they have fewer than ``min-count``.
    eigenvalues : tuple of float or None
        Descending; None where n is below 2.
    """

    label: int
    attribute: int
    rows: int
    n: int
    eigenvalues: tuple[float, ...] | None


@dataclass(frozen=True)
class Imbalance:
    """One class's spectral imbalance.

    Attributes
    ----------
    minority, majority : int or None
        Attributes of the class's smallest group that is not empty, and of its largest; on a tie the lowest. None where
        all its groups are equally large, or there is one.
    rho : float or None
        Largest eigenvalue of the minority group over that of the majority group.
    why : str
        Why there is no rho, or empty.
    """

    label: int
    minority: int | None
    majority: int | None
    rho: float | None
    why: str = ""


@dataclass(frozen=True)
class Spectra:
    """What :func:`fedjtt.spectra` returns: every group's spectrum, label by label, and every class's imbalance."""

    groups: tuple[GroupSpectrum, ...]
    classes: tuple[Imbalance, ...]


def spectra_of(moments: GroupMoments, sizes: Sequence[int], num_labels: int) -> Spectra:
    """Return the spectra of summed moments.

    Parameters
    ----------
    sizes : sequence of int
        Train rows per group, by which a class's minority and majority are told.
    """
    attributes = len(sizes) // num_labels
    groups = []
    for place, rows in enumerate(sizes):
        found = moments.eigenvalues(place)
        values = None if found is None else tuple(found.tolist())
        groups.append(GroupSpectrum(place // attributes, place % attributes, rows, int(moments.count[place]), values))
    classes = tuple(_imbalance(groups[first : first + attributes]) for first in range(0, len(groups), attributes))
    return Spectra(tuple(groups), classes)


def _imbalance(groups: Sequence[GroupSpectrum]) -> Imbalance:
    label, present = groups[0].label, [group for group in groups if group.rows]
    if len(present) < 2:
        return Imbalance(label, None, None, None, "one group" if present else "no example")
    smallest, largest = min(present, key=lambda group: group.rows), max(present, key=lambda group: group.rows)
    if smallest.rows == largest.rows:
        return Imbalance(label, None, None, None, "its groups are equally large")
    named = (label, smallest.attribute, largest.attribute)
    for group in (smallest, largest):
        if group.eigenvalues is None:
            return Imbalance(*named, None, f"attribute {group.attribute} has {group.n} of at least {FEWEST} rows")
    top = [group.eigenvalues[0] for group in (smallest, largest) if group.eigenvalues is not None]
    if top[1] == 0:
        return Imbalance(*named, None, "the majority group's features do not vary")
    return Imbalance(*named, top[0] / top[1])
