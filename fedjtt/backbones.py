"""ResNets and ConvNeXt as torchvision has them, for photographs: what published results on Waterbirds and CelebA train.

Their batch norms are kept, for they are in the pretrained weights. Stochastic depth is off: it would draw from torch's
global generator, and equal seeds would no longer give equal weights. torchvision is imported where a network is built:
that takes as long as many a machine's round, and other runs need not wait for it.
"""

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fedjtt.convnets import check_images
from fedjtt.errors import ConfigError
from fedjtt.initial_values import draw_uniform, keep_statistics, make_room, start_norm

NONE, IMAGENET = "none", "imagenet"
LEAST_SIDE, CHANNELS = 32, 3
"""Of an image: all four halve it five times."""


@dataclass(frozen=True)
class _Architecture:
    """What torchvision calls a network.

    Attributes
    ----------
    function : str
        In ``torchvision.models``.
    file : str
        Of its weights ``IMAGENET1K_V1``, those that published results start from.
    head : str
        The last layer.
    width : int
        Features that the last layer sees.
    """

    function: str
    file: str
    head: str
    width: int


ARCHITECTURES = {
    "torchvision-resnet18": _Architecture("resnet18", "resnet18-f37072fd.pth", "fc", 512),
    "torchvision-resnet34": _Architecture("resnet34", "resnet34-b627a593.pth", "fc", 512),
    "torchvision-resnet50": _Architecture("resnet50", "resnet50-0676ba61.pth", "fc", 2048),
    "torchvision-convnext-tiny": _Architecture("convnext_tiny", "convnext_tiny-983f1562.pth", "classifier.2", 768),
}


@dataclass(frozen=True)
class TorchvisionBuilder:
    """Builds a network of torchvision's; it equals any other of the same name and initial values.

    Attributes
    ----------
    name : str
        A key of ``ARCHITECTURES``.
    pretrained : str
        ``none``: initial values are drawn; ``imagenet``: torchvision's weights; or a file of a state dict.
    download : bool
        Whether torchvision may fetch its weights where they are missing.
    """

    name: str
    pretrained: str = NONE
    download: bool = False

    def __call__(self, input_shape: tuple[int, ...], num_labels: int) -> nn.Module:
        """Build the network; its values are those of :meth:`fill` once that was called."""
        self.check_input(input_shape)
        return _built(self.name, num_labels)

    def check_input(self, input_shape: tuple[int, ...]) -> None:
        """Refuse inputs that are no colour images, or too small ones."""
        check_images(self.name, input_shape, LEAST_SIDE)
        if input_shape[0] != CHANNELS:
            raise ConfigError(f"model {self.name} needs images of {CHANNELS} channels, not {input_shape[0]}")

    def fill(self, module: nn.Module, generator: torch.Generator) -> None:
        """Give a network its initial values; the last layer's are always drawn."""
        head = module.get_submodule(ARCHITECTURES[self.name].head)
        file = self.file()
        _draw(self.name, module if file is None else head, generator)
        if file is not None:
            _load(self.name, module, file)

    def frozen(self, input_shape: tuple[int, ...], device: str) -> nn.Module:
        """Return the pretrained network without its last layer, in evaluation mode: from images to features."""
        self.check_input(input_shape)
        file = self.file()
        if file is None:
            raise ConfigError(f"{self.name} without pretrained weights has no features that are worth keeping")
        module = _empty(self.name)
        _load(self.name, module, file)
        owner, _, own_name = ARCHITECTURES[self.name].head.rpartition(".")
        setattr(module.get_submodule(owner), own_name, nn.Identity())
        return module.requires_grad_(requires_grad=False).eval().to(device)

    def check(self) -> None:
        """Refuse pretrained weights that are missing or do not fit."""
        if (file := self.file()) is not None:
            _load(self.name, _empty(self.name), file)

    @property
    def width(self) -> int:
        """How many features the last layer sees."""
        return ARCHITECTURES[self.name].width

    def weights_digest(self) -> str:
        """Return the SHA-256 (hex) of the file of pretrained weights."""
        file = self.file()
        return "" if file is None else _digest_of(file, _stamp(file))

    def file(self) -> Path | None:
        """Return where the pretrained weights are, or None where there are none; fetched first if they may be.

        Raises
        ------
        ConfigError
            Where they are missing.
        """
        if self.pretrained == NONE:
            return None
        if self.pretrained != IMAGENET:
            if not Path(self.pretrained).is_file():
                raise ConfigError(
                    f"pretrained is {self.pretrained!r}, and there is no such file; name a .pth file that holds a "
                    f"state dict of {self.name}, or set pretrained to {IMAGENET} or {NONE}"
                )
            return Path(self.pretrained)
        file = Path(torch.hub.get_dir()) / "checkpoints" / ARCHITECTURES[self.name].file
        if not file.is_file() and self.download:
            _fetch(self.name)
        if not file.is_file():
            raise ConfigError(
                f"pretrained is {IMAGENET}, but {file} is missing; put torchvision's {file.name} there, or set "
                f"pretrained to its place or to {NONE}, or download to true"
            )
        return file


