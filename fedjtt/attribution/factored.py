"""Projection by layers' factors: a linear layer's gradient is an outer product, and need not be formed to be projected.

The gradient of an example by a layer's weights is sum_t delta_t a_t^T over positions t (one in a linear layer, pixels
in a convolution) of what goes in, a, with a last 1 for the bias, and the gradient by what comes out, delta. With
entries s_o r_i its projection is sum_t (S^T delta_t) * (R^T a_t): in + out products a column in place of in x out.
Where forming the gradient is cheaper (convolutions: few weights, many positions) it is formed, and has signs of its
own; layers add up.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from fedjtt.attribution.gradients import Gradients
from fedjtt.attribution.projection import signs
from fedjtt.errors import ConfigError

INSTEAD = "set projection to dense"


@dataclass(frozen=True)
class _Layer:
    """A layer's signs.

    Attributes
    ----------
    module : nn.Linear or nn.Conv2d
        The layer.
    name : str
        Of its weight among the network's parameters, without ``.weight``.
    signs : tuple of Tensor
        ``S [out, width]`` and ``R [in, width]``, or of a gradient that is formed ``[out * in, width]`` alone.
    """

    module: nn.Linear | nn.Conv2d
    name: str
    signs: tuple[Tensor, ...]

    def project(self, inside: Tensor, delta: Tensor) -> Tensor:
        """Return the projected gradient, ``[n, width]``, of inputs ``[n, t, in]`` and deltas ``[n, t, out]``."""
        if len(self.signs) == 1:
            return torch.bmm(delta.transpose(1, 2), inside).flatten(1) @ self.signs[0].to(delta)
        left, right = (each.to(delta) for each in self.signs)
        return ((delta @ left) * (inside @ right)).sum(dim=1)

    def direction(self, vector: Tensor) -> dict[str, Tensor]:
        """Return the layer's part of P times a vector, by parameter."""
        if len(self.signs) == 1:
            whole = (self.signs[0].to(vector) @ vector).view(self.module.weight.shape[0], -1)
        else:
            left, right = (each.to(vector) for each in self.signs)
            whole = (left * vector) @ right.T
        if self.module.bias is None:
            return {f"{self.name}.weight": whole.flatten()}
        return {f"{self.name}.weight": whole[:, :-1].flatten(), f"{self.name}.bias": whole[:, -1]}

    def inside(self, x: Tensor) -> Tensor:
        """Return what each position sees of a layer's input, with a last 1 where there is a bias, ``[n, t, in]``."""
        seen = _seen(self.module, x)
        return seen if self.module.bias is None else functional.pad(seen, (0, 1), value=1.0)


class Factored:
    """Signs that are products, for networks of linear layers and convolutions, each used once.

    Parameters
    ----------
    example : Tensor
        One input ``[1, ...]``: how many positions a layer has is seen with it.

    Raises
    ------
    ConfigError
        For another network.
    """

    def __init__(self, gradients: Gradients, width: int, seed: int, number: int, example: Tensor) -> None:
        self.gradients, self.width = gradients, width
        self._scale = 1 / math.sqrt(gradients.size)
        names = {module: name for name, module in gradients.module.named_modules()}
        modules = [m for m, name in names.items() if _weight(name) in gradients.shapes and _is_known(m)]
        covered = sum(weight.numel() for module in modules for weight in module.parameters(recurse=False))
        if covered != gradients.size:
            raise ConfigError(
                "the network has weights outside nn.Linear and nn.Conv2d (without groups, padded with zeros), and "
                f"only these are projected by their factors; {INSTEAD}"
            )
        self._modules: list[Any] = modules
        self._layers: list[_Layer] = []
        found, _ = self._captured(example, torch.zeros(1, dtype=torch.int64, device=example.device))
        for place, module in enumerate(self._modules):
            if module not in found:
                continue  # the network has it and does not use it: no gradient
            positions = _deltas(module, found[module][1]).shape[1]
            drawn = _signs(module, positions, width, seed, number, place)
            self._layers.append(_Layer(module, names[module], drawn))

    def features(self, x: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Project layer by layer, and add up."""
        found, f = self._captured(x, target)
        phi = f.new_zeros(len(f), self.width)
        for layer in self._layers:
            into, delta = found[layer.module]
            phi += layer.project(layer.inside(into), _deltas(layer.module, delta))
        return phi * self._scale, f

    def direction(self, vector: Tensor) -> Tensor:
        """Return P times a vector."""
        like = vector.to(self.gradients.dtype)
        parts = {name: torch.zeros(math.prod(shape)).to(like) for name, shape in self.gradients.shapes.items()}
        for layer in self._layers:
            parts |= layer.direction(like)
        return torch.cat(list(parts.values())) * self._scale

    def _captured(self, x: Tensor, target: Tensor) -> tuple[dict[nn.Module, tuple[Tensor, Tensor]], Tensor]:
        """Return every used layer's input and the gradient of f by its output; and f."""
        seen: dict[nn.Module, tuple[Tensor, Tensor]] = {}

        def note(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            if module in seen:
                raise ConfigError(f"the network uses a layer twice, whose gradient is no outer product; {INSTEAD}")
            seen[module] = (inputs[0].detach(), output)

        hooks = [module.register_forward_hook(note) for module in self._modules]
        try:
            weights = {name: weight.detach().requires_grad_() for name, weight in self.gradients.chosen.items()}
            with torch.enable_grad():
                outputs = functional_call(
                    self.gradients.module, {**self.gradients.fixed, **weights}, (self.gradients.given(x),)
                )
                f = self.gradients.output.value(outputs, target)
        finally:
            for hook in hooks:
                hook.remove()
        deltas = torch.autograd.grad(f.sum(), [output for _, output in seen.values()])
        return {m: (into, delta) for (m, (into, _)), delta in zip(seen.items(), deltas, strict=True)}, f.detach()


def _weight(name: str) -> str:
    return f"{name}.weight" if name else "weight"


def _is_known(module: nn.Module) -> bool:
    if isinstance(module, nn.Linear):
        return True
    return (
        isinstance(module, nn.Conv2d)
        and module.groups == 1
        and module.padding_mode == "zeros"
        and not isinstance(module.padding, str)
    )


def _signs(
    module: nn.Linear | nn.Conv2d, positions: int, width: int, seed: int, number: int, place: int
) -> tuple[Tensor, ...]:
    out = module.weight.shape[0]
    into = module.weight[0].numel() + (module.bias is not None)
    if positions * (into + out) < into * out:
        return signs(seed, number, 2 * place, out, width), signs(seed, number, 2 * place + 1, into, width)
    return (signs(seed, number, 2 * place, out * into, width),)


def _seen(module: nn.Linear | nn.Conv2d, x: Tensor) -> Tensor:
    if isinstance(module, nn.Linear):
        return x.reshape(len(x), -1, x.shape[-1])
    padding: Any = module.padding
    patches = functional.unfold(x, module.kernel_size, module.dilation, padding, module.stride)
    return patches.transpose(1, 2)


def _deltas(module: nn.Linear | nn.Conv2d, delta: Tensor) -> Tensor:
    if isinstance(module, nn.Linear):
        return delta.reshape(len(delta), -1, delta.shape[-1])
    return delta.flatten(2).transpose(1, 2)
