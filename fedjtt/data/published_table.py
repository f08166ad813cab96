"""A published table as train, validation and test parts: its file, who is held out, and its columns as inputs."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from fedjtt.data.encoding import Encoding, encode
from fedjtt.data.grouped import Splits
from fedjtt.data.host_table import TEST, TRAIN, VALIDATION, HostTable
from fedjtt.data.moments import moments_of
from fedjtt.data.options import DataOptions
from fedjtt.data.spurious import noisy_labels
from fedjtt.data.stratify import apportion, shuffled_classes, take_first
from fedjtt.errors import DataError
from fedjtt.seeding import numpy_generator


def folder_of(options: DataOptions, name: str = "") -> Path:
    """Return the folder of that name in the data-dir; without one, of the dataset's name."""
    return options.root / (name or options.dataset)


def find_file(options: DataOptions, name: str, folder: str = "") -> Path:
    """Return where a file of the dataset is, in :func:`folder_of`.

    Raises
    ------
    DataError
        It is not there.
    """
    path = folder_of(options, folder) / name
    if not path.is_file():
        raise DataError(
            f"{options.dataset}'s file {path} is missing; set --data-dir or FEDJTT_DATA to the folder that holds "
            f"{folder or options.dataset}/{name}"
        )
    return path


def hold_out(table: HostTable, options: DataOptions, validation: float, test: float = 0.0) -> HostTable:
    """Return the rows with shares of them in validation and test, drawn by seed; every group is split alike."""
    if table.attribute is None or table.schema.attribute is None:
        raise DataError(f"{table.source} has no attribute to split by")
    width = len(table.schema.attribute.values)
    group = table.label * width + table.attribute
    return replace(table, split=draw_split(group, width * len(table.schema.label.values), options, validation, test))


def draw_split(group: np.ndarray, groups: int, options: DataOptions, validation: float, test: float) -> np.ndarray:
    """Return every row's part, drawn by seed: shares of all rows are held out, of every group alike."""
    chance = numpy_generator(options.seed, f"data/{options.dataset}/split")
    left = shuffled_classes(torch.from_numpy(group), groups, chance)
    split = np.full(len(group), TRAIN)
    for part, share in ((TEST, test), (VALIDATION, validation)):
        counts = np.array([len(rows) for rows in left])
        taken, left = take_first(left, apportion(counts, round(share * len(group))))
        split[taken.numpy()] = part
    return split


def splits_of_tables(table: HostTable, test: HostTable | None, options: DataOptions) -> Splits:
    """Return the three parts as inputs, standardised by the train rows; ``label-noise`` is the train labels'.

    Parameters
    ----------
    test : HostTable or None
        A test file of its own, all of it; None: the test rows of `table`.
    """
    encoding = Encoding.from_moments(moments_of(table))
    train = encode(table.part(TRAIN), encoding)
    chance = numpy_generator(options.seed, f"data/{options.dataset}/train/label-noise")
    schema = table.schema
    return Splits(
        train=replace(train, label=noisy_labels(train.label, train.num_labels, options.label_noise, chance)),
        validation=encode(table.part(VALIDATION), encoding),
        test=encode(table.part(TEST) if test is None else test, encoding),
        label_names=schema.label.names,
        attribute_names=schema.attribute.names if schema.attribute else (),
    )
