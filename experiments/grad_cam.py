"""Grad-CAM (Selvaraju et al. 2017) by ``captum``, an optional package: where in an image a network saw its label."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from fedjtt.errors import ConfigError

AT_ONCE = 4
"""Images whose activations are in memory together: of a ResNet-50 at 224 pixels, 90 MB each."""


def captum() -> Any:
    """Return captum's attribution methods.

    Raises
    ------
    ConfigError
        Where the package is not installed.
    """
    try:
        import captum.attr  # half a second, and not always there
    except ImportError:
        raise ConfigError(
            "Grad-CAM needs the package captum, which is not installed; pip install 'fedjtt[pictures]'"
        ) from None
    return captum.attr


@torch.no_grad()
def last_maps(module: nn.Module, x: Tensor) -> nn.Module:
    """Return the layer whose maps Grad-CAM weighs: the last one whose maps have the size of the last convolution's.

    In a residual network that is the last stage with its shortcuts, norms and ReLU, as is usual, and not the bare
    convolution inside it.

    Parameters
    ----------
    x : Tensor
        Inputs to see the layers' outputs with.

    Raises
    ------
    ConfigError
        Where no convolution leaves maps of more than one place.
    """
    seen: list[tuple[nn.Module, torch.Size]] = []

    def note(layer: nn.Module, _: Any, output: Any) -> None:
        if isinstance(output, Tensor) and output.dim() == 4:
            seen.append((layer, output.shape[2:]))

    hooks = [layer.register_forward_hook(note) for layer in module.modules()]
    try:
        module(x)
    finally:
        for hook in hooks:
            hook.remove()
    # One place tells nothing apart: pooled maps, and what squeeze-and-excitation convolves.
    sizes = [size for layer, size in seen if isinstance(layer, nn.Conv2d) and size.numel() > 1]
    if not sizes:
        raise ConfigError(
            "Grad-CAM needs maps of a convolution, which this network does not have; it is for lenet, cmnist-cnn, "
            "resnet18 and other convolutional networks"
        )
    calls = [layer for layer, _ in seen]  # a layer that several places share has no maps of its own
    return next(layer for layer, size in reversed(seen) if size == sizes[-1] and calls.count(layer) == 1)


def class_activation_maps(module: nn.Module, x: Tensor, target: Tensor) -> Tensor:
    """Return how much each place of an image spoke for a label, float32 ``[n, height, width]``, at least 0.

    The last maps, each weighted by the mean over its places of the logit's gradient, summed; what speaks against the
    label is cut off, and the rest is interpolated to the image's size. A map of zeros: nothing spoke for the label.

    Parameters
    ----------
    x : Tensor
        float32 ``[n, channels, height, width]``.
    target : Tensor
        int64 ``[n]``: whose logit.
    """
    method = captum().LayerGradCam(module, last_maps(module, x[:1]))
    parts = zip(torch.split(x, AT_ONCE), torch.split(target, AT_ONCE), strict=True)
    found = torch.cat([method.attribute(part, target=own, relu_attributions=True).detach() for part, own in parts])
    return functional.interpolate(found, x.shape[2:], mode="bilinear", align_corners=False)[:, 0].float()
