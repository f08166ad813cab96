"""What a training step must know of a mask: a dead weight has no gradient."""

import torch
from torch import Tensor


class LiveWeights:
    """Takes the dead weights' gradients away before anything is made of them.

    So momentum, weight decay, clipping and averages of a dead weight, which is 0 to begin with, are 0 too.

    Parameters
    ----------
    mask : Tensor
        bool ``[parameters]``.
    trace_decay : float or None
        Where it is a number, the whole gradients' sum is kept, each step's faded by this factor at the next:
        the momentum that dead weights would have.
    """

    def __init__(self, mask: Tensor, trace_decay: float | None = None) -> None:
        self.mask = mask
        self._factor = mask.float()
        self._decay = trace_decay
        self.trace = None if trace_decay is None else torch.zeros_like(self._factor)

    def keep(self, gradient: Tensor) -> None:
        """Change a step's gradient in place."""
        if self.trace is not None and self._decay is not None:
            self.trace.mul_(self._decay).add_(gradient)
        gradient.mul_(self._factor)

    def to(self, device: torch.device) -> "LiveWeights":
        """Move to where the gradients are; return itself."""
        self._factor = self._factor.to(device)
        self.trace = None if self.trace is None else self.trace.to(device)
        return self
