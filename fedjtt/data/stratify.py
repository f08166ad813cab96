"""Splitting a dataset into parts with the same mixture of classes."""

import numpy as np
import torch
from torch import Tensor


def apportion(counts: np.ndarray, total: int) -> np.ndarray:
    """Share `total` seats in proportion to `counts`, by the method of the largest remainder (Hamilton).

    Parameters
    ----------
    counts : ndarray
        int ``[c]``, the size of each class.
    total : int
        Examples to take in all, at most ``counts.sum()``.

    Returns
    -------
    ndarray
        int64 ``[c]`` with sum `total`, each within one of its exact quota; ties go to the lower class.
    """
    seats, remainder = np.divmod(counts.astype(np.int64) * total, counts.sum())
    seats[np.argsort(-remainder, kind="stable")[: total - seats.sum()]] += 1
    return seats


def shuffled_classes(classes: Tensor, num_classes: int, generator: np.random.Generator) -> list[Tensor]:
    """Return each class's rows, in random order."""
    rows = (np.flatnonzero(classes.numpy() == value) for value in range(num_classes))
    return [torch.from_numpy(generator.permutation(part)) for part in rows]


def take_first(shuffled: list[Tensor], counts: np.ndarray) -> tuple[Tensor, list[Tensor]]:
    """Take the first `counts` rows of each class: return them in ascending order, and what is left of each class."""
    taken = [part[:count] for part, count in zip(shuffled, counts.tolist(), strict=True)]
    left = [part[count:] for part, count in zip(shuffled, counts.tolist(), strict=True)]
    return torch.cat(taken).sort().values, left
