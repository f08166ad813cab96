"""A published set of texts, or of pairs of them, as train, validation and test parts of tokens."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from fedjtt.data.csv_file import CsvFile
from fedjtt.data.grouped import GroupedDataset, Splits
from fedjtt.data.host_table import TEST, TRAIN, VALIDATION
from fedjtt.data.options import DataOptions
from fedjtt.data.spurious import noisy_labels
from fedjtt.data.tokens import hashed
from fedjtt.errors import DataError, nearest
from fedjtt.pretrained_text import tokenised
from fedjtt.seeding import numpy_generator


@dataclass(frozen=True)
class TextTable:
    """The rows of a dataset; an id is a row's place.

    Attributes
    ----------
    texts : tuple of list of str
        One list of texts, or the two of a set of pairs.
    label, attribute, split : ndarray
        int64 ``[n]``; the split is ``TRAIN``, ``VALIDATION`` or ``TEST`` of host_table.
    label_names, attribute_names, kind_names : tuple of str
        What their values, and the columns of `memberships`, are called.
    memberships : ndarray or None
        Bool ``[n, m]``; see :class:`fedjtt.data.grouped.GroupedDataset`.
    notes : tuple of str
        What a result should say of the data.
    """

    texts: tuple[Sequence[str], ...]
    label: np.ndarray
    attribute: np.ndarray
    split: np.ndarray
    label_names: tuple[str, ...]
    attribute_names: tuple[str, ...]
    memberships: np.ndarray | None = None
    kind_names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def tokens_of(texts: tuple[Sequence[str], ...], options: DataOptions) -> np.ndarray:
    """Return int32 ``[n, length]``; of pairs whose words are hashed ``[n, 2, length]``.

    A pretrained network's tokenizer makes one text of a pair, as that network was trained.
    """
    if options.text_model:
        return tokenised(texts, options.text_model, options.max_length, options.download)
    parts = [hashed(each, options.max_length) for each in texts]
    return parts[0] if len(parts) == 1 else np.stack(parts, axis=1)


def splits_of_texts(table: TextTable, options: DataOptions) -> Splits:
    """Return the three parts; ``label-noise`` is the train labels'."""
    tokens = torch.from_numpy(tokens_of(table.texts, options))
    train, validation, test = (_part(table, tokens, part) for part in (TRAIN, VALIDATION, TEST))
    chance = numpy_generator(options.seed, f"data/{options.dataset}/train/label-noise")
    noisy = noisy_labels(train.label, train.num_labels, options.label_noise, chance)
    names = (table.label_names, table.attribute_names, table.kind_names)
    return Splits(replace(train, label=noisy), validation, test, *names, notes=table.notes)


def _part(table: TextTable, tokens: Tensor, part: int) -> GroupedDataset:
    rows = np.flatnonzero(table.split == part)
    return GroupedDataset(
        x=tokens[torch.from_numpy(rows)],
        label=torch.from_numpy(table.label[rows]),
        attribute=torch.from_numpy(table.attribute[rows]),
        id=torch.from_numpy(rows),
        num_labels=len(table.label_names),
        num_attributes=len(table.attribute_names),
        memberships=None if table.memberships is None else torch.from_numpy(table.memberships[rows]),
    )


def coded(read: CsvFile, column: str, values: Sequence[str]) -> np.ndarray:
    """Return which of the values each cell of a column is, int64 ``[n]``.

    Raises
    ------
    DataError
        Where a cell is none of them; the line names file, row and column.
    """
    place, number = read.index_of(column, column), {value: index for index, value in enumerate(values)}
    codes = np.array([number.get(row[place], -1) for row in read.rows], dtype=np.int64)
    if (codes < 0).any():
        first = int(np.argmax(codes < 0))
        value = read.rows[first][place]
        raise wrong(read, first, column, f"unknown value {value!r}{nearest(value, values)}; allowed are", values)
    return codes


def check_unique(read: CsvFile, column: str) -> None:
    """Refuse a file in which a row stands twice."""
    place, seen = read.index_of(column, column), dict[str, int]()
    for row, line in enumerate(read.lines):
        before = seen.setdefault(read.rows[row][place], line)
        if before != line:
            raise wrong(
                read, row, column, f"{read.rows[row][place]!r} stands in row {before} already; remove one of them"
            )


def wrong(read: CsvFile, row: int, column: str, what: str, values: Sequence[str] = ()) -> DataError:
    """Return the error about a cell, in one line that names file, row and column."""
    where = f"row {read.lines[row]}, column {column!r}"
    allowed = f" {', '.join(values)}" if values else ""
    return DataError(f"{read.path}, {where}: {what}{allowed}", f"{Path(read.path).name}, {where}")
