"""Which rows stand in which batch: a function of weights, sizes and a generator."""

import torch
from torch import Tensor

from fedjtt.data.feature_rows import FeatureRows, Inputs
from fedjtt.data.image_rows import ImageRows
from fedjtt.errors import DataError


def shuffled_passes(copies: Tensor, batch_size: int, steps: int, generator: torch.Generator) -> Tensor:
    """Draw batches from shuffled passes over a multiset: row i stands ``copies[i]`` times in every pass.

    Every batch is full: a pass that ends inside a batch is continued by the next one. That is the JTT paper's
    upsampled epoch to the letter, and as cheap as sampling by weight (a permutation of 86,000 takes 1 ms).

    Parameters
    ----------
    copies : Tensor
        int64 ``[n]``, at least 0, with a positive sum.
    batch_size, steps : int
        The batches' size (cut to the multiset's size) and number.

    Returns
    -------
    Tensor
        int64 ``[steps, min(batch_size, copies.sum())]`` of row numbers.
    """
    rows = torch.repeat_interleave(copies)
    if not len(rows):
        raise DataError("there is no example to draw a batch from")
    size = min(batch_size, len(rows))
    passes = -(-steps * size // len(rows))
    order = [rows[torch.randperm(len(rows), generator=generator)] for _ in range(passes)]
    return torch.cat([*order, rows[:0]])[: steps * size].view(steps, size)


def weighted_draws(weights: Tensor, batch_size: int, steps: int, generator: torch.Generator) -> Tensor:
    """Draw batches with replacement, row i with probability proportional to ``weights[i]``.

    Parameters
    ----------
    weights : Tensor
        float ``[n]``, at least 0, with a positive sum.

    Returns
    -------
    Tensor
        int64 ``[steps, min(batch_size, n)]`` of row numbers.
    """
    if not len(weights) or float(weights.sum()) <= 0:
        raise DataError("there is no example with a positive weight to draw a batch from")
    size = min(batch_size, len(weights))
    # Inverse distribution function in float64: torch.multinomial is limited to 2^24 rows and slower.
    edges = weights.double().cumsum(0)
    points = torch.rand(steps * size, dtype=torch.float64, generator=generator) * edges[-1]
    return torch.searchsorted(edges, points, right=True).clamp_(max=len(weights) - 1).view(steps, size)


def draw_batches(weights: Tensor, batch_size: int, steps: int, generator: torch.Generator) -> Tensor:
    """Draw from shuffled passes where the weights are whole numbers, with replacement where they are not."""
    if weights.is_floating_point():
        return weighted_draws(weights, batch_size, steps, generator)
    return shuffled_passes(weights, batch_size, steps, generator)


def stored(x: Inputs, rows: Tensor) -> Tensor:
    """Return the rows of x as they are stored: images that have not been read yet are read now.

    Images keep the channels-last layout in which they are stored: the convolutions are faster in it.
    """
    if isinstance(x, ImageRows | FeatureRows):
        return x.read(rows)
    if x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last):
        return x.permute(0, 2, 3, 1).index_select(0, rows).permute(0, 3, 1, 2)
    return x.index_select(0, rows)


def gather(x: Inputs, rows: Tensor) -> Tensor:
    """Return the rows of x as float32, images (uint8) scaled to [0, 1] or, where they say how, standardised."""
    batch = stored(x, rows)
    if isinstance(x, ImageRows):
        return x.standardised(batch)
    return batch.float().div_(255) if batch.dtype == torch.uint8 else batch


def blank(x: Inputs) -> Tensor:
    """Return one example of zeros as :func:`gather` would give it, which a network's layers can be seen with."""
    whole = isinstance(x, Tensor) and x.dtype == torch.int32  # tokens
    return torch.zeros(1, *x.shape[1:], dtype=torch.int32 if whole else torch.float32)
