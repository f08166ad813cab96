"""Features as a column of a dataset: a dataset's x that a frozen network makes of another."""

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fedjtt.data.image_rows import ImageRows


class FeatureSource(Protocol):
    """What gives rows of an array of features that nobody has whole."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows, features."""

    def read(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return rows, float32 ``[len(rows), features]``."""


@dataclass(frozen=True)
class FeatureRows:
    """Rows of a source of features, in the place of a float32 tensor ``[n, features]``.

    Attributes
    ----------
    source : FeatureSource
        Where features come from; several datasets may share one.
    index : ndarray
        int64 ``[n]``: the source's row of each of ours.
    """

    source: FeatureSource
    index: NDArray[np.int64]
    shape: tuple[int, ...] = field(init=False)

    def __post_init__(self) -> None:
        """Say the shape as a tensor would."""
        object.__setattr__(self, "shape", (len(self.index), self.source.shape[1]))

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.index)

    def __getitem__(self, rows: Tensor) -> "FeatureRows":
        """Return some of the rows; nothing is read."""
        return FeatureRows(self.source, self.index[rows.numpy()])

    def dim(self) -> int:
        """Return the number of dimensions."""
        return len(self.shape)

    def read(self, rows: Tensor) -> Tensor:
        """Return rows, float32 ``[len(rows), features]``."""
        return torch.from_numpy(self.source.read(self.index[rows.numpy()]))


Inputs = Tensor | ImageRows | FeatureRows
"""What a dataset's x may be."""
