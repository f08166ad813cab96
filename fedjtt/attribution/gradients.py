"""The gradient of each example's output by the weights, for any network; never more than a chunk of them at once."""

import math
import warnings
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.func import functional_call, grad_and_value, jvp, vmap

from fedjtt.attribution.outputs import MARGIN, Output
from fedjtt.data.grouped import GroupedDataset
from fedjtt.data.sampling import gather
from fedjtt.evaluation import last_layer
from fedjtt.models import FlatModel

CHUNK = 512
CHUNK_NUMBERS = 2**25
"""Most examples, and most numbers of their gradients, that are in memory at once: 128 MiB in float32."""


class Gradients:
    """A network at fixed weights, of which outputs and gradients are asked in evaluation mode; the weights are copied.

    Parameters
    ----------
    layers : str
        ``all``, or ``last``: the last linear layer's weights only, with all others held fixed.
    dtype : torch.dtype
        Of all that is computed.

    Attributes
    ----------
    shapes : dict
        The chosen weights' shapes by name, in the order of the network's vector.
    size : int
        The chosen weights' number.
    """

    def __init__(
        self,
        model: FlatModel,
        layers: str = "all",
        dtype: torch.dtype = torch.float32,
        output: Output = MARGIN,
    ) -> None:
        self.module, self.dtype, self.output = model.module, dtype, output
        self.module.eval()
        last = {id(weight) for weight in last_layer(model.module).parameters()} if layers == "last" else set()
        named = dict(self.module.named_parameters())
        copies = {name: weight.detach().to(dtype, copy=True) for name, weight in named.items()}
        self.chosen = {name: copy for name, copy in copies.items() if not last or id(named[name]) in last}
        running = {name: each.to(dtype, copy=True) for name, each in self.module.named_buffers()}
        self.fixed = {name: copy for name, copy in copies.items() if name not in self.chosen} | running
        self.shapes = {name: tuple(weight.shape) for name, weight in self.chosen.items()}
        self.size = sum(map(math.prod, self.shapes.values()))
        self.chunk = max(1, min(CHUNK, CHUNK_NUMBERS // self.size))

    def given(self, x: Tensor) -> Tensor:
        """Return inputs as the network takes them: in its own type, tokens as whole numbers."""
        return x.to(self.dtype) if x.is_floating_point() else x

    def of(self, x: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Return every example's gradient, ``[n, size]``, and output, ``[n]``."""

        def value(chosen: dict[str, Tensor], one: Tensor, its_target: Tensor) -> Tensor:
            outputs = functional_call(self.module, {**self.fixed, **chosen}, (one.unsqueeze(0),))
            return self.output.value(outputs.squeeze(0), its_target)

        found, f = vmap(grad_and_value(value), in_dims=(None, 0, 0))(self.chosen, self.given(x), target)
        return torch.cat([found[name].flatten(1) for name in self.shapes], dim=1), f

    def along(self, x: Tensor, target: Tensor, direction: Tensor) -> tuple[Tensor, Tensor]:
        """Return every example's gradient times one direction, ``[n]``, and output, in one pass forward."""

        def values(chosen: dict[str, Tensor]) -> Tensor:
            outputs = functional_call(self.module, {**self.fixed, **chosen}, (self.given(x),))
            return self.output.value(outputs, target)

        parts = torch.split(direction, [weight.numel() for weight in self.chosen.values()])
        turned = {name: part.view(self.shapes[name]) for name, part in zip(self.chosen, parts, strict=True)}
        with warnings.catch_warnings():  # torch's own, when it loads what passes forward are made of
            warnings.filterwarnings("ignore", "`torch.jit.script` is deprecated", FutureWarning)
            told: tuple[Tensor, ...] = jvp(values, (self.chosen,), (turned,))
        return told[1], told[0]

    def chunks(self, dataset: GroupedDataset, rows: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Pass over rows of a dataset: inputs and labels."""
        device = next(iter(self.chosen.values())).device
        for part in torch.split(rows, self.chunk):
            if len(part):
                yield gather(dataset.x, part).to(device), dataset.label[part].to(device)
