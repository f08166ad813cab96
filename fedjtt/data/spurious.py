"""SpuCoMNIST's spurious feature: which colour an image gets, and where it is painted: behind the digit, or on it.

The definitions are those of SpuCoMNIST (Joshi et al., "Towards Mitigating Spurious Correlations in the Wild: A
Benchmark and a more Realistic Dataset", 2023, https://github.com/BigML-CS-UCLA/SpuCo), with these differences: every
draw comes from a generator that is passed in, the colours of the minority are spread evenly, the shares of noisy
examples are exact, and the box may also sit in the top right corner. :data:`DIGIT` paints as Coloured MNIST with five
labels does (https://github.com/HazyResearch/correct-n-contrast, ``datasets/colored_mnist.py``).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
import torch
from torch import Tensor

SIDE = 28
"""Height and width of an image."""

SPECKS = 49
"""Pixels painted by the two difficulties that draw a new mask for every image."""

CORE_NOISE_THRESHOLD = 0.25
"""A pixel of a noisy digit survives where a standard normal number is above this: about 40 % of them."""

CORNERS = ("top-left", "top-right")

_BLOCK = 4096  # images handled at once where random numbers are needed for every pixel

# matplotlib's hsv map runs straight between these points, 63rds of its range that it keeps to six decimals.
_HSV_POSITIONS = np.round(np.array([0, 10, 11, 21, 22, 32, 42, 43, 53, 54, 63]) / 63, 6)
_HSV_LEVELS = (
    np.array([32, 32, 31, 1, 0, 0, 0, 1, 31, 32, 32]) / 32,
    np.array([0, 30, 32, 32, 32, 32, 2, 0, 0, 0, 0]) / 32,
    np.array([0, 0, 0, 0, 2, 32, 32, 32, 32, 30, 3]) / 32,
)


@dataclass(frozen=True)
class Box:
    """Where a difficulty paints: a square of this side in the corner, all of it or `SPECKS` drawn pixels."""

    side: int
    drawn: bool = False


BOXES = {
    "large": Box(SIDE),
    "medium": Box(4),
    "small": Box(2),
    "variance-low": Box(7),
    "variance-medium": Box(14, drawn=True),
    "variance-high": Box(SIDE, drawn=True),
}
"""What is painted behind the digit, by name; the generator calls them magnitude and variance, easy to hard."""

DIGIT = "digit"
"""The difficulty that paints the digit itself, and leaves its background black."""

DIFFICULTIES = (*BOXES, DIGIT)

INK = 120
"""Of a painted digit a pixel takes the colour from this level on; fainter ones, its edges, keep their grey."""


def palette(num_colours: int) -> Tensor:
    """Return the colours 0 to K - 1: matplotlib's ``hsv`` map at i/K, rounded to bytes.

    The map differs from :func:`colorsys.hsv_to_rgb` by up to 18 of 255 (it is linear between its own support points and
    has 256 steps), so it is computed here as matplotlib does, without importing matplotlib.

    Returns
    -------
    Tensor
        uint8 ``[num_colours, 3]``.
    """
    step = np.floor(np.arange(num_colours) / num_colours * 256) / 255
    channels = [np.interp(step, _HSV_POSITIONS, levels) for levels in _HSV_LEVELS]
    return torch.from_numpy(np.rint(np.stack(channels, axis=1) * 255).astype(np.uint8))


def share_of(share: float, count: int) -> int:
    """Return ``floor(share * count)`` of the share as it is written: .29 of 100 is 29, which floats make 28."""
    return int(Decimal(repr(float(share))) * count)


def masks(difficulty: str, corner: str, count: int, generator: np.random.Generator) -> Tensor:
    """Return where the background may be painted.

    Parameters
    ----------
    difficulty, corner : str
        A name in :data:`BOXES` and one in :data:`CORNERS`.
    count : int
        Number of images.
    generator : numpy.random.Generator
        Only used by the difficulties that draw a mask for every image.

    Returns
    -------
    Tensor
        bool ``[1, 28, 28]`` where all images share a mask, else ``[count, 28, 28]``.
    """
    box = BOXES[difficulty]
    first_column = 0 if corner == "top-left" else SIDE - box.side
    inside = torch.ones(1, box.side, box.side, dtype=torch.bool)
    if box.drawn:
        inside = _specks(box.side, count, generator)
    mask = torch.zeros(len(inside), SIDE, SIDE, dtype=torch.bool)
    mask[:, : box.side, first_column : first_column + box.side] = inside
    return mask


def _specks(side: int, count: int, generator: np.random.Generator) -> Tensor:
    """Bool ``[count, side, side]``: in each image `SPECKS` pixels, every choice of them equally likely."""
    chosen = np.zeros((count, side * side), dtype=bool)
    for rows in _blocks(count):
        part = chosen[rows]
        order = np.argpartition(generator.random(part.shape, dtype=np.float32), SPECKS, axis=1)
        np.put_along_axis(part, order[:, :SPECKS], True, axis=1)
    return torch.from_numpy(chosen).view(count, side, side)


def assign_attributes(labels: Tensor, num_labels: int, strength: float, generator: np.random.Generator) -> Tensor:
    """Return the train set's colours, int64 ``[n]``: each label has a colour of its own, of the same number.

    Exactly ``floor(strength * n_y)`` examples of label y get its own colour. The rest is spread over the other
    ``num_labels - 1`` colours as evenly as possible; which colours get one more, and which example gets which
    colour, is drawn.
    """
    attribute = torch.empty_like(labels)
    for label, rows in enumerate(_rows_per_label(labels, num_labels)):
        own = share_of(strength, len(rows))
        others = np.delete(np.arange(num_labels), label)
        spread = np.resize(generator.permutation(others), len(rows) - own)
        attribute[rows] = torch.from_numpy(generator.permutation(np.concatenate([np.full(own, label), spread])))
    return attribute


def balanced_attributes(labels: Tensor, num_labels: int, generator: np.random.Generator) -> Tensor:
    """Return the colours of a validation or test set, int64 ``[n]``: each label's examples spread evenly over all."""
    attribute = torch.empty_like(labels)
    for rows in _rows_per_label(labels, num_labels):
        spread = np.resize(generator.permutation(num_labels), len(rows))
        attribute[rows] = torch.from_numpy(generator.permutation(spread))
    return attribute


