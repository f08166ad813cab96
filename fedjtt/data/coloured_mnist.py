"""Coloured MNIST: ten digits, each mostly in a colour of its own.

As Nam et al., "Learning from Failure" (2020) made it, and REST takes it: the digit is painted, on black; its colour is
one of ten with a little normal noise (.05, their severity 1, the most). Exactly floor(s n_y) of a digit's train images
have its own colour, with s = ``spurious-strength`` (.995: .5 % conflict); the others are spread over the other nine.
Validation, 6,000 images held back from MNIST's 60,000 by seed, and test, MNIST's own, have every digit evenly in all
colours. The colours are ten of the hsv map: theirs are a file of that work's.
"""

import numpy as np
import torch
from torch import Tensor

from fedjtt.data.grouped import GroupedDataset, Splits
from fedjtt.data.options import DataOptions
from fedjtt.data.spuco_mnist import find_files, read_part
from fedjtt.data.spurious import assign_attributes, balanced_attributes, noisy_labels, palette
from fedjtt.data.stratify import apportion, shuffled_classes, take_first
from fedjtt.seeding import numpy_generator

LABELS = 10
LABEL_NAMES = tuple(str(digit) for digit in range(LABELS))
ATTRIBUTE_NAMES = ("red", "orange", "yellow", "green", "mint", "cyan", "azure", "blue", "purple", "pink")
"""What people call the ten colours."""

HELD_BACK = 10
"""One of so many train images is for validation."""

SPREAD = 0.05
"""Standard deviation of a colour's channels, of 1."""

_BLOCK = 4096


def load_coloured_mnist(options: DataOptions) -> Splits:
    """Return Coloured MNIST; ids are rows of MNIST's own train and test files.

    Raises
    ------
    DataError
        A file is missing, damaged, or could not be downloaded; the text names it and says what to do.
    """
    raw = find_files(options.data_dir, download=options.download)
    images, digit = read_part(raw, "train")
    counts = np.bincount(digit.numpy(), minlength=LABELS)
    shuffled = shuffled_classes(digit, LABELS, numpy_generator(options.seed, "data/coloured-mnist/split"))
    validation, rest = take_first(shuffled, apportion(counts, len(digit) // HELD_BACK))
    train = torch.cat(rest).sort().values
    test_images, test_digit = read_part(raw, "t10k")
    own = assign_attributes(digit[train], LABELS, options.spurious_strength, _chance(options, "train/attribute"))
    label = noisy_labels(digit[train], LABELS, options.label_noise, _chance(options, "train/label-noise"))
    return Splits(
        train=_painted(images[train], label, own, train, options, "train"),
        validation=_balanced(images[validation], digit[validation], validation, options, "validation"),
        test=_balanced(test_images, test_digit, torch.arange(len(test_digit)), options, "test"),
        label_names=LABEL_NAMES,
        attribute_names=ATTRIBUTE_NAMES,
    )


def _balanced(images: Tensor, digit: Tensor, ids: Tensor, options: DataOptions, part: str) -> GroupedDataset:
    attribute = balanced_attributes(digit, LABELS, _chance(options, f"{part}/attribute"))
    return _painted(images, digit, attribute, ids, options, part)


def _painted(
    images: Tensor, label: Tensor, attribute: Tensor, ids: Tensor, options: DataOptions, part: str
) -> GroupedDataset:
    x = painted(images, attribute, _chance(options, f"{part}/colour"))
    return GroupedDataset(x, label, attribute, ids, num_labels=LABELS, num_attributes=LABELS)


def painted(images: Tensor, attribute: Tensor, generator: np.random.Generator) -> Tensor:
    """Return the digits in colours that scatter around the attributes' ones, uint8 ``[n, 3, height, width]``."""
    noise = generator.normal(0.0, SPREAD, (len(images), 3))
    shade = (palette(LABELS).double()[attribute] / 255 + torch.from_numpy(noise)).clamp(0, 1).float()
    out = torch.empty(len(images), 3, *images.shape[1:], dtype=torch.uint8)
    for first in range(0, len(images), _BLOCK):  # no float copy of the whole set
        rows = slice(first, first + _BLOCK)
        out[rows] = (images[rows, None].float() * shade[rows, :, None, None]).round().to(torch.uint8)
    return out


def _chance(options: DataOptions, purpose: str) -> np.random.Generator:
    """Return a generator of its own for each purpose: another strength leaves the split as it was."""
    return numpy_generator(options.seed, f"data/coloured-mnist/{purpose}")
