"""How many of each layer's weights are live, so that a share of all of them is."""

import math
from collections.abc import Callable, Sequence

from fedjtt.sparse.layout import Block


def erdos_renyi_kernel(blocks: Sequence[Block], density: float) -> list[float]:
    """Return each layer's density by ERK (Evci et al. 2020): layers with few weights for their sides are denser.

    ``epsilon * sum(shape) / prod(shape)``, with epsilon such that the share of all weights is `density`. A layer that
    would have more weights than there are has all, and epsilon is found again for the others.
    """
    raw = [sum(block.shape) / block.size for block in blocks]
    full: set[int] = set()
    while len(full) < len(blocks):
        left = density * sum(block.size for block in blocks) - sum(blocks[place].size for place in full)
        others = [place for place in range(len(blocks)) if place not in full]
        epsilon = left / sum(raw[place] * blocks[place].size for place in others)
        # What one layer cannot hold goes to the others: epsilon only grows, and a layer that is full stays so.
        over = {place for place in others if epsilon * raw[place] > 1}
        if not over:
            return [1.0 if place in full else epsilon * raw[place] for place in range(len(blocks))]
        full |= over
    return [1.0] * len(blocks)


def uniform(blocks: Sequence[Block], density: float) -> list[float]:
    """Return the same density for each layer."""
    return [density] * len(blocks)


DISTRIBUTIONS: dict[str, Callable[[Sequence[Block], float], list[float]]] = {
    "erk": erdos_renyi_kernel,
    "uniform": uniform,
}


def live_counts(blocks: Sequence[Block], density: float, distribution: str) -> list[int]:
    """Return how many weights of each layer are live: rounded, halves up, and at least one.

    A layer without a live weight would cut the network in two.
    """
    shares = DISTRIBUTIONS[distribution](blocks, density) if density < 1 else [1.0] * len(blocks)
    return [
        min(block.size, max(1, math.floor(share * block.size + 0.5)))
        for block, share in zip(blocks, shares, strict=True)
    ]
