"""What a run configuration may not say of its network: sizes, pretrained weights, and norms with running statistics."""

from typing import TYPE_CHECKING

from fedjtt.automatic import model_of
from fedjtt.choices import BATCH_NORMED, NORMED, OF_TEXT, SIZED_BY, TEXTS, TORCHVISION, TRANSFORMERS
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


def features_contradiction(config: "RunConfig") -> str | None:
    """Return why a network has no features to keep, or what is about features where the network is trained, or None."""
    if config.features == "none":
        given = (
            f"feature-cache is {config.feature_cache!r}, but features is none; leave it out, or set features to cached"
        )
        return given if config.feature_cache else None
    pretrained = TRANSFORMERS if config.dataset in TEXTS else TORCHVISION
    if model_of(config) not in pretrained:
        return (
            f"features is cached, but model is {model_of(config)}, which no pretrained weights are known of; set model "
            f"to {', '.join(pretrained[:-1])} or {pretrained[-1]}"
        )
    if config.pretrained == "none":
        return "features is cached, but pretrained is none; set pretrained to imagenet or to a .pth file"
    return None


def attribution_contradiction(config: "RunConfig") -> str | None:
    """Return why gradients cannot be projected by a named network's layers, which is known before it is trained."""
    measured = config.method == "auto-d3m" or (config.method == "d3m" and config.d3m_remove_by == "score")
    whole = config.projection == "factored" and config.attribution_layers == "all" and config.features == "none"
    if not (measured and whole) or model_of(config) not in NORMED:
        return None
    return (
        f"projection is factored, which is for linear layers and convolutions, but model {model_of(config)} has norms; "
        "set projection to dense, or attribution-layers to last"
    )


def named_norms_contradiction(config: "RunConfig") -> str | None:
    """Return what does not go with the batch norms of a named network that is trained, or None."""
    trained = model_of(config) in BATCH_NORMED and config.features == "none"
    return norms_contradiction(config) if trained else None


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
