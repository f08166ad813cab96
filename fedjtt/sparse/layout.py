"""Where a network's layers lie in its vector of weights, and which of them can be sparse."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from torch import nn


@dataclass(frozen=True)
class Block:
    """A parameter's stretch of the vector.

    Attributes
    ----------
    name : str
        As the network calls it, such as ``conv1.weight``.
    shape : tuple of int
        Its shape.
    first : int
        Where it begins.
    """

    name: str
    shape: tuple[int, ...]
    first: int

    @property
    def size(self) -> int:
        """Number of weights."""
        return prod(self.shape)

    @property
    def stretch(self) -> slice:
        """Its part of the vector."""
        return slice(self.first, self.first + self.size)

    @property
    def sparse(self) -> bool:
        """Whether its weights can be dead; biases and the scales of norms, which have one dimension, are dense."""
        return len(self.shape) > 1


@dataclass(frozen=True)
class Layout:
    """A network's parameters, in the order of its vector."""

    blocks: tuple[Block, ...]

    @classmethod
    def of(cls, module: nn.Module) -> "Layout":
        """Return a network's layout."""
        return cls.from_shapes([(name, tuple(weight.shape)) for name, weight in module.named_parameters()])

    @classmethod
    def from_shapes(cls, named: Sequence[tuple[str, Sequence[int]]]) -> "Layout":
        """Return the layout of parameters with these names and shapes."""
        blocks, first = [], 0
        for name, shape in named:
            blocks.append(Block(name, tuple(int(side) for side in shape), first))
            first += blocks[-1].size
        return cls(tuple(blocks))

    @property
    def size(self) -> int:
        """Length of the vector."""
        return sum(block.size for block in self.blocks)

    @property
    def sparse(self) -> tuple[Block, ...]:
        """The blocks that can be sparse."""
        return tuple(block for block in self.blocks if block.sparse)

    def shapes(self) -> list[list[Any]]:
        """Return names and shapes, as JSON can hold them; :meth:`from_shapes` reads them."""
        return [[block.name, list(block.shape)] for block in self.blocks]
