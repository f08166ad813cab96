"""What a step minimises: free functions of logits, labels and weights."""

from torch import Tensor
from torch.nn import functional


def mean_cross_entropy(logits: Tensor, label: Tensor) -> Tensor:
    """Return the mean cross-entropy of logits ``[n, num_labels]`` and labels ``[n]``: a scalar."""
    return functional.cross_entropy(logits, label)


def proximal_gradient(vector: Tensor, anchor: Tensor, mu: float) -> Tensor:
    """Return the gradient of ``mu / 2 * |vector - anchor|^2``, FedProx's pull (Li et al. 2020)."""
    return mu * (vector - anchor)
