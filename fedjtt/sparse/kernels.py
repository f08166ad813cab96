"""Evaluation of a sparse network that does not multiply by its zeros, where torch has a kernel for it.

On a CPU that is a linear layer as a compressed matrix (CSR) times a batch. For convolutions torch has none; they are
left as they are, and so is a layer of which more than a few percent of the weights live: a dense product is faster.
"""

import copy
import warnings

import torch
from torch import Tensor, nn

DENSEST, LEAST_WEIGHTS, LEAST_ROWS = 0.02, 100_000, 2000
"""What pays: layers this sparse and large, and rows enough to make up for the compression, about 200 rows' time."""


class CompressedLinear(nn.Module):
    """A linear layer that holds its live weights only."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        with warnings.catch_warnings():  # that torch's CSR is in beta
            warnings.simplefilter("ignore", UserWarning)
            self.weight = layer.weight.detach().to_sparse_csr()
        bias = dict(layer.named_parameters()).get("bias")
        self.bias = torch.zeros(layer.out_features) if bias is None else bias.detach().clone()

    def forward(self, x: Tensor) -> Tensor:
        """Return what the layer returns, to rounding: sums are made in another order."""
        return (self.weight @ x.T).T + self.bias


def compressed(module: nn.Module, densest: float = DENSEST) -> nn.Module:
    """Return a copy for evaluation in which linear layers with few live weights are compressed."""
    own = copy.deepcopy(module).eval()
    for parent in list(own.modules()):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, nn.Linear) and _density(layer.weight) <= densest:
                setattr(parent, name, CompressedLinear(layer))
    return own


def for_rows(module: nn.Module, rows: int) -> nn.Module:
    """Return what evaluates so many rows the fastest: the network itself, or a copy with compressed layers."""
    pays = rows >= LEAST_ROWS and any(
        isinstance(layer, nn.Linear)
        and layer.weight.device.type == "cpu"
        and layer.weight.numel() >= LEAST_WEIGHTS
        and _density(layer.weight) <= DENSEST
        for layer in module.modules()
    )
    return compressed(module) if pays else module


def _density(weight: Tensor) -> float:
    return int(torch.count_nonzero(weight)) / weight.numel()
