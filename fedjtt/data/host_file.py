"""A host's CSV file in the schema's words: cells by column name, and errors that say where."""

import math
from collections.abc import Callable
from pathlib import Path

from fedjtt.data.cells import Value, value_of
from fedjtt.data.csv_file import CsvFile, read_csv
from fedjtt.data.host_format import HostFormat
from fedjtt.data.host_schema import SPLITS, Coded
from fedjtt.errors import DataError, nearest
from fedjtt.seeding import derive_seed

LARGEST = 1e100  # its square is still a number, with room for the sum over any file
"""Numbers beyond it are refused."""


class HostFile:
    """Rows of a host's file, each cell by the schema's name of its column.

    Parameters
    ----------
    source : Path or CsvFile
        The CSV file, or what was read from one.
    host : HostFormat
        Its headers and notation.
    columns : tuple of str
        The schema's columns, all of which the file must have.
    is_missing : callable
        Whether a value of a column says that nothing is known.

    Raises
    ------
    DataError
        What :func:`fedjtt.data.csv_file.read_csv` refuses, and a column that is missing or stands there twice.
    """

    def __init__(
        self,
        source: Path | CsvFile,
        host: HostFormat,
        columns: tuple[str, ...],
        is_missing: Callable[[str, Value], bool],
    ) -> None:
        host.check(columns)
        self._file = source if isinstance(source, CsvFile) else read_csv(source, host.delimiter)
        self._host = host
        self._is_missing = is_missing
        self._index = {name: self._file.index_of(host.columns.get(name, name), name) for name in columns}
        self.path = self._file.path
        self.lines = self._file.lines

    def __len__(self) -> int:
        """Return the number of rows without the header."""
        return len(self._file.rows)

    def text(self, row: int, column: str) -> str:
        """Return what the cell says, in the host's own words."""
        return self._file.rows[row][self._index[column]]

    def value(self, row: int, column: str) -> Value | None:
        """Return what the cell says in the schema's words, or None where it says that nothing is known."""
        text = self.text(row, column)
        translated = self._host.values.get(column, {}).get(text)
        value = value_of(text, self._host.decimal) if translated is None else value_of(translated)
        return None if self._is_missing(column, value) else value

    def number(self, row: int, column: str) -> float:
        """Return a finite number, or NaN where it is missing."""
        value = self.value(row, column)
        if value is None:
            return math.nan
        text = self.text(row, column)
        if isinstance(value, str):
            if value.lstrip("+-").casefold() in ("inf", "infinity"):
                raise self.error(row, column, f"{text!r} is infinite; write a number, or ? where it is not known")
            raise self.error(
                row,
                column,
                f"{text!r} is not a number; write one such as 63 or 0{self._host.decimal}7, or ? where it is not known",
            )
        if abs(value) > LARGEST:
            raise self.error(row, column, f"{text!r} is infinite or beyond {LARGEST:g}; correct it, or write ?")
        return value

    def coded(self, row: int, coded: Coded) -> int:
        """Return the code of a category, or -1 where it is missing."""
        value = self.value(row, coded.column)
        if value is None:
            return -1
        code = coded.code(value)
        if code is None:
            near = nearest(str(value), coded.values) if isinstance(value, str) and not coded.rule else ""
            raise self.error(
                row,
                coded.column,
                f"unknown value {self.text(row, coded.column)!r}{near}; allowed are {coded.allowed}; correct it, "
                f"or translate it under [values.{coded.column}]",
            )
        return code

    def required(self, row: int, coded: Coded, role: str) -> int:
        """Return the code of a value that must be known, such as the label."""
        code = self.coded(row, coded)
        if code < 0:
            raise self.error(
                row, coded.column, f"the {role} is missing; allowed are {coded.allowed}; fill it in, or drop the row"
            )
        return code

    def error(self, row: int, column: str, text: str) -> DataError:
        """Return an error about one cell."""
        header = self._host.columns.get(column, column)
        meant = "" if header == column else f" (for {column!r})"
        where = f"{self.path.name}, row {self.lines[row]}, column {column!r}"
        return DataError(f"{self.path}, row {self.lines[row]}, column {header!r}{meant}: {text}", where)

    def unique(self, column: str) -> Callable[[int], None]:
        """Return a check to be called row by row: the column says something, and nothing twice."""
        seen: dict[str, int] = {}

        def check(row: int) -> None:
            text = self.text(row, column)
            if self.value(row, column) is None:
                raise self.error(row, column, "the id is missing; give every row one, or name no id column")
            if text in seen:
                raise self.error(
                    row, column, f"id {text!r} stands in row {seen[text]} already; keep one of the two rows"
                )
            seen[text] = self.lines[row]

        return check


def drawn_split(row: int, shares: tuple[float, ...], seed: int, partition_id: int) -> int:
    """Return the split of a row, a function of the seed, the machine and the row and of nothing else.

    A row that is added or left out changes no other row's split; the shares are met on average.
    """
    point = (derive_seed(seed, f"data/split/{row}", partition_id=partition_id) >> 10) / 2**53  # exact, and below 1
    return sum(point >= edge for edge in (shares[0], shares[0] + shares[1]))


def split_of(
    file: HostFile, row: int, split: Coded | None, shares: tuple[float, ...] | None, seed: int, partition_id: int
) -> int:
    """Return where a row belongs, 0 to 2 as in :data:`fedjtt.data.host_schema.SPLITS`: by its column or by a draw."""
    if split is not None:
        return file.required(row, split, f"split ({', '.join(SPLITS)})")
    return drawn_split(row, shares or (1.0, 0.0, 0.0), seed, partition_id)
