"""What a step does with a gradient: torch's update rules on one vector.

Not torch's own classes, because their constructors import torch._dynamo: 2 s in every process, more than many a
machine's whole stage.
"""

from typing import Protocol

import torch
from torch import Tensor

ADAM_BETAS = (0.9, 0.99)
ADAM_EPSILON = 1e-8


class Optimiser(Protocol):
    """Changes the vector that it was made for."""

    def step(self, gradient: Tensor, learning_rate: float) -> None:
        """Change the vector in place; the gradient may be overwritten."""


class MomentumSGD:
    """torch.optim.SGD's update, to the last bit of its single-tensor form."""

    def __init__(self, vector: Tensor, momentum: float, weight_decay: float) -> None:
        self._vector, self._momentum, self._weight_decay = vector, momentum, weight_decay
        self._buffer = torch.zeros_like(vector)

    def step(self, gradient: Tensor, learning_rate: float) -> None:
        """Change the vector in place; the gradient is overwritten."""
        if self._weight_decay:
            gradient.add_(self._vector, alpha=self._weight_decay)
        self._buffer.mul_(self._momentum).add_(gradient)
        self._vector.add_(self._buffer, alpha=-learning_rate)


class AdamW:
    """torch.optim.AdamW's update (Kingma and Ba 2015; decay apart from the gradient, Loshchilov and Hutter 2019).

    The second moment's decay is .99 in place of .999: a machine's part of a round is tens of steps.
    """

    def __init__(self, vector: Tensor, weight_decay: float) -> None:
        self._vector, self._weight_decay = vector, weight_decay
        self._mean, self._square = torch.zeros_like(vector), torch.zeros_like(vector)
        self._steps = 0

    def step(self, gradient: Tensor, learning_rate: float) -> None:
        """Change the vector in place."""
        first, second = ADAM_BETAS
        self._steps += 1
        self._vector.mul_(1 - learning_rate * self._weight_decay)
        self._mean.lerp_(gradient, 1 - first)
        self._square.mul_(second).addcmul_(gradient, gradient, value=1 - second)
        scale = (self._square / (1 - second**self._steps)).sqrt_().add_(ADAM_EPSILON)
        self._vector.addcdiv_(self._mean, scale, value=-learning_rate / (1 - first**self._steps))


def make_optimiser(name: str, vector: Tensor, momentum: float, weight_decay: float) -> Optimiser:
    """Return the optimiser ``sgd`` or ``adamw`` for a vector; only the first has a momentum to set."""
    return AdamW(vector, weight_decay) if name == "adamw" else MomentumSGD(vector, momentum, weight_decay)
