"""The error set: the examples that the identification model gets wrong, and how often they are used."""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def upsample_factor(examples: int, errors: int, upsample: int | str, fraction: float) -> int:
    """Return how often an error example is used.

    ``auto`` is max(1, floor(fraction x nominal)) with nominal = (examples - errors) / errors; the original fraction
    is .8. Without errors there is nothing to upsample: 1.
    """
    if upsample != "auto":
        return int(upsample)
    if errors == 0:
        return 1
    # The product of integers first: (N - |E|) x fraction / |E| is exact where the quotient is a whole number.
    return max(1, math.floor(fraction * (examples - errors) / errors + 1e-9))


def error_copies(errors: Tensor, factor: int, convention: str) -> Tensor:
    """Return int64 ``[n]``: how often every example stands in an epoch.

    ``copies``: error examples stand `factor` times in all (the paper); ``extra``: `factor` further times (the
    released code).
    """
    times = factor if convention == "copies" else factor + 1
    return torch.where(errors, times, 1)


def upsampled_size(examples: int, errors: int, factor: int, convention: str) -> int:
    """Return the length of the upsampled epoch, N + (factor - 1) |E| under ``copies``."""
    return examples + (factor - 1 if convention == "copies" else factor) * errors


def pack_mask(mask: Tensor) -> NDArray[np.uint8]:
    """Return a bool mask as bits: 100,000 examples take 12.5 kB."""
    return np.packbits(mask.numpy())


def unpack_mask(bits: NDArray[np.uint8], size: int) -> Tensor:
    """Return the bool ``[size]`` mask that :func:`pack_mask` packed."""
    return torch.from_numpy(np.unpackbits(bits, count=size).astype(bool))
