"""Sums over a host's train rows from which all hosts standardise alike.

Subtracting two large numbers to get a small variance loses as many digits as they share: a year of 2000 ± 5 would lose
five, and another order of the hosts would give another encoding. Both common ways out cost something: a fixed centre
for each column has to be known before anybody has seen the data, and sums about the mean take a second exchange. Here
each sum is carried instead as three numbers: its value rounded to float64, what that rounding left over, rounded, and
what was left over then, some 159 bits in all. They stay plain sums of one exchange. Mean and standard deviation are
those of the exact sums, the same bits however the rows are spread, up to a mean of 1e13 standard deviations, from where
on float64 itself cannot tell the numbers apart and the column counts as constant.
"""

from collections.abc import Collection
from dataclasses import dataclass
from math import fsum

import numpy as np

from fedjtt.data.host_schema import Schema
from fedjtt.data.host_table import TRAIN, HostTable
from fedjtt.errors import DataError

_PARTS = 3


@dataclass(frozen=True)
class Moments:
    """What a host tells about its train rows: counts, and two sums for each numeric column.

    Attributes
    ----------
    count : int
        Train rows.
    present : ndarray
        int64 ``[c]``: rows with a number in this column.
    total, squares : ndarray
        float64 ``[c, 3]``: the sum of the numbers and of their squares, each as a value and what rounding left over.
    categories : tuple of ndarray
        For each categorical column int64 ``[values + 1]``: rows of each category and, last, those without one.
    """

    count: int
    present: np.ndarray
    total: np.ndarray
    squares: np.ndarray
    categories: tuple[np.ndarray, ...]

    def __add__(self, other: "Moments") -> "Moments":
        """Return the moments of both hosts' rows together."""
        if self._shape != other._shape:
            raise DataError(
                f"moments of {self._shape[0]} numeric columns and categories {self._shape[1:]} do not fit those of "
                f"{other._shape[0]} and {other._shape[1:]}; give all hosts the same schema"
            )
        return Moments(
            count=self.count + other.count,
            present=self.present + other.present,
            total=_added(self.total, other.total),
            squares=_added(self.squares, other.squares),
            categories=tuple(a + b for a, b in zip(self.categories, other.categories, strict=True)),
        )

    @property
    def _shape(self) -> tuple[int, ...]:
        return (len(self.present), *(len(counts) for counts in self.categories))

    def without(self, columns: Collection[str], schema: Schema) -> "Moments":
        """Return the moments with the given numeric columns as if all their numbers were missing.

        For sums that may not leave a host. The host still standardises its numbers, by what the others tell.
        """
        told = np.array([name not in columns for name in schema.numeric], dtype=bool)
        return Moments(
            self.count,
            np.where(told, self.present, 0),
            np.where(told[:, None], self.total, 0.0),
            np.where(told[:, None], self.squares, 0.0),
            self.categories,
        )


def moments_of(table: HostTable) -> Moments:
    """Return the moments of a host's train rows; validation and test rows are not looked at."""
    train = table.part(TRAIN)
    columns = [column[~np.isnan(column)] for column in train.numeric.T]
    sums = [_sums(column) for column in columns]
    return Moments(
        count=len(train),
        present=np.array([len(column) for column in columns], dtype=np.int64),
        total=np.array([total for total, _ in sums], dtype=np.float64).reshape(-1, _PARTS),
        squares=np.array([squares for _, squares in sums], dtype=np.float64).reshape(-1, _PARTS),
        categories=tuple(
            np.bincount(np.where(codes < 0, len(coded.values), codes), minlength=len(coded.values) + 1)
            for codes, coded in zip(train.categorical.T, table.schema.categorical, strict=True)
        ),
    )


def below_min_count(moments: Moments, schema: Schema, min_count: int) -> dict[str, int]:
    """Return the numeric columns whose two sums rest on fewer than `min_count` numbers, and on how many.

    A sum over nothing says only that, as the count does, and is not listed. Counts may be of any size: what may leave a
    machine are counts, and sums over at least ``min-count`` rows.
    """
    counts = zip(schema.numeric, moments.present.tolist(), strict=True)
    return {column: count for column, count in counts if 0 < count < min_count}


def _sums(numbers: np.ndarray) -> tuple[list[float], list[float]]:
    """Return the sum and the sum of squares."""
    square = numbers * numbers
    return _rounded(numbers.tolist()), _rounded([*square.tolist(), *_rounding_of(square, numbers).tolist()])


def _rounded(terms: list[float]) -> list[float]:
    """Return the exact sum of the terms in parts, each what the ones before left over; math.fsum rounds only once."""
    parts: list[float] = []
    for _ in range(_PARTS):
        parts.append(fsum([*terms, *(-part for part in parts)]))
    return parts


def _rounding_of(square: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Return ``x * x - square`` exactly, by Dekker's product (1971): x cut into halves of 26 bits."""
    scaled = x * 134217729.0  # 2**27 + 1
    high = scaled - (scaled - x)
    low = x - high
    return ((high * high - square) + 2 * high * low) + low * low  # type: ignore[no-any-return]


def _added(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    sums = [_rounded([*a, *b]) for a, b in zip(one.tolist(), two.tolist(), strict=True)]
    return np.array(sums, dtype=np.float64).reshape(-1, _PARTS)
