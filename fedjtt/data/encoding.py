"""Columns as a network takes them: standardised, missing numbers filled in and marked, categories one-hot."""

from dataclasses import dataclass
from fractions import Fraction
from math import sqrt
from pathlib import Path

import numpy as np
import torch

from fedjtt.data.grouped import GroupedDataset, Splits
from fedjtt.data.host_schema import NO_ATTRIBUTE, Schema
from fedjtt.data.host_table import TEST, TRAIN, VALIDATION, HostTable
from fedjtt.data.moments import Moments
from fedjtt.errors import DataError

CONSTANT = Fraction(1, 10**26)
"""Below this share of the squared mean, a variance is what float64 left of equal numbers."""


@dataclass(frozen=True)
class Encoding:
    """How every host turns its columns into inputs; a function of the summed moments alone.

    Attributes
    ----------
    mean, std : ndarray
        float64 ``[c]`` of the train rows of all hosts (std with divisor n). std is 1 where all numbers are equal, and
        mean 0 and std 1 where nobody has one.
    has_missing : ndarray
        Bool ``[c]``: columns in which a number is missing somewhere, which get an input of their own that says so.
    categories : tuple of int
        The number of values of each categorical column; each has one more input, for missing.
    """

    mean: np.ndarray
    std: np.ndarray
    has_missing: np.ndarray
    categories: tuple[int, ...]

    @classmethod
    def from_moments(cls, moments: Moments) -> "Encoding":
        """Return the encoding of the hosts whose moments were added up."""
        if moments.count == 0:
            raise DataError("no host has a train row, so there is nothing to standardise by; check the split")
        sums = zip(moments.present.tolist(), moments.total.tolist(), moments.squares.tolist(), strict=True)
        scales = np.array([_scale(*each) for each in sums], dtype=np.float64).reshape(-1, 2)
        return cls(
            mean=scales[:, 0],
            std=scales[:, 1],
            has_missing=moments.present < moments.count,
            categories=tuple(len(counts) - 1 for counts in moments.categories),
        )

    @property
    def width(self) -> int:
        """The number of inputs."""
        return len(self.mean) + int(self.has_missing.sum()) + sum(self.categories) + len(self.categories)


def _scale(present: int, total: list[float], squares: list[float]) -> tuple[float, float]:
    """Return mean and standard deviation; in fractions, because the difference of the sums is all that counts."""
    if present == 0:
        return 0.0, 1.0
    mean = sum(map(Fraction, total), Fraction()) / present
    variance = sum(map(Fraction, squares), Fraction()) / present - mean * mean
    return float(mean), 1.0 if variance <= CONSTANT * mean * mean else sqrt(variance)


def input_names(schema: Schema, encoding: Encoding) -> tuple[str, ...]:
    """Return what each input is: ``age``, ``age missing``, ``sex = 1``, ``sex missing``."""
    marks = [name for name, some in zip(schema.numeric, encoding.has_missing.tolist(), strict=True) if some]
    categories = [
        name
        for coded in schema.categorical
        for name in (*(f"{coded.column} = {value}" for value in coded.values), f"{coded.column} missing")
    ]
    return (*schema.numeric, *(f"{name} missing" for name in marks), *categories)


def encode(table: HostTable, encoding: Encoding) -> GroupedDataset:
    """Return a host's rows as inputs, float32 ``[n, width]``, with the rows' places in the file as ids.

    Numbers come first, then the marks of missing ones, then the categories. A missing number is the mean, 0. One that
    is missing where no train row of any host misses one is the mean without a mark.

    Raises
    ------
    DataError
        Moments of another schema; a number so far from the mean that float32 cannot hold it.
    """
    sizes = tuple(len(coded.values) for coded in table.schema.categorical)
    if (table.numeric.shape[1], sizes) != (len(encoding.mean), encoding.categories):
        raise DataError(
            f"the encoding has {len(encoding.mean)} numbers and categories of {list(encoding.categories)} values, the "
            f"schema {table.numeric.shape[1]} and {list(sizes)}; give all hosts the same schema"
        )
    unknown = np.isnan(table.numeric)
    with np.errstate(over="ignore"):  # what does not fit becomes infinite, and is refused by name
        numbers = ((np.where(unknown, encoding.mean, table.numeric) - encoding.mean) / encoding.std).astype(np.float32)
    _check_finite(numbers, table)
    hot = [
        np.eye(size + 1, dtype=np.float32)[np.where(codes < 0, size, codes)]
        for size, codes in zip(sizes, table.categorical.T, strict=True)
    ]
    x = np.concatenate([numbers, unknown[:, encoding.has_missing].astype(np.float32), *hot], axis=1)
    schema, attribute = table.schema, table.attribute
    return GroupedDataset(
        x=torch.from_numpy(x),
        label=torch.from_numpy(table.label),
        attribute=None if attribute is None else torch.from_numpy(attribute),
        id=torch.from_numpy(table.row),
        num_labels=len(schema.label.values),
        num_attributes=len(schema.attribute.values) if schema.attribute else 1,
    )


def _check_finite(numbers: np.ndarray, table: HostTable) -> None:
    for row, column in np.argwhere(~np.isfinite(numbers))[:1].tolist():
        raise DataError(
            f"{table.source}, row {table.line[row]}, column {table.schema.numeric[column]!r}: "
            f"{table.numeric[row, column]:g} is too far from the mean of the train rows to be an input; correct it",
            f"{Path(table.source).name}, row {table.line[row]}, column {table.schema.numeric[column]!r}",
        )


def encode_splits(table: HostTable, encoding: Encoding) -> Splits:
    """Return a host's three parts; any of them may be empty."""
    schema = table.schema
    return Splits(
        train=encode(table.part(TRAIN), encoding),
        validation=encode(table.part(VALIDATION), encoding),
        test=encode(table.part(TEST), encoding),
        label_names=schema.label.names,
        attribute_names=schema.attribute.names if schema.attribute else (NO_ATTRIBUTE,),
    )
