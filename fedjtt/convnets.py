"""Convolutional networks of the debiasing literature, with group norms in place of batch norms.

A batch norm's running statistics are no weights: they follow a machine's own data, tell of it, and their mean over
machines lacks the spread between these. Published results on photographs have them all the same, and so have
:mod:`fedjtt.backbones`. A group norm (Wu and He 2018) has none, and is the same in training and evaluation: where
nothing pretrained asks for the other, it is the default.
"""

import math

from torch import Tensor, nn
from torch.nn import functional

from fedjtt.errors import ConfigError

GROUPS = 8


def scaled(units: int, width: float) -> int:
    """Return a layer's units at a width: rounded, halves up, and at least 1."""
    return max(1, math.floor(units * width + 0.5))


def norm(channels: int) -> nn.GroupNorm:
    """Return a norm over at most eight groups of channels."""
    return nn.GroupNorm(math.gcd(channels, GROUPS), channels)


def check_images(model: str, input_shape: tuple[int, ...], least: int) -> None:
    """Refuse inputs that are no images, or too small ones."""
    if len(input_shape) != 3 or min(input_shape[1:]) < least:
        raise ConfigError(
            f"model {model} needs images of at least {least}x{least}, not inputs of shape {input_shape}; use mlp"
        )


class ColouredMnistCNN(nn.Module):
    """The network that REST trains on Coloured MNIST: three strided 4x4 convolutions, averaged over the image.

    661,000 weights at width 1.

    Parameters
    ----------
    input_shape : tuple of int
        (channels, height, width), at least 8 x 8.
    num_labels : int
        Outputs.
    width : float
        Factor on the 64, 128 and 256 channels.
    """

    def __init__(self, input_shape: tuple[int, ...], num_labels: int, width: float = 1.0) -> None:
        super().__init__()
        check_images("cmnist-cnn", input_shape, 8)
        first, second, third = (scaled(units, width) for units in (64, 128, 256))
        self.conv1 = nn.Conv2d(input_shape[0], first, 4, stride=2, padding=1, bias=False)
        self.norm1 = norm(first)
        self.conv2 = nn.Conv2d(first, second, 4, stride=2, padding=1, bias=False)
        self.norm2 = norm(second)
        self.conv3 = nn.Conv2d(second, third, 4, stride=2, padding=1, bias=False)
        self.norm3 = norm(third)
        self.fc = nn.Linear(third, num_labels)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits ``[n, num_labels]`` of images ``[n, channels, height, width]``."""
        x = functional.relu(self.norm1(self.conv1(x)))
        x = functional.relu(self.norm2(self.conv2(x)))
        x = functional.relu(self.norm3(self.conv3(x)))
        return self.fc(x.mean(dim=(2, 3)))  # type: ignore[no-any-return]


class _Block(nn.Module):
    """Two 3x3 convolutions beside a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.norm1 = norm(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.norm2 = norm(outputs)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False), norm(outputs))

    def forward(self, x: Tensor) -> Tensor:
        out = self.norm2(self.conv2(functional.relu(self.norm1(self.conv1(x)))))
        return functional.relu(out + self.shortcut(x))


class ResNet18(nn.Module):
    """ResNet-18 (He et al. 2016) for small images: a 3x3 first convolution and no pooling after it.

    11.2 million weights at width 1.

    Parameters
    ----------
    input_shape : tuple of int
        (channels, height, width), at least 8 x 8.
    num_labels : int
        Outputs.
    width : float
        Factor on the 64, 128, 256 and 512 channels.
    """

    def __init__(self, input_shape: tuple[int, ...], num_labels: int, width: float = 1.0) -> None:
        super().__init__()
        check_images("resnet18", input_shape, 8)
        channels = [scaled(units, width) for units in (64, 128, 256, 512)]
        self.conv1 = nn.Conv2d(input_shape[0], channels[0], 3, padding=1, bias=False)
        self.norm1 = norm(channels[0])
        blocks, inputs = [], channels[0]
        for stage, outputs in enumerate(channels):
            blocks += [_Block(inputs, outputs, 1 if stage == 0 else 2), _Block(outputs, outputs, 1)]
            inputs = outputs
        self.blocks = nn.Sequential(*blocks)
        self.fc = nn.Linear(channels[-1], num_labels)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits ``[n, num_labels]`` of images ``[n, channels, height, width]``."""
        x = self.blocks(functional.relu(self.norm1(self.conv1(x))))
        return self.fc(x.mean(dim=(2, 3)))  # type: ignore[no-any-return]
