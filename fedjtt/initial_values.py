"""A network's initial values from our generator: constructors would read the global one.

A network is built as shapes only; here it gets room in memory and values.
"""

import math

import torch
from torch import nn

from fedjtt.errors import ConfigError

BatchNorm = nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d
"""The norms whose running statistics stand in a network's vector; see :class:`fedjtt.models.FlatModel`."""


def keep_statistics(model: nn.Module) -> None:
    """Leave a network the buffers that are batch norms' running means and variances; the count of batches is dropped.

    Raises
    ------
    ConfigError
        For any other buffer, which nobody would fill or send, and for a batch norm that needs the count.
    """
    known = set()
    for name, layer in model.named_modules():
        if isinstance(layer, BatchNorm) and layer.track_running_stats:
            if layer.momentum is None:
                raise ConfigError(
                    "a batch norm of the model has momentum None, a mean over as many batches as there were, and that "
                    "number does not travel; give a number, such as torch's .1"
                )
            layer.num_batches_tracked = None
            known |= {f"{name}.{buffer}".removeprefix(".") for buffer in ("running_mean", "running_var")}
    for name, _ in model.named_buffers():
        if name not in known:
            raise ConfigError(
                f"the model has a buffer {name!r}: only parameters and batch norms' running statistics are "
                "initialised and sent; use no other buffers"
            )


def make_room(model: nn.Module) -> None:
    """Give what is a shape only a place in memory; ``to_empty`` would import sympy for it, half a second."""
    made: dict[nn.Parameter, nn.Parameter] = {}  # two layers may share one
    for layer in model.modules():
        for name, shape in list(layer.named_parameters(recurse=False)):
            if shape not in made:
                made[shape] = nn.Parameter(torch.empty(shape.shape, dtype=shape.dtype))
            setattr(layer, name, made[shape])
        for name, buffer in list(layer.named_buffers(recurse=False)):
            setattr(layer, name, torch.empty(buffer.shape, dtype=buffer.dtype))


def initialise(model: nn.Module, generator: torch.Generator) -> None:
    """Draw torch's default initial values, but from our generator."""
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            draw_uniform(layer, generator)
        elif isinstance(layer, nn.Embedding):
            nn.init.normal_(layer.weight, generator=generator)
        elif not start_norm(layer) and next(layer.parameters(recurse=False), None) is not None:
            raise ConfigError(f"no initial values are defined for a layer of type {type(layer).__name__}")


def draw_uniform(layer: nn.Conv2d | nn.Linear, generator: torch.Generator) -> None:
    """Draw a layer's values as torch's constructors do."""
    bound = 1 / math.sqrt(layer.weight[0].numel())
    nn.init.uniform_(layer.weight, -bound, bound, generator=generator)
    if layer.bias is not None:
        nn.init.uniform_(layer.bias, -bound, bound, generator=generator)


def start_norm(layer: nn.Module) -> bool:
    """Give a norm its first values: scale 1 and shift 0, running mean 0 and variance 1; False for another layer."""
    if not isinstance(layer, BatchNorm | nn.GroupNorm | nn.LayerNorm):
        return False
    for name, value in (("weight", 1.0), ("bias", 0.0), ("running_mean", 0.0), ("running_var", 1.0)):
        if (held := getattr(layer, name, None)) is not None:
            held.fill_(value)
    return True
