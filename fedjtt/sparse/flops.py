"""Floating-point operations of a network, counted by torch's own counter, and what of them is left where it is sparse.

A layer's operations are in proportion to its live weights: an upper bound of what a sparse kernel saves, since a dense
kernel multiplies by the zeros. Activations, pooling and norms, which the counter leaves out, are not in it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from fedjtt.sparse.layout import Layout

if TYPE_CHECKING:
    from torch.utils.flop_counter import FlopCounterMode


@dataclass(frozen=True)
class Flops:
    """Operations for one example, layer by layer, as the layout lists the sparse ones.

    Attributes
    ----------
    inference, training : list of int
        Of a forward pass; of a forward and a backward pass.
    """

    inference: list[int]
    training: list[int]

    def at(self, densities: Sequence[float]) -> tuple[float, float]:
        """Return (inference, training) where the layers have these densities."""
        inference, training = (
            sum(count * density for count, density in zip(counts, densities, strict=True))
            for counts in (self.inference, self.training)
        )
        return inference, training


def count_flops(module: nn.Module, example: Tensor, layout: Layout) -> Flops:
    """Count the operations of one example ``[1, ...]`` through a network; looking embeddings up is none."""
    from torch.utils.flop_counter import FlopCounterMode  # imports torch._dynamo: 2 s

    device = next(module.parameters()).device
    x = example.to(device)
    was_training = module.training
    module.eval()
    with FlopCounterMode(display=False) as forward, torch.no_grad():
        module(x)
    with FlopCounterMode(display=False) as both:
        torch.autograd.grad(module(x).sum(), list(module.parameters()))
    module.train(was_training)
    return Flops(*(_by_layer(counter, module, layout) for counter in (forward, both)))


def _by_layer(counter: "FlopCounterMode", module: nn.Module, layout: Layout) -> list[int]:
    counts: Mapping[str, Mapping[object, int]] = counter.get_flop_counts()
    root = type(module).__name__
    owners = [".".join([root, *block.name.split(".")[:-1]]) for block in layout.sparse]
    return [sum(counts.get(owner, {}).values()) for owner in owners]
