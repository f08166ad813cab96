"""Decoded images kept on the disk: a second epoch reads no JPEG; see :mod:`fedjtt.data.row_file`."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fedjtt.data.image_files import ImageFiles, Pixels
from fedjtt.data.row_file import Purpose, RowFile

FORMAT = 1
PIXELS = Purpose(
    "decoded images",
    "image-cache",
    smaller=", or a smaller image-size, or set image-cache to none",
    without=", or set it to none",
)


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
    """

    def __init__(self, files: ImageFiles, stamps: NDArray[np.uint32], path: Path) -> None:
        self.path, self._files, self._stamps = path, files, stamps
        self._rows = RowFile(path, files.shape, np.uint8, stamps, PIXELS)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Images, height, width, channels."""
        return self._files.shape

    @property
    def fingerprint(self) -> str:
        """What decides the pixels, beside what the files hold."""
        return self._files.fingerprint

    def stamps(self) -> NDArray[np.uint32]:
        """Return what the files' state was when they were found."""
        return self._stamps

    def read(self, rows: NDArray[np.int64]) -> Pixels:
        """Return rows; those that nobody has decoded yet are, and stay."""
        return self._rows.read(rows, self._files.read)
