"""What travels of a sparse network: live weights in the mask's order, and how the mask has changed."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from fedjtt.sparse.layout import Layout
from fedjtt.sparse.mask import Mask, largest

Array = NDArray[np.float32]
BITS, TOGGLES = "mask-bits", "mask-toggles"
WORD = 4  # bytes of a float32
SLOPES, PLACES, VALUES = "slopes", "slope-places", "slope-values"


def values_of(vector: Array, mask: Mask) -> Array:
    """Return the live weights, in the order of the vector."""
    return vector[mask]


def vector_of(values: Array, mask: Mask) -> Array:
    """Return the vector of which these are the live weights; the others are 0."""
    vector = np.zeros(mask.shape, dtype=values.dtype)
    vector[mask] = values
    return vector


def bits_of(mask: Mask) -> NDArray[np.uint8]:
    """Return a mask as bits, eight weights a byte."""
    return np.packbits(mask)


def stored_bytes(mask: Mask) -> int:
    """Return the bytes of a sparse network where it is kept: live weights, and a bit for each that says which live."""
    return WORD * int(mask.sum()) + (bits_of(mask).nbytes if not mask.all() else 0)


def mask_of_bits(bits: NDArray[np.uint8], size: int) -> Mask:
    """Return the mask of `size` weights that the bits stand for."""
    return np.unpackbits(bits, count=size).astype(bool)


def change_of(before: Mask, after: Mask) -> dict[str, NDArray[np.generic]]:
    """Return a mask's change in the shorter of two forms: the places that differ, or all of the new mask's bits."""
    toggles = np.flatnonzero(before != after).astype(np.int32)
    bits = bits_of(after)
    return {TOGGLES: toggles} if toggles.nbytes < bits.nbytes else {BITS: bits}


def toggled(mask: Mask, toggles: NDArray[np.integer]) -> Mask:
    """Return a mask with the given places the other way round."""
    new = mask.copy()
    new[toggles] = ~new[toggles]
    return new


def slopes_told(
    gradient: Array, layout: Layout, mask: Mask, quotas: Sequence[int] | None
) -> dict[str, NDArray[np.generic]]:
    """Return what a machine says of its gradient of the dead weights, signed.

    All of it, in the order of the vector; with `quotas`, in each sparse layer only so many of the largest, each with
    its place among the dead weights.
    """
    dead = np.flatnonzero(~mask)
    if quotas is None:
        return {SLOPES: gradient[dead]}
    chosen = [
        largest(gradient, block.first + np.flatnonzero(~mask[block.stretch]), quota)
        for block, quota in zip(layout.sparse, quotas, strict=True)
    ]
    places = np.sort(np.concatenate([*chosen, dead[:0]]))
    return {PLACES: np.searchsorted(dead, places).astype(np.int32), VALUES: gradient[places]}


def scores_of(told: Sequence[tuple[Mapping[str, NDArray[np.generic]], float]], mask: Mask) -> NDArray[np.float64]:
    """Return the mean by size of what machines said, ``[parameters]``; what a machine did not name counts as 0.

    Signed: where the machines pull a weight apart, its sum is small, however large each one's slope is.
    """
    dead = np.flatnonzero(~mask)
    total = sum(size for _, size in told)
    scores = np.zeros(mask.shape, dtype=np.float64)
    for arrays, size in told:
        if SLOPES in arrays:
            scores[dead] += arrays[SLOPES].astype(np.float64) * (size / total)
        else:
            scores[dead[arrays[PLACES]]] += arrays[VALUES].astype(np.float64) * (size / total)
    return scores
