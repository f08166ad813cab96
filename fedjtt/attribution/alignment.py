"""D3M's group alignment (Jain et al. 2024): what an example does to validation's groups, the worst ones first."""

import torch
from torch import Tensor


def group_weights(losses: Tensor, counts: Tensor, kind: str) -> Tensor:
    """Return what every group's score counts in an example's alignment, float64 ``[groups]``.

    A group without examples has no loss and no weight.

    Parameters
    ----------
    losses, counts : Tensor
        Summed losses and examples of validation, by group.
    kind : str
        ``paper``: e^l / sum of e^l, with l the group's mean loss; ``released``: l / number of groups, as the authors'
        code has it.
    """
    present = counts > 0
    mean = losses.double() / counts.clamp(min=1)
    if kind == "released":
        return torch.where(present, mean, 0.0) / present.sum().clamp(min=1)
    return torch.softmax(mean.masked_fill(~present, -torch.inf), dim=0) if present.any() else torch.zeros_like(mean)


def target_vector(sums: Tensor, counts: Tensor, weights: Tensor) -> Tensor:
    """Return the features of the target, float64 ``[width]``: the groups' mean features, weighed."""
    return (weights / counts.clamp(min=1)) @ sums
