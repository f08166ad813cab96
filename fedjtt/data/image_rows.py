"""Images as a column of a dataset, read when a batch is made: a dataset's x that is not in memory."""

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fedjtt.data.image_files import PixelSource


@dataclass(frozen=True)
class ImageRows:
    """Rows of a source of pixels, in the place of a uint8 tensor ``[n, channels, height, width]``.

    Attributes
    ----------
    source : PixelSource
        Where pixels come from; several datasets share one.
    index : ndarray
        int64 ``[n]``: the source's row of each of ours.
    mean, std : tuple of float
        What the channels, scaled to [0, 1], are standardised by when a batch is made.
    """

    source: PixelSource
    index: NDArray[np.int64]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    shape: tuple[int, ...] = field(init=False)

    def __post_init__(self) -> None:
        """Say the shape as a tensor would."""
        _, height, width, channels = self.source.shape
        object.__setattr__(self, "shape", (len(self.index), channels, height, width))

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.index)

    def __getitem__(self, rows: Tensor) -> "ImageRows":
        """Return some of the rows; nothing is read."""
        return ImageRows(self.source, self.index[rows.numpy()], self.mean, self.std)

    def dim(self) -> int:
        """Return the number of dimensions."""
        return len(self.shape)

    def read(self, rows: Tensor) -> Tensor:
        """Return the pixels of rows, uint8 ``[len(rows), channels, height, width]``, channels last in memory."""
        return torch.from_numpy(self.source.read(self.index[rows.numpy()])).permute(0, 3, 1, 2)

    def standardised(self, pixels: Tensor) -> Tensor:
        """Return what :meth:`read` read as float32, scaled to [0, 1] and standardised channel by channel."""
        images, channels, height, width = pixels.shape
        mean, std = (torch.tensor(values, device=pixels.device) for values in (self.mean, self.std))
        # A picture's lines, so that the inner loop is as long as a line and not as the three channels.
        lines = pixels.permute(0, 2, 3, 1).reshape(images * height, width * channels)
        scaled = torch.sub(lines, (255 * mean).repeat(width)).mul_((1 / (255 * std)).repeat(width))
        return scaled.view(images, height, width, channels).permute(0, 3, 1, 2)
