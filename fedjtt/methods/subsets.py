"""Balanced subsets of a split that lies on many machines: who is in one is a function of seed, draw and id.

As in :mod:`fedjtt.methods.cut`, of each group those with the smallest numbers stay. Many subsets are drawn side by side
here, so the number at which each ends is found five bits at a time, by counts in 32 bins: four exchanges for all.
"""

from collections.abc import Callable

import torch
from torch import Tensor

LEVELS, BITS = 4, 5
BINS = 2**BITS
EVERY = 2 ** (LEVELS * BITS)
"""A limit below which all numbers are."""

Counted = Callable[[int, Tensor], Tensor]
"""From a level and prefixes ``[draws, groups]`` to the counts in bins, ``[draws, groups, BINS]``, over all machines."""


def bin_counts(numbers: Tensor, group: Tensor, level: int, prefix: Tensor) -> Tensor:
    """Count examples in bins of their next five bits, those whose bits so far are their group's prefix.

    Parameters
    ----------
    numbers : Tensor
        int64 ``[draws, n]``.
    prefix : Tensor
        int64 ``[draws, groups]``: the first ``5 * level`` bits of the number at which a group's subset ends.
    """
    draws, groups = prefix.shape
    shift = (LEVELS - level) * BITS
    inside = numbers >> shift == prefix[:, group]
    places = (numbers >> (shift - BITS)) % BINS
    offsets = (torch.arange(draws).view(-1, 1) * groups + group) * BINS
    return torch.bincount((offsets + places)[inside], minlength=draws * groups * BINS).view(draws, groups, BINS)


def limits_of(counted: Counted, sizes: Tensor, quotas: Tensor) -> tuple[Tensor, Tensor]:
    """Return the limits below which a number stays, and how many examples then stay, both ``[draws, groups]``.

    Never more than the quota; fewer only where several examples share the number at which it ends.

    Parameters
    ----------
    sizes : Tensor
        int64 ``[groups]``: examples over all machines.
    quotas : Tensor
        int64 ``[draws, groups]``.
    """
    prefix, before = torch.zeros_like(quotas), torch.zeros_like(quotas)
    for level in range(LEVELS):
        counts = counted(level, prefix)
        through = before.unsqueeze(2) + counts.cumsum(dim=2)
        # A quota that all examples fit into ends nowhere: then any bin will do, its limit is another.
        place = (through <= quotas.unsqueeze(2)).sum(dim=2).clamp(max=BINS - 1)
        earlier = through - counts
        before = earlier.gather(2, place.unsqueeze(2)).squeeze(2)
        prefix = prefix * BINS + place
    whole = quotas >= sizes
    return torch.where(whole, EVERY, prefix), torch.where(whole, sizes, before)
