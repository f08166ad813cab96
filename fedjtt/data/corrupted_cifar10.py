"""Corrupted CIFAR-10: ten objects, each mostly under a corruption of its own (Nam et al. 2020, their type 1).

From ``cifar10`` in the data-dir: twenty files of 1,000 train images and one of test images, lossless WebP mosaics of
25 x 40 images, and ``labels.npy``. 2,000 of the 20,000 train images, stratified by seed, are validation, in which each
object comes evenly under all corruptions; each of the 1,000 test images stands there once under each of them (10,000
rows), so that a group is measured on all images of its label.
"""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from fedjtt.data.corruptions import CORRUPTIONS, corrupted
from fedjtt.data.grouped import GroupedDataset, Splits
from fedjtt.data.options import DataOptions
from fedjtt.data.spurious import assign_attributes, balanced_attributes, noisy_labels
from fedjtt.data.stratify import apportion, shuffled_classes, take_first
from fedjtt.errors import DataError
from fedjtt.seeding import numpy_generator

LABEL_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
ATTRIBUTE_NAMES = tuple(CORRUPTIONS)
LABELS = len(LABEL_NAMES)
SIDE, ROWS, COLUMNS = 32, 25, 40
TRAIN_FILES = tuple(f"cifar10_{number:02d}.webp" for number in range(20))
TEST_FILES = ("cifar10_50.webp",)
HELD_BACK = 10
"""One of so many train images is for validation."""

_HELP = "set --data-dir or FEDJTT_DATA to the folder that holds cifar10"


def load_corrupted_cifar10(options: DataOptions) -> Splits:
    """Return Corrupted CIFAR-10; ids are places in the files, of test ten times the place plus the corruption.

    Raises
    ------
    DataError
        A file is missing or damaged; the text names it and says what to do.
    """
    folder = options.root / "cifar10"
    images, label = read_images(folder, TRAIN_FILES, 0)
    counts = np.bincount(label.numpy(), minlength=LABELS)
    shuffled = shuffled_classes(label, LABELS, numpy_generator(options.seed, "data/corrupted-cifar10/split"))
    validation, rest = take_first(shuffled, apportion(counts, len(label) // HELD_BACK))
    train = torch.cat(rest).sort().values
    own = assign_attributes(label[train], LABELS, options.spurious_strength, _chance(options, "train/attribute"))
    said = noisy_labels(label[train], LABELS, options.label_noise, _chance(options, "train/label-noise"))
    even = balanced_attributes(label[validation], LABELS, _chance(options, "validation/attribute"))
    test, test_label = read_images(folder, TEST_FILES, len(TRAIN_FILES) * ROWS * COLUMNS)
    return Splits(
        train=_part(images[train], said, own, train, options, "train"),
        validation=_part(images[validation], label[validation], even, validation, options, "validation"),
        test=_crossed(test, test_label, options),
        label_names=LABEL_NAMES,
        attribute_names=ATTRIBUTE_NAMES,
    )


def read_images(folder: Path, names: tuple[str, ...], first: int) -> tuple[Tensor, Tensor]:
    """Return the images of some files, uint8 ``[n, 3, 32, 32]``, and their labels, which begin at `first`."""
    images = torch.cat([_read_mosaic(folder / name) for name in names])
    path = folder / "labels.npy"
    try:
        labels = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise DataError(f"CIFAR-10's file {path} is missing; {_HELP}") from None
    except (OSError, ValueError) as error:
        raise DataError(f"CIFAR-10's file {path} is damaged ({error}); {_HELP}") from None
    label = torch.from_numpy(labels[first : first + len(images)].astype(np.int64))
    if len(label) != len(images) or not 0 <= int(label.min()) <= int(label.max()) < LABELS:
        raise DataError(f"CIFAR-10's file {path} does not have a label from 0 to 9 for each image; {_HELP}")
    return images, label


def _read_mosaic(path: Path) -> Tensor:
    try:
        with Image.open(path) as image:
            pixels = np.asarray(image.convert("RGB"))
    except FileNotFoundError:
        raise DataError(f"CIFAR-10's file {path} is missing; {_HELP}") from None
    except (OSError, SyntaxError, ValueError) as error:
        raise DataError(f"CIFAR-10's file {path} is damaged ({error}); {_HELP}") from None
    if pixels.shape != (ROWS * SIDE, COLUMNS * SIDE, 3):
        raise DataError(f"CIFAR-10's file {path} has {pixels.shape[1]}x{pixels.shape[0]} pixels; {_HELP}")
    tiles = pixels.reshape(ROWS, SIDE, COLUMNS, SIDE, 3).transpose(0, 2, 4, 1, 3).reshape(-1, 3, SIDE, SIDE)
    return torch.from_numpy(np.ascontiguousarray(tiles))


def _part(
    images: Tensor, label: Tensor, attribute: Tensor, ids: Tensor, options: DataOptions, part: str
) -> GroupedDataset:
    x = torch.empty_like(images)
    for number, name in enumerate(ATTRIBUTE_NAMES):
        rows = torch.nonzero(attribute == number).flatten()
        if len(rows):
            x[rows] = corrupted(images[rows], name, _chance(options, f"{part}/{name}"))
    return GroupedDataset(x, label, attribute, ids, num_labels=LABELS, num_attributes=LABELS)


def _crossed(images: Tensor, label: Tensor, options: DataOptions) -> GroupedDataset:
    """Return every image under every corruption, beside each other."""
    attribute = torch.arange(LABELS).repeat(len(images))
    repeated = [column.repeat_interleave(LABELS, dim=0) for column in (images, label, torch.arange(len(images)))]
    return _part(repeated[0], repeated[1], attribute, repeated[2] * LABELS + attribute, options, "test")


def _chance(options: DataOptions, purpose: str) -> np.random.Generator:
    return numpy_generator(options.seed, f"data/corrupted-cifar10/{purpose}")
