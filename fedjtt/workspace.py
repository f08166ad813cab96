"""The run's network in a process: one for all machines, built once, and the values that it begins with."""

from functools import lru_cache

from torch import Tensor

from fedjtt.backbones import IMAGENET, NONE, TorchvisionBuilder
from fedjtt.choices import TORCHVISION, TRANSFORMERS
from fedjtt.config import RunConfig
from fedjtt.data.options import folder_of_names
from fedjtt.errors import ConfigError
from fedjtt.models import FlatModel, ModelBuilder, SizedModel, build_model
from fedjtt.pretrained_text import PretrainedBuilder
from fedjtt.seeding import torch_generator


def builder_of(config: RunConfig, own: ModelBuilder | None = None) -> ModelBuilder:
    """Return what builds a run's network: the caller's own function, or what the config names.

    Raises
    ------
    ConfigError
        Where the caller's own is to have another size, or to have no part in it.
    """
    if config.features == "cached":
        if own is not None:
            raise ConfigError("features is cached, but model is a function; name a model, or leave features out")
        return SizedModel("logistic")
    named = SizedModel(config.model, config.model_width, config.model_depth)
    if own is not None and named != SizedModel(config.model):
        raise ConfigError("model-width and model-depth are for named models; leave them out where model is a function")
    return own or pretrained_of(config) or named


def pretrained_of(config: RunConfig) -> TorchvisionBuilder | PretrainedBuilder | None:
    """Return the builder of a network that there are pretrained weights for, or None for another."""
    if config.model in TORCHVISION:
        named = config.pretrained in (IMAGENET, NONE)
        pretrained = config.pretrained if named else str(folder_of_names(config.data_dir) / config.pretrained)
        return TorchvisionBuilder(config.model, pretrained, config.download)
    if config.model in TRANSFORMERS:
        return PretrainedBuilder(config.model, config.text_model, config.download)
    return None


@lru_cache(maxsize=4)
def network_of(builder: ModelBuilder, shape: tuple[int, ...], num_labels: int, device: str, purpose: str) -> FlatModel:  # noqa: ARG001
    """Return a network to load values into, another one for each purpose.

    Building it costs as much as training a small machine's round; and a machine that is sent all values need not have
    a file of pretrained ones.
    """
    return build_model(builder, shape, num_labels, None, device)


@lru_cache(maxsize=4)
def initial_values(builder: ModelBuilder, shape: tuple[int, ...], num_labels: int, seed: int, purpose: str) -> Tensor:
    """Return what a network for a purpose begins with: the same on every machine."""
    return build_model(builder, shape, num_labels, torch_generator(seed, purpose)).vector