def colour(images: Tensor, attribute: Tensor, num_colours: int, mask: Tensor) -> Tensor:
    """Return the digits in three channels, with their background painted where the mask allows.

    Parameters
    ----------
    images : Tensor
        uint8 ``[n, 28, 28]``, 0 where there is no digit.
    attribute : Tensor
        int64 ``[n]``, the number of each image's colour.
    num_colours : int
        Size of the palette.
    mask : Tensor
        bool ``[1, 28, 28]`` or ``[n, 28, 28]``, from :func:`masks`.

    Returns
    -------
    Tensor
        uint8 ``[n, 3, 28, 28]``.
    """
    painted = (images == 0) & mask
    shade = palette(num_colours)[attribute][:, :, None, None]
    out = torch.empty(len(images), 3, SIDE, SIDE, dtype=torch.uint8)
    for channel in range(3):  # one at a time: no second array of the result's size
        out[:, channel] = torch.where(painted, shade[:, channel], images)
    return out


def colour_digits(images: Tensor, attribute: Tensor, num_colours: int) -> Tensor:
    """Return the digits themselves in flat colours, uint8 ``[n, 3, 28, 28]``; arguments as of :func:`colour`."""
    ink = images >= INK
    shade = palette(num_colours)[attribute][:, :, None, None]
    out = torch.empty(len(images), 3, SIDE, SIDE, dtype=torch.uint8)
    for channel in range(3):
        out[:, channel] = torch.where(ink, shade[:, channel], images)
    return out


def noisy_labels(labels: Tensor, num_labels: int, share: float, generator: np.random.Generator) -> Tensor:
    """Return the labels with exactly ``floor(share * n)`` of them replaced by another one, drawn evenly."""
    rows = generator.permutation(len(labels))[: share_of(share, len(labels))]
    step = torch.from_numpy(generator.integers(1, num_labels, len(rows)))
    noisy = labels.clone()
    noisy[rows] = (labels[rows] + step) % num_labels
    return noisy


def noisy_digits(images: Tensor, share: float, generator: np.random.Generator) -> Tensor:
    """Return the images with exactly ``floor(share * n)`` digits multiplied, pixel by pixel, by ``randn > .25``.

    This happens before the background is painted, so a lost pixel shows the background like any other pixel without
    ink. Blackened afterwards, the holes would keep the digit's silhouette, and the core feature would not be damaged.
    """
    rows = np.sort(generator.permutation(len(images))[: share_of(share, len(images))])
    noisy = images.clone() if len(rows) else images  # without noise, no second copy of a whole train set
    for block in _blocks(len(rows)):
        keep = generator.standard_normal((len(rows[block]), SIDE, SIDE), dtype=np.float32) > CORE_NOISE_THRESHOLD
        noisy[rows[block]] *= torch.from_numpy(keep)
    return noisy


def _rows_per_label(labels: Tensor, num_labels: int) -> Iterator[Tensor]:
    return ((labels == label).nonzero().squeeze(1) for label in range(num_labels))


def _blocks(count: int) -> Iterator[slice]:
    return (slice(start, start + _BLOCK) for start in range(0, count, _BLOCK))
