"""Rows that are dear to make, kept in one memory-mapped file that every process on the host shares.

The file has a fixed size, all rows and then a mark for each, and grows on the disk only as rows are written. There is
no lock and nothing to clean up. A row counts when its mark is the checksum of its bytes and of the stamp of what it is
made from, and the mark is written after the row; so a row that a killed process left half written, one of which the
source was replaced and one that the disk has damaged are made again. Two processes that meet at a row write the same
bytes.
"""

import logging
import mmap
import os
import shutil
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fedjtt.errors import DataError

MARK = np.dtype("<u4")
RESIDENT_BYTES = 1 << 27
"""Rows that a process lets itself have mapped before it lets go of all; the host keeps them in its page cache."""

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Purpose:
    """What errors call the rows, and what they say to do.

    Attributes
    ----------
    name : str
        What the rows are, in the plural.
    key : str
        The key that names their folder.
    smaller, without : str
        What else helps where the disk is too small, and where the file cannot be made; after what the key can do.
    """

    name: str
    key: str
    smaller: str = ""
    without: str = ""


class RowFile:
    """Rows of an array, made once on this host.

    Parameters
    ----------
    path : Path
        The file; made where it is missing.
    shape : tuple of int
        Of the whole array, rows first.
    stamps : ndarray
        uint32 ``[rows]``: another number where a row is made from something else than before.

    Raises
    ------
    DataError
        Where the disk is too small for all rows, or the file cannot be made.
    """

    def __init__(
        self, path: Path, shape: tuple[int, ...], dtype: DTypeLike, stamps: NDArray[np.uint32], purpose: Purpose
    ) -> None:
        self.path, self.shape, self._stamps, self._purpose = path, shape, stamps, purpose
        self._dtype = np.dtype(dtype)
        self._row_bytes = int(np.prod(shape[1:])) * self._dtype.itemsize
        self._first_mark = shape[0] * self._row_bytes
        self._map = _mapped(path, self._first_mark + shape[0] * MARK.itemsize, purpose)
        self._rows = np.frombuffer(self._map, self._dtype, self._first_mark // self._dtype.itemsize).reshape(shape)
        self._marks = np.frombuffer(self._map, MARK, shape[0], self._first_mark)
        self._known = np.zeros(shape[0], bool)  # rows that this process has found whole
        self._touched = 0

    def read(self, rows: Rows, make: Callable[[Rows], NDArray[Any]], chunk: int = 1) -> NDArray[Any]:
        """Return rows; those that nobody has made yet are made, at most `chunk` at once, and stay."""
        unknown = np.unique(rows[~self._known[rows]])
        missing = [row for row in unknown.tolist() if not self._holds(row)]
        self._say_damaged(missing)
        for first in range(0, len(missing), chunk):
            several = missing[first : first + chunk]
            for row, content in zip(several, make(np.array(several, dtype=np.int64)), strict=True):
                self.write(row, content)
        self._known[unknown] = True
        found = self._rows[rows]
        self._let_go(found.nbytes)
        return found

    def write(self, row: int, content: NDArray[Any]) -> None:
        """Write a row, and then its mark."""
        content = np.ascontiguousarray(content, dtype=self._dtype)
        mark = np.array([self._mark(row, content)], MARK)
        # Through the file and not the map: a full disk is then an error, and not the process's end by SIGBUS.
        try:
            with self.path.open("r+b", buffering=0) as file:
                _write_at(file.fileno(), content.data.cast("B"), row * self._row_bytes)
                _write_at(file.fileno(), mark.data.cast("B"), self._first_mark + row * MARK.itemsize)
        except OSError as error:
            raise _unusable(self.path, error, self._purpose) from None

    def _holds(self, row: int) -> bool:
        if not self._marks[row]:
            return False
        self._let_go(self._row_bytes)
        return self._mark(row, self._rows[row]) == int(self._marks[row])

    def _mark(self, row: int, content: NDArray[Any]) -> int:
        return zlib.crc32(content.data.cast("B"), int(self._stamps[row])) or 1  # 0 is a row that nobody wrote

    def _say_damaged(self, missing: list[int]) -> None:
        if damaged := int(np.count_nonzero(self._marks[missing])):
            logging.getLogger(__name__).warning(
                "%s: %d rows are damaged, or of what has been replaced; they are made again", self.path, damaged
            )

    def _let_go(self, more: int) -> None:
        """Count what was read, and unmap it all now and then: what is mapped counts as this process's memory."""
        self._touched += more
        if self._touched > RESIDENT_BYTES:
            self._map.madvise(mmap.MADV_DONTNEED)
            self._touched = 0


def _write_at(descriptor: int, content: memoryview, offset: int) -> None:
    while content:
        written = os.pwrite(descriptor, content, offset)
        content, offset = content[written:], offset + written


def _mapped(path: Path, size: int, purpose: Purpose) -> mmap.mmap:
    """Return the file as memory to read, made where it is missing."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        there = path.stat().st_blocks * 512 if path.exists() else 0
        free = shutil.disk_usage(path.parent).free
        if size - there > free:
            raise DataError(
                f"{path.parent} has {free / 1e9:.1f} GB free, and {purpose.name} need {(size - there) / 1e9:.1f} GB; "
                f"name a folder on a larger disk as {purpose.key}{purpose.smaller}"
            )
        with path.open("ab") as file:
            os.truncate(file.fileno(), size)
        with path.open("rb") as file:
            return mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ)
    except OSError as error:
        raise _unusable(path, error, purpose) from None


def _unusable(path: Path, error: OSError, purpose: Purpose) -> DataError:
    return DataError(
        f"{purpose.name} cannot be kept in {path}: {error.strerror}; name another folder as {purpose.key}"
        f"{purpose.without}"
    )
