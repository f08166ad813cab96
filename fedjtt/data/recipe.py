"""SpuCoMNIST's recipe over any set of handwritten digits: five labels, five colours, a train and two balanced parts."""

import numpy as np
import torch
from torch import Tensor

from fedjtt.data.grouped import GroupedDataset
from fedjtt.data.imbalance import long_tail
from fedjtt.data.options import DataOptions
from fedjtt.data.spurious import (
    DIGIT,
    assign_attributes,
    balanced_attributes,
    colour,
    colour_digits,
    masks,
    noisy_digits,
    noisy_labels,
)
from fedjtt.seeding import numpy_generator

LABEL_NAMES = ("0-1", "2-3", "4-5", "6-7", "8-9")
"""SpuCoMNIST's classes: pairs of digits."""

ATTRIBUTE_NAMES = ("red", "lime", "green", "blue", "violet")
"""What people call the five colours of :func:`fedjtt.data.spurious.palette`."""

NUM_LABELS = len(LABEL_NAMES)


def train_part(images: Tensor, digit: Tensor, ids: Tensor, options: DataOptions) -> GroupedDataset:
    """Return the train set: every label mostly on its own colour, with a long tail of labels and noise if asked for.

    Colours are given to the examples that an imbalance leaves, so that every label has the same share of a minority.
    The background follows the clean label, so a noisy label puts its example into another group.

    Parameters
    ----------
    images : Tensor
        uint8 ``[n, 28, 28]``.
    digit, ids : Tensor
        int64 ``[n]``: the digit, 0 to 9, and the example's id, ascending.
    options : DataOptions
        Difficulty, strength, imbalance, noise and seed.
    """
    if options.class_imbalance > 1:
        stays = long_tail(digit, 10 // NUM_LABELS, options.class_imbalance, _chance(options, "train/class-imbalance"))
        images, digit, ids = images[stays], digit[stays], ids[stays]
    clean = digit // 2
    attribute = assign_attributes(clean, NUM_LABELS, options.spurious_strength, _chance(options, "train/attribute"))
    label = noisy_labels(clean, NUM_LABELS, options.label_noise, _chance(options, "train/label-noise"))
    digits = noisy_digits(images, options.core_noise, _chance(options, "train/core-noise"))
    return _assemble(digits, label, attribute, ids, options, "train")


def balanced_part(images: Tensor, digit: Tensor, ids: Tensor, options: DataOptions, part: str) -> GroupedDataset:
    """Return a validation or test set (`part` names it): each label's digits spread evenly over all colours."""
    label = digit // 2
    attribute = balanced_attributes(label, NUM_LABELS, _chance(options, f"{part}/attribute"))
    return _assemble(images, label, attribute, ids, options, part)


def crossed_part(images: Tensor, digit: Tensor, ids: Tensor, options: DataOptions, part: str) -> GroupedDataset:
    """Return a validation or test set in which every digit is shown on every colour.

    A digit's five rows stand beside each other; the one on colour a has the id ``5 * id + a``.
    """
    label = (digit // 2).repeat_interleave(NUM_LABELS)
    attribute = torch.arange(NUM_LABELS).repeat(len(digit))
    all_ids = ids.repeat_interleave(NUM_LABELS) * NUM_LABELS + attribute
    return _assemble(images.repeat_interleave(NUM_LABELS, dim=0), label, attribute, all_ids, options, part)


def _assemble(
    images: Tensor, label: Tensor, attribute: Tensor, ids: Tensor, options: DataOptions, part: str
) -> GroupedDataset:
    if options.difficulty == DIGIT:
        x = colour_digits(images, attribute, NUM_LABELS)
    else:
        mask = masks(options.difficulty, options.corner, len(images), _chance(options, f"{part}/mask"))
        x = colour(images, attribute, NUM_LABELS, mask)
    return GroupedDataset(x, label, attribute, ids, num_labels=NUM_LABELS, num_attributes=NUM_LABELS)


def _chance(options: DataOptions, purpose: str) -> np.random.Generator:
    """Return a generator of its own for each purpose: a new difficulty leaves the colours as they were."""
    return numpy_generator(options.seed, f"data/{options.dataset}/{purpose}")
