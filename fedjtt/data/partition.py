"""Spreading a train set over machines, and how uneven that came out.

A partition is a list with one ascending int64 tensor of rows for each machine; every row of the train set stands in
exactly one of them, and no machine is empty. It depends on the data, the kind, the number of machines, alpha and the
seed; never on the method.

``label-dirichlet`` is the split of Hsu, Qi and Brown, "Measuring the Effects of Non-Identical Data Distribution for
Federated Visual Classification" (2019), in its per-class form; ``group-dirichlet`` is the same over groups.
"""

from bisect import bisect_right
from collections.abc import Callable
from math import ceil

import numpy as np
import torch
from torch import Tensor

from fedjtt.data.grouped import GroupedDataset, majority_attribute, minority_mask
from fedjtt.errors import ConfigError, nearest
from fedjtt.seeding import numpy_generator

Parts = list[np.ndarray]
Rule = Callable[[GroupedDataset, int, float, np.random.Generator], Parts]


def partition(kind: str, train: GroupedDataset, machines: int, alpha: float, seed: int) -> list[Tensor]:
    """Spread the train set over machines.

    Parameters
    ----------
    kind : str
        A name in :data:`PARTITIONS`.
    train : GroupedDataset
        The global train set.
    machines : int
        From 1 to ``len(train)``. One machine gets every row, whatever the kind.
    alpha : float
        Concentration of the two Dirichlet kinds, above 0: large is even, small gives most of a class to few machines.
    seed : int
        The run's seed.

    Raises
    ------
    ConfigError
        An unknown kind, an alpha that is not above 0, fewer machines than 1 or more than rows.
    """
    if kind not in PARTITIONS:
        raise ConfigError(f"partition is {kind!r}; allowed are {', '.join(PARTITIONS)}{nearest(kind, PARTITIONS)}")
    if not 1 <= machines <= len(train):
        raise ConfigError(f"machines is {machines}; give a number from 1 to the {len(train)} train samples")
    if not 0 < alpha < float("inf"):
        raise ConfigError(f"dirichlet-alpha is {alpha}; give a number above 0")
    if machines == 1:
        return [torch.arange(len(train))]
    parts = PARTITIONS[kind](train, machines, alpha, numpy_generator(seed, f"partition/{kind}"))
    return [torch.from_numpy(np.sort(part)) for part in _without_empty(parts)]


def split_evenly(dataset: GroupedDataset, machines: int, seed: int, purpose: str) -> list[Tensor]:
    """Spread a validation or test set over machines so that all hold the same mixture.

    Rows are shuffled within their group (label, where there is no attribute) and dealt out like cards, group after
    group: the machines' sizes differ by at most one, and so do their shares of every group. With fewer rows than
    machines some get none.
    """
    if machines == 1:
        return [torch.arange(len(dataset))]
    kinds, _ = _mixture(dataset)
    generator = numpy_generator(seed, f"split/{purpose}")
    dealt = np.lexsort((generator.permutation(len(dataset)), kinds))
    return [torch.from_numpy(np.sort(dealt[machine::machines])) for machine in range(machines)]


def unevenness(parts: list[Tensor], train: GroupedDataset) -> float:
    """Return how far the machines' mixtures of groups are from the global one, from 0 (alike) towards 1.

    The mean, weighted by size, of the total variation distance between a machine's distribution over the groups (over
    the labels, where there is no attribute) and that of the train set. Small machines are never exactly alike: read it
    beside the same figure of ``iid``.
    """
    kinds, num_kinds = _mixture(train)
    return unevenness_of(np.stack([np.bincount(kinds[part.numpy()], minlength=num_kinds) for part in parts]))


def unevenness_of(counts: np.ndarray) -> float:
    """Return :func:`unevenness` from the machines' counts, int ``[machines, groups]``."""
    overall = counts.sum(axis=0) / counts.sum()
    sizes = counts.sum(axis=1, keepdims=True)
    return float(np.abs(counts - sizes * overall).sum() / 2 / counts.sum())


