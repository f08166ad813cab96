"""The one number that is attributed, and the loss as a function of it: what TRAK must know of a model's head."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class Output:
    """A model's output f and the loss that training minimised, l(f).

    Attributes
    ----------
    value : callable
        From outputs ``[..., k]`` and targets ``[...]`` to f ``[...]``.
    residual, curvature, loss : callable
        From f and targets to -l'(f), l''(f) and l(f).
    """

    value: Callable[[Tensor, Tensor], Tensor]
    residual: Callable[[Tensor, Tensor], Tensor]
    curvature: Callable[[Tensor, Tensor], Tensor]
    loss: Callable[[Tensor, Tensor], Tensor]


def margins(logits: Tensor, label: Tensor) -> Tensor:
    """Return the label's logit less the log of the others' summed exponentials: log(p / (1 - p))."""
    own = torch.arange(logits.shape[-1], device=logits.device) == label.unsqueeze(-1)
    return torch.where(own, logits, 0.0).sum(-1) - logits.masked_fill(own, -torch.inf).logsumexp(-1)


# The cross-entropy is softplus(-f), p = sigmoid(f) the probability of the label: -l' = 1 - p, l'' = p (1 - p).
MARGIN = Output(
    margins,
    residual=lambda f, target: torch.sigmoid(-f),  # noqa: ARG005 (an output's signature)
    curvature=lambda f, target: torch.sigmoid(f) * torch.sigmoid(-f),  # noqa: ARG005
    loss=lambda f, target: functional.softplus(-f),  # noqa: ARG005
)
# Least squares on a model of one output, l = (y - f)^2 / 2: where TRAK is exact, so what tests hold it against.
PREDICTION = Output(
    lambda outputs, target: outputs[..., 0],  # noqa: ARG005
    residual=lambda f, target: target - f,
    curvature=lambda f, target: torch.ones_like(f),  # noqa: ARG005
    loss=lambda f, target: (target - f).square() / 2,
)
