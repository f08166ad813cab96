"""Which weights are live: drawn at first, then the smallest die and others grow in their place, layer by layer."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fedjtt.sparse.layout import Layout

Mask = NDArray[np.bool_]


def first_mask(layout: Layout, counts: Sequence[int], generator: np.random.Generator) -> Mask:
    """Return a mask in which so many weights of each sparse layer, drawn evenly, are live, and all others."""
    mask = np.ones(layout.size, dtype=bool)
    for block, count in zip(layout.sparse, counts, strict=True):
        live = np.zeros(block.size, dtype=bool)
        live[generator.permutation(block.size)[:count]] = True
        mask[block.stretch] = live
    return mask


def changing(layout: Layout, mask: Mask, rate: float) -> list[int]:
    """Return how many weights of each sparse layer die in a change, and as many grow: ``ceil(rate * live)``.

    Fewer where fewer are dead: a weight that dies does not grow in the same change.
    """
    live = [int(mask[block.stretch].sum()) for block in layout.sparse]
    return [
        min(math.ceil(rate * count - 1e-9), block.size - count)
        for block, count in zip(layout.sparse, live, strict=True)
    ]


def changed(
    layout: Layout, mask: Mask, weights: NDArray[np.float32], scores: NDArray[np.floating], quotas: Sequence[int]
) -> Mask:
    """Return the mask after the live weights nearest to 0 have died and the dead ones of the largest score have grown.

    Parameters
    ----------
    weights, scores : ndarray
        ``[parameters]``; of the scores, only those of dead weights and only their magnitudes are looked at. Ties are
        decided by the place in the vector.
    quotas : sequence of int
        How many die in each sparse layer, and grow.
    """
    new = mask.copy()
    for block, quota in zip(layout.sparse, quotas, strict=True):
        live = block.first + np.flatnonzero(mask[block.stretch])
        dead = block.first + np.flatnonzero(~mask[block.stretch])
        new[live[np.argsort(np.abs(weights[live]), kind="stable")[:quota]]] = False
        new[largest(scores, dead, quota)] = True
    return new


def largest(scores: NDArray[np.floating], places: NDArray[np.int64], quota: int) -> NDArray[np.int64]:
    """Return the `quota` of the given places whose scores are the largest in magnitude; ties to the lower place."""
    chosen: NDArray[np.int64] = places[np.argsort(-np.abs(scores[places]), kind="stable")[:quota]]
    return chosen