def _built(name: str, num_labels: int) -> nn.Module:
    from torchvision import models

    function = ARCHITECTURES[name].function
    still = {"stochastic_depth_prob": 0.0} if function.startswith("convnext") else {}
    return getattr(models, function)(weights=None, num_classes=num_labels, **still)  # type: ignore[no-any-return]


def _empty(name: str) -> nn.Module:
    """Return a network of which the values mean nothing yet."""
    with torch.device("meta"):  # nothing is drawn
        module = _built(name, 1)
    keep_statistics(module)
    make_room(module)
    return module


def _fetch(name: str) -> None:
    """Let torchvision download its weights to where it looks for them itself."""
    from torchvision import models

    weights = models.get_model_weights(ARCHITECTURES[name].function).IMAGENET1K_V1
    try:
        weights.get_state_dict(progress=False, check_hash=True)
    except (OSError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:120]
        raise ConfigError(
            f"torchvision's weights of {name} cannot be downloaded ({reason}); get {weights.url} some other way and "
            "set pretrained to where it is"
        ) from None


def _draw(name: str, module: nn.Module, generator: torch.Generator) -> None:
    """Draw the values of a network, or of a layer of it, from the distributions that torchvision draws from."""
    is_convnext = name.endswith("convnext-tiny")
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear) and is_convnext:
            nn.init.trunc_normal_(layer.weight, std=0.02, generator=generator)
            if layer.bias is not None:
                layer.bias.zero_()
        elif isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu", generator=generator)
        elif isinstance(layer, nn.Linear):
            draw_uniform(layer, generator)
        elif not start_norm(layer) and hasattr(layer, "layer_scale"):
            layer.get_parameter("layer_scale").fill_(1e-6)


@torch.no_grad()
def _load(name: str, module: nn.Module, file: Path) -> None:
    """Overwrite all values but the last layer's with a file's.

    Raises
    ------
    ConfigError
        Where the file lacks some, or has others.
    """
    read, head = _state_in(file), ARCHITECTURES[name].head
    own = {key: value for key, value in module.state_dict().items() if not key.startswith(f"{head}.")}
    instead = f"give a state dict of {name}, or set pretrained to {IMAGENET} or {NONE}"
    for key, value in own.items():
        if not isinstance(read.get(key), Tensor):
            raise ConfigError(f"{file} lacks {key!r}; {instead}")
        if read[key].shape != value.shape:
            shapes = f"{list(read[key].shape)}, not {list(value.shape)}"
            raise ConfigError(f"{key!r} in {file} has the shape {shapes}; {instead}")
        value.copy_(read[key])
    known = (f"{head}.weight", f"{head}.bias")  # with 1,000 classes or as many as there are
    others = [key for key in read if key not in own and key not in known and not key.endswith("num_batches_tracked")]
    if others:
        raise ConfigError(f"{file} has {others[0]!r}, which {name} has not; {instead}")


def _state_in(file: Path) -> dict[str, Any]:
    try:
        read = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises whatever its unpickler meets in a damaged file
        reason = " ".join(str(error).split())[:120]
        raise ConfigError(f"{file} cannot be read as weights ({reason}); give a .pth file of a state dict") from None
    if not isinstance(read, dict):
        raise ConfigError(f"{file} holds a {type(read).__name__} and no state dict; save model.state_dict() in it")
    return read


def _stamp(file: Path) -> tuple[int, int]:
    about = file.stat()
    return about.st_mtime_ns, about.st_size


@lru_cache(maxsize=4)
def _digest_of(file: Path, stamp: tuple[int, int]) -> str:  # noqa: ARG001 (a file that has changed is read again)
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
