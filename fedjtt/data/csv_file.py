"""A CSV file as rows of cells, or one line that says what is wrong with it and where.

A row's number is its line in the file as an editor or a spreadsheet shows it: the header is row 1.
"""

import csv
import io
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fedjtt.errors import DataError, nearest

_SHOWN = 30  # names of a header in an error


@dataclass(frozen=True)
class CsvFile:
    """A file's cells, all of them texts without outer blanks.

    Attributes
    ----------
    path : Path
        Where it was read.
    header : tuple of str
        The names in the first line.
    rows : list of list of str
        Each as long as the header.
    lines : list of int
        The line of the file in which each row begins.
    """

    path: Path
    header: tuple[str, ...]
    rows: list[list[str]]
    lines: list[int]

    def index_of(self, header: str, needed_as: str) -> int:
        """Return which cell of a row stands under a header; `needed_as` is what the schema calls it."""
        found = Counter(self.header)[header]
        if found == 1:
            return self.header.index(header)
        meant = "" if header == needed_as else f" (for {needed_as!r})"
        if found:
            raise DataError(
                f"{self.path}, row 1: column {header!r}{meant} stands there {found} times; rename the others",
                f"{self.path.name}, row 1: column {needed_as!r} stands there {found} times",
            )
        raise DataError(
            f"{self.path}, row 1: column {header!r}{meant} is missing{nearest(header, self.header)}; the header is "
            f"{self._shown_header()}{self._separated_otherwise()}; where the host calls it otherwise, use [columns]",
            f"{self.path.name}, row 1: column {needed_as!r} is missing",
        )

    def _shown_header(self) -> str:
        """Return the header in one line, of a very wide one the beginning."""
        names = ", ".join(" ".join(name.split()) for name in self.header[:_SHOWN])
        return names if len(self.header) <= _SHOWN else f"{names} and {len(self.header) - _SHOWN} more"

    def _separated_otherwise(self) -> str:
        """Return a hint where a header of one cell holds another usual separator."""
        if len(self.header) > 1:
            return ""
        names = {";": "';'", "\t": "a tab", "|": "'|'", ",": "','"}
        return "".join(
            f"; it is separated by {name}: set delimiter" for mark, name in names.items() if mark in self.header[0]
        )


def read_csv(
    path: Path,
    delimiter: str = ",",
    names: Sequence[str] = (),
    comment: str = "",
    quotes: bool = True,
    only: Sequence[str] = (),
) -> CsvFile:
    """Read a UTF-8 CSV file with a header.

    Empty lines are passed over; what is quoted may hold delimiters and line breaks.

    Parameters
    ----------
    names : sequence of str
        What the columns are called in a file that may come without a header: a first row that begins with the first of
        them is one, and its other names do not count.
    comment : str
        How lines begin that are passed over; empty: none are.
    quotes : bool
        Whether a cell may be quoted; in a file without quotes the sign stands for itself.
    only : sequence of str
        The columns to keep, of a file that would fill the memory with others; empty: all.

    Raises
    ------
    DataError
        A missing, unreadable or empty file, text that is not UTF-8, a row that is longer or shorter than the header, a
        quote that is not closed, no row at all. Its text names the file, the row and, where there is one, the column.
    """
    text = _decoded(path, delimiter)
    source = io.StringIO(text, newline="")
    quoting: Literal[0, 3] = csv.QUOTE_MINIMAL if quotes else csv.QUOTE_NONE
    reader = csv.reader(source, delimiter=delimiter, strict=True, quoting=quoting)
    header: tuple[str, ...] = tuple(names)
    rows: list[list[str]] = []
    lines: list[int] = []
    kept: list[int] = []
    begin = 1
    try:
        for cells in reader:
            row, line, begin = [cell.strip() for cell in cells], begin, reader.line_num + 1
            if not row or (row == [""] and len(header) != 1) or (comment and row[0].startswith(comment)):
                continue
            if names and not rows and row[0] == header[0] and len(row) == len(header):
                continue
            if not header:
                header = tuple(row)
                kept = [CsvFile(path, header, [], []).index_of(name, name) for name in only]
                continue
            if len(row) != len(header):
                raise _ragged(path, line, row, header)
            rows.append([row[place] for place in kept] if only else row)
            lines.append(line)
    except csv.Error as error:
        raise DataError(
            f"{path}, row {begin}: {error}; check the quotes of this row", f"{path.name}, row {begin}"
        ) from None
    if not rows:
        raise _empty(path, header)
    return CsvFile(path, tuple(only) or header, rows, lines)


def _decoded(path: Path, delimiter: str) -> str:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"{path} is missing; name the CSV file where it is", f"{path.name} is missing") from None
    except OSError as error:
        raise DataError(
            f"{path} cannot be read: {error.strerror}; name a CSV file that this user may read",
            f"{path.name} cannot be read",
        ) from None
    try:
        text = content.decode("utf-8-sig")
        broken = text.find("\0")  # two-byte encodings without a mark decode well, with a zero beside every letter
        if broken < 0:
            return text
        content, start = text.encode(), len(text[:broken].encode())
    except UnicodeDecodeError as error:
        content, start = error.object, error.start
    row = content.count(b"\n", 0, start) + 1
    raise DataError(
        f"{path}, {_position(content, start, delimiter)}: byte 0x{content[start]:02x} is not UTF-8 text; "
        "save the file as CSV in UTF-8",
        f"{path.name}, row {row}: not UTF-8 text",
    )


def _position(content: bytes, start: int, delimiter: str) -> str:
    """Return the row and, by counting delimiters, the column of a byte that cannot be read."""
    row = content.count(b"\n", 0, start) + 1
    number = content[content.rfind(b"\n", 0, start) + 1 : start].count(delimiter.encode())
    header = content.split(b"\n", 1)[0].decode("utf-8-sig", "replace").split(delimiter)
    name = repr(header[number].strip()) if row > 1 and number < len(header) else str(number + 1)
    return f"row {row}, column {name}"


def _empty(path: Path, header: Sequence[str]) -> DataError:
    what = "has a header and no rows" if header else "is empty"
    return DataError(
        f"{path}, row 1: the file {what}; give it a header and a line for every example",
        f"{path.name}, row 1: the file {what}",
    )


def _ragged(path: Path, line: int, row: list[str], header: Iterable[str]) -> DataError:
    names = list(header)
    where = f"column {names[len(row)]!r}" if len(row) < len(names) else f"column {len(names) + 1}"
    what = "the row ends before it" if len(row) < len(names) else "the header ends before it"
    return DataError(
        f"{path}, row {line}, {where}: {what}; the row has {len(row)} cells and the header {len(names)}: "
        "quote cells that hold the delimiter, and leave no cell out",
        f"{path.name}, row {line}: {len(row)} cells under a header of {len(names)}",
    )
