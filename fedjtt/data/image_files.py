"""Images in files as one array of pixels, decoded row by row whenever they are asked for."""

import hashlib
import os
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import PIL
from numpy.typing import NDArray

from fedjtt.data.decoding import BadImageError, decode
from fedjtt.data.recipes import Recipe
from fedjtt.errors import DataError

Pixels = NDArray[np.uint8]
CHANNELS = 3


class PixelSource(Protocol):
    """What gives rows of an array of images that nobody has whole."""

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Images, height, width, channels."""

    @property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of what decides the pixels, beside what the files hold."""

    def stamps(self) -> NDArray[np.uint32]:
        """Return a number for every image that is another one where its file was replaced."""

    def read(self, rows: NDArray[np.int64]) -> Pixels:
        """Return rows, uint8 ``[len(rows), height, width, channels]``."""


@dataclass(frozen=True)
class ImageFiles:
    """Images in a folder.

    Attributes
    ----------
    root : Path
        What the names start from.
    names : sequence of str
        A file for every row.
    recipe : callable
        Makes a square of a picture.
    size : int
        Its side.
    """

    root: Path
    names: Sequence[str]
    recipe: Recipe
    size: int

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Images, height, width, channels."""
        return len(self.names), self.size, self.size, CHANNELS

    @property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of what decides the pixels of all rows, beside what the files hold; see :meth:`stamps`."""
        said = f"{self.root.resolve()}\n{self.recipe.__name__} {self.size} Pillow {PIL.__version__}\n"
        return hashlib.sha256((said + "\n".join(self.names)).encode()).hexdigest()

    def stamps(self) -> NDArray[np.uint32]:
        """Return a number for every file that another time of writing or another length changes; 0: there is none."""
        return np.fromiter((_stamp(f"{self.root}/{name}") for name in self.names), np.uint32, len(self.names))

    def read(self, rows: NDArray[np.int64]) -> Pixels:
        """Return rows, decoded one after another."""
        pixels = np.empty((len(rows), *self.shape[1:]), np.uint8)
        for place, row in enumerate(rows.tolist()):
            pixels[place] = self.decoded(row)
        return pixels

    def decoded(self, row: int) -> Pixels:
        """Return one image, uint8 ``[height, width, channels]``.

        Raises
        ------
        DataError
            Where the file is damaged or no image.
        """
        path = self.root / self.names[row]
        try:
            return np.asarray(self.recipe(decode(path, "RGB"), self.size))
        except BadImageError as error:
            raise DataError(f"{path} {error}; get the file anew") from None


def _stamp(path: str) -> int:
    try:
        status = os.stat(path)  # noqa: PTH116 (hundreds of thousands: a Path each would take seconds)
    except OSError:
        return 0
    return zlib.crc32(struct.pack("<qq", status.st_mtime_ns, status.st_size)) or 1
