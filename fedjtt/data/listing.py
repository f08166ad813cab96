"""What a dataset's own lists say of its images: the file, label, attribute and split of each, and what is wrong."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from fedjtt.data.csv_file import CsvFile
from fedjtt.data.host_schema import SPLITS

Codes = NDArray[np.int64]
UNKNOWN = -1
SPLIT_CODES = {"0": 0, "1": 1, "2": 2}
"""Train, validation and test, as all of WILDS' files have it."""


@dataclass(frozen=True)
class Listing:
    """A row for every image, in the order of the dataset's own list: its place there is its id.

    Attributes
    ----------
    source : Path
        The list.
    images : Path
        The folder that the names start from.
    names : list of str
        The images' files.
    lines : list of int
        The line of the list in which each stands.
    label, attribute, split : ndarray
        int64 ``[n]``; -1 where the list says nothing that can be understood.
    problems : list of str
        What is wrong with the lists, a line each.
    """

    source: Path
    images: Path
    names: list[str]
    lines: list[int]
    label: Codes
    attribute: Codes
    split: Codes
    problems: list[str]

    def counts(self, num_labels: int, num_attributes: int) -> dict[str, tuple[int, ...]]:
        """Return the groups' sizes in each split, of the rows that could be understood."""
        understood = (self.label >= 0) & (self.attribute >= 0)
        group = self.label * num_attributes + self.attribute
        size = num_labels * num_attributes
        return {
            name: tuple(np.bincount(group[understood & (self.split == code)], minlength=size).tolist())
            for code, name in enumerate(SPLITS)
        }

    def about(self, row: int) -> str:
        """Return the image's file and where the list names it."""
        return f"{self.images / self.names[row]} ({self.source.name}, row {self.lines[row]})"


def read_codes(file: CsvFile, column: str, codes: Mapping[str, int], problems: list[str]) -> Codes:
    """Return a column's codes; what has none is a problem and -1."""
    cell = file.index_of(column, column)
    found = np.array([codes.get(row[cell], UNKNOWN) for row in file.rows], dtype=np.int64)
    for row in np.flatnonzero(found == UNKNOWN).tolist():
        problems.append(
            f"{file.path}, row {file.lines[row]}, column {column!r}: {file.rows[row][cell]!r} is unknown; allowed are "
            f"{', '.join(codes)}"
        )
    return found


def read_names(file: CsvFile, column: str, problems: list[str]) -> list[str]:
    """Return a column of file names; one that leads out of its folder, or stands there twice, is a problem."""
    cell = file.index_of(column, column)
    names = [row[cell] for row in file.rows]
    first: dict[str, int] = {}
    for name, line in zip(names, file.lines, strict=True):
        about = f"{file.path}, row {line}, column {column!r}: {name!r}"
        if name in first:
            problems.append(f"{about} stands in row {first[name]} already; drop one of the two")
        elif _leads_out(name):
            problems.append(f"{about} is no file below the dataset's folder")
        first.setdefault(name, line)
    return names


def _leads_out(name: str) -> bool:
    return not name or name.startswith("/") or (".." in name and ".." in PurePosixPath(name).parts)


def in_order_of(names: Sequence[str], file: CsvFile, column: str, codes: Codes, problems: list[str]) -> Codes:
    """Return a second list's codes, in the order of the first list's names; a name in one list only is a problem."""
    cell = file.index_of(column, column)
    others = {row[cell]: place for place, row in enumerate(file.rows)}
    known = set(names)
    for row, line in zip(file.rows, file.lines, strict=True):
        if row[cell] not in known:
            problems.append(
                f"{file.path}, row {line}, column {column!r}: {row[cell]!r} is in no other list; drop the row"
            )
    for name in names:
        if name not in others:
            problems.append(f"{file.path} has no row for {name!r}; add it")
    return np.array([codes[others[name]] if name in others else UNKNOWN for name in names], dtype=np.int64)
