"""Random projections of gradients: phi = P^T g / sqrt(number of weights), with entries of P that are 1 or -1.

Inner products keep their value: E[phi . psi] = d / (number of weights) * (g . h), with a relative deviation of about
sqrt(2 / d) under ``dense``. Columns of P are independent; so are a column's entries under ``dense``. Under ``factored``
the entry of a layer's weight (o, i) is the product of a sign of o and a sign of i: pairwise independent, which is all
that the mean needs, at a deviation of up to sqrt(8 / d), and a gradient that is an outer product need not be formed.
"""

import math
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from fedjtt.attribution.gradients import Gradients
from fedjtt.seeding import numpy_generator

BLOCK = 4096
KEPT_SIGNS = 2**30
"""Rows of P that are drawn together, and most signs that are kept, a byte each, and not drawn anew for each chunk."""


class Projection(Protocol):
    """P for one model, at fixed weights.

    Attributes
    ----------
    gradients : Gradients
        Of the model.
    width : int
        Entries of phi.
    """

    gradients: Gradients
    width: int

    def features(self, x: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Return phi, ``[n, width]``, and the outputs, ``[n]``, of examples."""

    def direction(self, vector: Tensor) -> Tensor:
        """Return the weights' direction ``[size]`` whose inner product with a gradient is that of phi with a vector."""


def signs(seed: int, number: int, block: int, rows: int, columns: int) -> Tensor:
    """Return random signs, int8 ``[rows, columns]``: of one block of one model's P."""
    drawn = numpy_generator(seed, "projection", number, block).bytes(-(-rows * columns // 8))
    bits = np.unpackbits(np.frombuffer(drawn, dtype=np.uint8), count=rows * columns).view(np.int8)
    return torch.from_numpy(2 * bits - 1).view(rows, columns)


class Unprojected:
    """No projection, for a network with no more weights than P would have columns: phi is exact."""

    def __init__(self, gradients: Gradients) -> None:
        self.gradients, self.width = gradients, gradients.size

    def features(self, x: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Return the scaled gradients, and the outputs."""
        found, f = self.gradients.of(x, target)
        return found / math.sqrt(self.width), f

    def direction(self, vector: Tensor) -> Tensor:
        """Return the vector, scaled."""
        return vector.to(self.gradients.dtype) / math.sqrt(self.width)


class Dense:
    """Independent signs: the Johnson-Lindenstrauss projection of full gradients."""

    def __init__(self, gradients: Gradients, width: int, seed: int, number: int) -> None:
        self.gradients, self.width = gradients, width
        self._seed, self._number = seed, number
        self._kept: dict[int, Tensor] = {}
        self._scale = 1 / math.sqrt(gradients.size)

    def features(self, x: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Project the gradients block by block."""
        found, f = self.gradients.of(x, target)
        phi = found.new_zeros(len(found), self.width)
        for block, first in enumerate(range(0, self.gradients.size, BLOCK)):
            phi.addmm_(found[:, first : first + BLOCK], self._block(block).to(found))
        return phi * self._scale, f

    def direction(self, vector: Tensor) -> Tensor:
        """Return P times a vector."""
        blocks = range(-(-self.gradients.size // BLOCK))
        like = vector.to(self.gradients.dtype)
        return torch.cat([self._block(block).to(like) @ like for block in blocks]) * self._scale

    def _block(self, block: int) -> Tensor:
        if block not in self._kept:
            rows = min(BLOCK, self.gradients.size - block * BLOCK)
            drawn = signs(self._seed, self._number, block, rows, self.width)
            if self.gradients.size * self.width > KEPT_SIGNS:
                return drawn
            self._kept[block] = drawn
        return self._kept[block]
