"""Decoded images in one memory-mapped file, which every process on the host shares: a second epoch reads no JPEG.

The file has a fixed size, all rows' pixels and then a mark for each row, and grows on the disk only as rows are
written. There is no lock and nothing to clean up. A row counts when its mark is the checksum of its pixels and of the
stamp of the image file that they are from, and the mark is written after the pixels; so a row that a killed process
left half written, one of a photograph that was replaced and one that the disk has damaged are decoded again. Two
processes that meet at a row write the same bytes.
"""

import mmap
import os
import shutil
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fedjtt.data.image_files import ImageFiles, Pixels
from fedjtt.errors import DataError

MARK = np.dtype("<u4")
RESIDENT_BYTES = 1 << 27
"""Pixels that a process lets itself have mapped before it lets go of all; the host keeps them in its page cache."""

FORMAT = 1


def cache_file(folder: Path, dataset: str, files: ImageFiles) -> Path:
    """Return where a dataset's pixels at one size and by one recipe are kept."""
    return folder / f"{dataset}-{files.size}px-{files.fingerprint[:16]}-{FORMAT}.pixels"


class ImageCache:
    """Images by row, decoded once on this host.

    Parameters
    ----------
    files : ImageFiles
        What is decoded.
    stamps : ndarray
        :meth:`ImageFiles.stamps`.
    path : Path
        The file; made where it is missing.

    Raises
    ------
    DataError
        Where the disk is too small for all rows, or the file cannot be made.
    """

    def __init__(self, files: ImageFiles, stamps: NDArray[np.uint32], path: Path) -> None:
        self.path, self._files, self._stamps = path, files, stamps
        self._row_bytes = int(np.prod(files.shape[1:]))
        self._first_mark = len(stamps) * self._row_bytes
        self._map = _mapped(path, self._first_mark + len(stamps) * MARK.itemsize)
        self._pixels = np.frombuffer(self._map, np.uint8, self._first_mark).reshape(files.shape)
        self._marks = np.frombuffer(self._map, MARK, len(stamps), self._first_mark)
        self._known = np.zeros(len(stamps), bool)  # rows that this process has found whole
        self._touched = 0

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Images, height, width, channels."""
        return self._files.shape

    def read(self, rows: NDArray[np.int64]) -> Pixels:
        """Return rows; those that nobody has decoded yet are, and stay."""
        for row in np.unique(rows[~self._known[rows]]).tolist():
            if not self._holds(row):
                self._write(row)
            self._known[row] = True
        pixels = self._pixels[rows]
        self._let_go(pixels.nbytes)
        return pixels

    def _holds(self, row: int) -> bool:
        if not self._marks[row]:
            return False
        self._let_go(self._row_bytes)
        return self._mark(row, self._pixels[row]) == int(self._marks[row])

    def _mark(self, row: int, pixels: Pixels) -> int:
        return zlib.crc32(pixels.data, int(self._stamps[row])) or 1  # 0 is a row that nobody wrote

    def _write(self, row: int) -> None:
        pixels = np.ascontiguousarray(self._files.decoded(row))
        mark = np.array([self._mark(row, pixels)], MARK)
        # Through the file and not the map: a full disk is then an error, and not the process's end by SIGBUS.
        try:
            with self.path.open("r+b", buffering=0) as file:
                _write_at(file.fileno(), pixels.data.cast("B"), row * self._row_bytes)
                _write_at(file.fileno(), mark.data.cast("B"), self._first_mark + row * MARK.itemsize)
        except OSError as error:
            raise _unusable(self.path, error) from None

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


def _mapped(path: Path, size: int) -> mmap.mmap:
    """Return the file as memory to read, made where it is missing."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        there = path.stat().st_blocks * 512 if path.exists() else 0
        free = shutil.disk_usage(path.parent).free
        if size - there > free:
            raise DataError(
                f"{path.parent} has {free / 1e9:.1f} GB free, and decoded images need {(size - there) / 1e9:.1f} GB; "
                "name a folder on a larger disk as image-cache, or a smaller image-size, or set image-cache to none"
            )
        with path.open("ab") as file:
            os.truncate(file.fileno(), size)
        with path.open("rb") as file:
            return mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ)
    except OSError as error:
        raise _unusable(path, error) from None


def _unusable(path: Path, error: OSError) -> DataError:
    return DataError(
        f"decoded images cannot be kept in {path}: {error.strerror}; name another folder as image-cache, or set it to "
        "none"
    )
