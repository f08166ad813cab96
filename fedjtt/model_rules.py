"""What a run configuration may not say of its network: sizes, pretrained weights, and norms with running statistics."""

from typing import TYPE_CHECKING

from fedjtt.automatic import model_of
from fedjtt.choices import BATCH_NORMED, OF_TEXT, SIZED_BY, TEXTS, TORCHVISION
from fedjtt.errors import ConfigError

if TYPE_CHECKING:
    from fedjtt.config import RunConfig

INSTEAD = "use a model with group norms, such as resnet18"


def size_contradiction(config: "RunConfig") -> str | None:
    """Return what would make a network larger or smaller that has only one size, or None."""
    model = model_of(config)
    for size in ("width", "depth"):
        name, fitting = f"model_{size}", [name for name, sizes in SIZED_BY.items() if size in sizes]
        others = [each for each in fitting if (each in OF_TEXT) == (config.dataset in TEXTS)]
        value = getattr(config, name)
        if model not in fitting and value != type(config).model_fields[name].default:
            key = f"model-{size}"
            instead = f", or set model to {' or '.join(others)}" if others else ""
            return f"{key} is {value}, but model is {model}; leave {key} out{instead}"
    return None


def pretrained_contradiction(config: "RunConfig") -> str | None:
    """Return what is about pretrained weights where the network has none of torchvision's, or None."""
    if config.pretrained == "":
        return "pretrained is empty; give imagenet, none, or a .pth file"
    if config.pretrained != "auto" and model_of(config) not in TORCHVISION:
        return (
            f"pretrained is {config.pretrained}, but model is {model_of(config)}; leave pretrained out, or set model "
            f"to {', '.join(TORCHVISION[:-1])} or {TORCHVISION[-1]}"
        )
    return None


def named_norms_contradiction(config: "RunConfig") -> str | None:
    """Return what does not go with the batch norms of a named network, or None."""
    return norms_contradiction(config) if model_of(config) in BATCH_NORMED else None


def check_norms(config: "RunConfig", running: int) -> None:
    """Refuse what does not go with batch norms where a network, the caller's own too, has running statistics."""
    if running and (text := norms_contradiction(config)) is not None:
        raise ConfigError(text)


def norms_contradiction(config: "RunConfig") -> str | None:
    """Return what does not go with batch norms, whose running statistics stand behind the weights, or None."""
    if config.method == "rest":
        return f"method is rest, which has no mask for the running statistics of batch norms; {INSTEAD}"
    if config.noise_multiplier:
        return (
            f"noise-multiplier is {config.noise_multiplier:g}, but the running variances of batch norms cannot have "
            f"noise; {INSTEAD}"
        )
    return None
