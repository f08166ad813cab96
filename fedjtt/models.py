"""Networks, and a network seen as one vector: what travels, what is averaged and what is hashed."""

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate, pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from fedjtt.backbones import TorchvisionBuilder
from fedjtt.bag_of_embeddings import BagOfEmbeddings
from fedjtt.choices import SIZED_BY
from fedjtt.convnets import ColouredMnistCNN, ResNet18, check_images, scaled
from fedjtt.errors import ConfigError, nearest
from fedjtt.initial_values import initialise, keep_statistics, make_room
from fedjtt.pretrained_text import PretrainedText


def _halve(x: Tensor) -> Tensor:
    """Return ``max_pool2d(x, 2)``; where no gradient is asked for as two maxima, in a fraction of the time."""
    images, channels, height, width = x.shape
    rows = x.permute(0, 2, 3, 1)
    if torch.is_grad_enabled() or height % 2 or width % 2 or not rows.is_contiguous():
        return functional.max_pool2d(x, 2)
    rows = rows.view(images, height // 2, 2, width * channels)
    pairs = torch.maximum(rows[:, :, 0], rows[:, :, 1]).view(images, height // 2, width // 2, 2, channels)
    return torch.maximum(pairs[..., 0, :], pairs[..., 1, :]).permute(0, 3, 1, 2)


class LeNet(nn.Module):
    """LeNet-5 as SpuCo uses it (LeCun et al. 1998): two 5x5 convolutions and three linear layers.

    61,581 parameters for 3 x 28 x 28 images and 5 labels.

    Parameters
    ----------
    input_shape : tuple of int
        (channels, height, width), at least 12 x 12.
    num_labels : int
        Outputs.
    width : float
        Factor on the channels and on the units of the two hidden linear layers.
    """

    def __init__(self, input_shape: tuple[int, ...], num_labels: int, width: float = 1.0) -> None:
        super().__init__()
        check_images("lenet", input_shape, 12)
        channels, *sides = input_shape
        maps1, maps2, units1, units2 = (scaled(units, width) for units in (6, 16, 120, 84))
        self.conv1 = nn.Conv2d(channels, maps1, 5, padding=2)
        self.conv2 = nn.Conv2d(maps1, maps2, 5)
        self.fc1 = nn.Linear(maps2 * math.prod((side // 2 - 4) // 2 for side in sides), units1)
        self.fc2 = nn.Linear(units1, units2)
        self.fc3 = nn.Linear(units2, num_labels)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits ``[n, num_labels]`` of images ``[n, channels, height, width]``."""
        # Pooling first is the same function (both are monotone) and leaves the ReLU a quarter of the work.
        x = functional.relu(_halve(self.conv1(x)))
        x = functional.relu(_halve(self.conv2(x)))
        x = functional.relu(self.fc1(x.flatten(1)))
        return self.fc3(functional.relu(self.fc2(x)))  # type: ignore[no-any-return]


class MLP(nn.Module):
    """`depth` hidden layers of 128 units, times `width`, over the flattened input of any shape."""

    def __init__(self, input_shape: tuple[int, ...], num_labels: int, width: float = 1.0, depth: int = 2) -> None:
        super().__init__()
        units = [math.prod(input_shape), *[scaled(128, width)] * depth, num_labels]
        for number, (inputs, outputs) in enumerate(pairwise(units), start=1):
            self.add_module(f"fc{number}", nn.Linear(inputs, outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Return logits ``[n, num_labels]`` of inputs ``[n, ...]``."""
        *hidden, last = self.children()
        x = x.flatten(1)
        for layer in hidden:
            x = functional.relu(layer(x))
        return last(x)  # type: ignore[no-any-return]


class Logistic(nn.Module):
    """Multinomial logistic regression: one linear layer over the flattened input of any shape."""

    def __init__(self, input_shape: tuple[int, ...], num_labels: int) -> None:
        super().__init__()
        self.fc = nn.Linear(math.prod(input_shape), num_labels)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits ``[n, num_labels]`` of inputs ``[n, ...]``."""
        return self.fc(x.flatten(1))  # type: ignore[no-any-return]


ModelBuilder = Callable[[tuple[int, ...], int], nn.Module]
MODELS: dict[str, Callable[..., nn.Module]] = {
    "lenet": LeNet,
    "cmnist-cnn": ColouredMnistCNN,
    "resnet18": ResNet18,
    "mlp": MLP,
    "logistic": Logistic,
    "bag-of-embeddings": BagOfEmbeddings,
}
"""Networks whose initial values are drawn, by name."""


@dataclass(frozen=True)
class SizedModel:
    """The builder of a named network at a size; it equals any other of the same name and size.

    Attributes
    ----------
    name : str
        A key of ``MODELS``.
    width : float
        Factor on the hidden units.
    depth : int
        Hidden layers, for networks that have a choice.
    """

    name: str
    width: float = 1.0
    depth: int = 2

    def __call__(self, input_shape: tuple[int, ...], num_labels: int) -> nn.Module:
        """Build the network, with what sizes it."""
        size = {key: getattr(self, key) for key in SIZED_BY[self.name]}
        return MODELS[self.name](input_shape, num_labels, **size)


class FlatModel:
    """A network whose parameters, gradients and running statistics are views of two vectors.

    One vector makes every step that runs over all parameters (optimiser, averaging, sending, hashing) one
    operation instead of one per tensor, and one array in a message instead of ten. Batch norms' running means and
    variances, which no gradient changes, are the vector's end: so they travel, are averaged, hashed and kept as the
    weights are.

    Attributes
    ----------
    module : nn.Module
        The network.
    vector : Tensor
        float32 ``[num_parameters + running]``: parameters in the order of ``module.parameters()``, then running
        statistics in that of ``module.buffers()``.
    weights, gradient : Tensor
        float32 ``[num_parameters]``: the vector's beginning, which is what is trained, and its gradient.
    running : int
        How many running statistics there are; 0 without a batch norm.
    """

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        parameters, statistics = list(module.parameters()), list(module.named_buffers())
        held = [*(p.detach() for p in parameters), *(buffer for _, buffer in statistics)]
        self.vector = torch.cat([each.reshape(-1) for each in held])
        self.running = sum(buffer.numel() for _, buffer in statistics)
        self.weights = self.vector[: len(self.vector) - self.running]
        self.gradient = torch.zeros_like(self.weights)
        ends = list(accumulate((each.numel() for each in held), initial=0))
        views = [
            self.vector[first:end].view(each.shape) for each, (first, end) in zip(held, pairwise(ends), strict=True)
        ]
        for parameter, view, (first, end) in zip(parameters, views, pairwise(ends), strict=False):
            parameter.data = view
            parameter.grad = self.gradient[first:end].view(parameter.shape)
        self._variances = []
        for (name, _), view in zip(statistics, views[len(parameters) :], strict=True):
            owner, _, own_name = name.rpartition(".")
            setattr(module.get_submodule(owner), own_name, view)
            if own_name == "running_var":
                self._variances.append(view)

    def load(self, vector: Tensor) -> None:
        """Overwrite all parameters and running statistics with a vector of the same length.

        A variance is never negative here. The means that weights are joined by keep it so (the server joins running
        statistics by no other, see :mod:`fedjtt.methods.averaging`), rounding and a broken machine do not.
        """
        self.vector.copy_(vector)
        for variance in self._variances:
            variance.clamp_(min=0)


def build_model(
    name: str | ModelBuilder,
    input_shape: tuple[int, ...],
    num_labels: int,
    generator: torch.Generator | None,
    device: str = "cpu",
) -> FlatModel:
    """Build a network with initial values from `generator`.

    Parameters
    ----------
    name : str or callable
        A key of ``MODELS``, or a function of (input_shape, num_labels) that returns a module (a ``SizedModel`` is one).
    generator : torch.Generator or None
        None: its values mean nothing until others are loaded, and no pretrained ones are looked for.

    Raises
    ------
    ConfigError
        For an unknown name or an input that the network cannot take.
    """
    if isinstance(name, str) and name not in MODELS:
        raise ConfigError(f"unknown model {name!r}{nearest(name, MODELS)}; allowed are {', '.join(MODELS)}")
    builder = SizedModel(name) if isinstance(name, str) else name
    with torch.device("meta"):  # shapes only: nothing is drawn
        module = builder(input_shape, num_labels)
    keep_statistics(module)
    make_room(module)
    if generator is not None:
        with torch.no_grad():
            _fill(module, builder, generator)
    return FlatModel(module.to(device))


def _fill(module: nn.Module, builder: ModelBuilder, generator: torch.Generator) -> None:
    if isinstance(builder, TorchvisionBuilder):
        builder.fill(module, generator)
        return
    initialise(module, generator)
    if isinstance(module, PretrainedText):
        module.load_pretrained()


def digest(vector: Tensor) -> str:
    """Return the SHA-256 (hex) of the weights' bytes: equal exactly where every bit is equal."""
    return hashlib.sha256(vector.detach().cpu().contiguous().numpy().tobytes()).hexdigest()
