"""A long-tailed train set: the classes' sizes fall geometrically from the first to the last.

The profile is that of the long-tailed CIFAR sets (Cui et al., "Class-Balanced Loss Based on Effective Number of
Samples", 2019).
"""

import numpy as np
import torch
from torch import Tensor

from fedjtt.data.stratify import apportion, shuffled_classes, take_first


def long_tailed_sizes(counts: np.ndarray, ratio: float) -> np.ndarray:
    """Return how many examples each class keeps, int64 ``[c]``, one at least of those that have any.

    Class y of c keeps n · ratio^(-y / (c - 1)), rounded, where n is the size of the smallest class that has any: the
    first keeps n, the last n / ratio, and no class needs more than it has.
    """
    depth = np.arange(len(counts)) / max(1, len(counts) - 1)
    kept = np.rint(counts[counts > 0].min() * float(ratio) ** -depth).astype(np.int64)
    sizes: np.ndarray = np.minimum(np.maximum(kept, 1), counts)
    return sizes


def long_tail(digit: Tensor, digits_per_label: int, ratio: float, generator: np.random.Generator) -> Tensor:
    """Return the rows that stay, int64, ascending: of each label its long-tailed share, in its own mixture of digits.

    Parameters
    ----------
    digit : Tensor
        int64 ``[n]``: which of a label's digits an image shows, ``digits_per_label`` of them for each label.
    ratio : float
        Size of the first label over that of the last.
    """
    classes = int(digit.max()) // digits_per_label + 1
    counts = np.bincount(digit.numpy(), minlength=classes * digits_per_label).reshape(classes, digits_per_label)
    sizes = long_tailed_sizes(counts.sum(1), ratio)
    quotas = [apportion(own, int(size)) for own, size in zip(counts, sizes, strict=True)]
    shuffled = shuffled_classes(digit, classes * digits_per_label, generator)
    return torch.as_tensor(take_first(shuffled, np.concatenate(quotas))[0])