def _iid(train: GroupedDataset, machines: int, alpha: float, generator: np.random.Generator) -> Parts:  # noqa: ARG001
    """Shuffle and split evenly: sizes differ by at most one."""
    shuffled = generator.permutation(len(train))
    return list(np.array_split(shuffled, machines))


def _label_dirichlet(train: GroupedDataset, machines: int, alpha: float, generator: np.random.Generator) -> Parts:
    """Split every label in proportions drawn from a symmetric Dirichlet distribution."""
    return _dirichlet(train.label.numpy(), machines, alpha, generator)


def _group_dirichlet(train: GroupedDataset, machines: int, alpha: float, generator: np.random.Generator) -> Parts:
    """Split every group in proportions drawn from a symmetric Dirichlet distribution."""
    return _dirichlet(train.group.numpy(), machines, alpha, generator)


def _dirichlet(kinds: np.ndarray, machines: int, alpha: float, generator: np.random.Generator) -> Parts:
    pieces: list[Parts] = []
    for kind in np.unique(kinds):
        rows = generator.permutation(np.flatnonzero(kinds == kind))
        shares = generator.dirichlet(np.full(machines, alpha))
        cuts = np.rint(np.cumsum(shares[:-1]) * len(rows)).astype(np.int64)
        pieces.append(np.split(rows, cuts))
    return [np.concatenate(of_machine) for of_machine in zip(*pieces, strict=True)]


def _minority_on_few(
    train: GroupedDataset,
    machines: int,
    alpha: float,  # noqa: ARG001
    generator: np.random.Generator,
) -> Parts:
    """Put the whole true minority on a tenth of the machines, chosen by seed; the majority evens out the sizes.

    Where the minority alone is more than those machines' fair share, they hold nothing else and the others are even.
    """
    is_minority = minority_mask(train, majority_attribute(train)).numpy()
    minority = generator.permutation(np.flatnonzero(is_minority))
    majority = generator.permutation(np.flatnonzero(~is_minority))
    chosen = generator.permutation(machines)[: ceil(machines / 10)]
    parts: Parts = [np.empty(0, dtype=np.int64)] * machines
    for machine, rows in zip(chosen, np.array_split(minority, len(chosen)), strict=True):
        parts[machine] = rows
    room = _levelling(np.array([len(part) for part in parts]), len(majority))
    refill = np.split(majority, np.cumsum(room)[:-1])
    return [np.concatenate(both) for both in zip(parts, refill, strict=True)]


def _levelling(sizes: np.ndarray, amount: int) -> np.ndarray:
    """Return how much to add to each size, `amount` in all, so that the smallest end as large as possible."""
    levels = range(int(sizes.max()) + amount + 1)
    level = bisect_right(levels, amount, key=lambda height: int(np.maximum(height - sizes, 0).sum())) - 1
    added: np.ndarray = np.maximum(level - sizes, 0)
    added[np.flatnonzero(sizes <= level)[: amount - int(added.sum())]] += 1
    return added


def _without_empty(parts: Parts) -> Parts:
    """Give every empty machine one row, the last of the machine that is the largest at that moment."""
    repaired = list(parts)
    for machine, part in enumerate(parts):
        if len(part) == 0:
            donor = max(range(len(repaired)), key=lambda other: len(repaired[other]))
            repaired[machine], repaired[donor] = repaired[donor][-1:], repaired[donor][:-1]
    return repaired


def _mixture(dataset: GroupedDataset) -> tuple[np.ndarray, int]:
    """Return what a mixture is measured over, and how many values it has: groups, or labels without attributes."""
    if dataset.attribute is None:
        return dataset.label.numpy(), dataset.num_labels
    return dataset.group.numpy(), dataset.num_groups


PARTITIONS: dict[str, Rule] = {
    "iid": _iid,
    "label-dirichlet": _label_dirichlet,
    "group-dirichlet": _group_dirichlet,
    "minority-on-few": _minority_on_few,
}
"""Every kind of partition by name."""
