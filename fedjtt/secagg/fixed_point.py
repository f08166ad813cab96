"""Numbers as elements of the ring of 64-bit integers, in which sums are exact and in any order the same.

A whole number is itself; any other number is a multiple of 2^-28. Half of that is all that a machine's number loses.
Nothing ever wraps around: what is too large for the sum over all machines is refused where it is.
"""

import numpy as np
from numpy.typing import NDArray

from fedjtt.errors import DivergedError

FRACTION_BITS = 28
Ring = NDArray[np.uint64]


def encode_whole(values: list[int], name: str, machines: int) -> Ring:
    """Return whole numbers as elements of the ring.

    Raises
    ------
    DivergedError
        Where one is so large that a sum over `machines` of them may not fit.
    """
    if any(abs(value) * machines >= 2**63 for value in values):
        raise DivergedError(f"{name} is too large to be summed over {machines} machines under secure-aggregation")
    return np.array(values, dtype=np.int64).view(np.uint64)


def encode_real(values: NDArray[np.float64], name: str, machines: int) -> Ring:
    """Return numbers as elements of the ring.

    Raises
    ------
    DivergedError
        Where one is not finite, or so large that a sum over `machines` of them may not fit.
    """
    if not np.isfinite(values).all():
        raise DivergedError(f"{name} has values that are not finite; under secure-aggregation they cannot be sent")
    largest = float(np.abs(values).max(initial=0.0))
    bound = 2.0 ** (63 - FRACTION_BITS) / machines - 1
    if largest > bound:
        raise DivergedError(
            f"{name} times the machine's size is {largest:.3g}; under secure-aggregation {machines} machines can sum "
            f"values up to {bound:.3g}: lower the learning rate, or set clip-norm"
        )
    return np.rint(np.ldexp(values, FRACTION_BITS)).astype(np.int64).view(np.uint64)


def decode_whole(values: Ring) -> list[int]:
    """Return a sum of whole numbers."""
    return [int(value) for value in values.view(np.int64)]


def decode_real(values: Ring) -> NDArray[np.float64]:
    """Return a sum of numbers, rounded to float64."""
    return np.ldexp(values.view(np.int64).astype(np.float64), -FRACTION_BITS)
