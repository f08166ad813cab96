"""What a step minimises: free functions of logits, labels and weights."""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

Objective = Callable[[Tensor, Tensor], Tensor]
GCE_Q = 0.7


def mean_cross_entropy(logits: Tensor, label: Tensor) -> Tensor:
    """Return the mean cross-entropy of logits ``[n, num_labels]`` and labels ``[n]``: a scalar."""
    return functional.cross_entropy(logits, label)


def cross_entropies(logits: Tensor, label: Tensor) -> Tensor:
    """Return every example's cross-entropy, float32 ``[n]``."""
    return functional.cross_entropy(logits, label, reduction="none")


def generalized_cross_entropy(logits: Tensor, label: Tensor, q: float = GCE_Q) -> Tensor:
    """Return the mean of ``(1 - p_y^q) / q`` (Zhang and Sabuncu 2018): a scalar.

    Small q is cross-entropy, q = 1 the mean absolute error. What the model finds hard pulls less than under
    cross-entropy, so training leans on whatever is easy: the shortcut (LfF, Nam et al. 2020, q = .7).
    """
    log_p = functional.log_softmax(logits, dim=1).gather(1, label.unsqueeze(1)).squeeze(1)
    return ((1 - torch.exp(q * log_p)) / q).mean()


def cvar_weights(losses: Tensor, alpha: float) -> Tensor:
    """Return the weights ``[n]`` of the mean of the worst share `alpha` of losses ``[n]``: CVaR is their product's sum.

    1 / (alpha n) for the largest floor(alpha n) losses, what is missing to 1 for the next, 0 for the others.
    """
    n = len(losses)
    full = min(n, math.floor(alpha * n + 1e-9))
    weights = torch.zeros_like(losses)
    order = losses.argsort(descending=True, stable=True)
    weights[order[:full]] = 1 / (alpha * n)
    if full < n:
        weights[order[full]] = max(0.0, 1 - full / (alpha * n))
    return weights


def proximal_gradient(vector: Tensor, anchor: Tensor, mu: float) -> Tensor:
    """Return the gradient of ``mu / 2 * |vector - anchor|^2``, FedProx's pull (Li et al. 2020)."""
    return mu * (vector - anchor)


def label_shift(own: Tensor, overall: Tensor, degree: float) -> Tensor:
    """Return what to add to logits so that a machine's label frequencies do not teach them: float32 ``[num_labels]``.

    ``log(1 + degree * (p_own / p_overall - 1))``. Degree 1 is the calibrated softmax of FedLC (Zhang et al. 2022)
    taken relative to the whole population, under which a machine with one label learns nothing; a little less lets it
    learn what its label looks like without pushing the others out. Zero where the machine's labels are mixed as all
    machines' are, for a label that nobody has, and for degree 0.

    Parameters
    ----------
    own, overall : Tensor
        Examples of every label, on this machine and on all.
    degree : float
        In [0, 1].
    """
    share, all_share = own.double() / own.sum(), overall.double() / overall.sum()
    ratio = torch.where(overall > 0, share / all_share, 1.0)  # nobody has it: nothing to correct
    return torch.log1p(degree * (ratio - 1)).float()


OBJECTIVES: dict[str, Objective] = {"cross-entropy": mean_cross_entropy, "gce": generalized_cross_entropy}
