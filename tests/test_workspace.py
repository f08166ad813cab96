"""A process's networks: one for all machines, whatever they begin with, and who builds it."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from fedjtt.backbones import TorchvisionBuilder
from fedjtt.errors import ConfigError
from fedjtt.models import SizedModel
from fedjtt.pretrained_text import PretrainedBuilder
from fedjtt.workspace import builder_of, initial_values, network_of
from tests.tiny import node_of, tiny_config, tiny_splits


def linear(shape: tuple[int, ...], labels: int) -> nn.Module:
    return nn.Linear(shape[0], labels)


@pytest.mark.parametrize(
    ("changes", "builder"),
    [
        ({}, SizedModel("mlp")),
        ({"model_width": 0.5, "model_depth": 3}, SizedModel("mlp", 0.5, 3)),
        ({"dataset": "celeba", "model": "torchvision-resnet34", "download": True},
         TorchvisionBuilder("torchvision-resnet34", "imagenet", download=True)),
        ({"dataset": "sick", "model": "bert", "text_model": "there"}, PretrainedBuilder("bert", "there")),
    ],
)  # fmt: skip
def test_the_config_says_who_builds(changes: dict[str, Any], builder: Any) -> None:
    assert builder_of(tiny_config(**changes)) == builder


def test_the_callers_own_function_wins_and_has_one_size() -> None:
    assert builder_of(tiny_config(), linear) is linear
    with pytest.raises(ConfigError, match="model-width and model-depth are for named models"):
        builder_of(tiny_config(model_width=2.0), linear)


def test_a_process_has_one_network_for_a_purpose_and_one_set_of_values_for_a_seed() -> None:
    about = (SizedModel("mlp"), (4,), 2)
    assert network_of(*about, "cpu", "weights") is network_of(*about, "cpu", "weights")
    assert network_of(*about, "cpu", "weights") is not network_of(*about, "cpu", "biased-weights")
    first = initial_values(*about, 0, "weights")
    assert not torch.equal(first, initial_values(*about, 1, "weights"))
    assert not torch.equal(first, initial_values(*about, 0, "biased-weights"))
    node = node_of(tiny_config(seed=0), tiny_splits().train)
    assert torch.equal(node.initial_model().vector, first)
    node.load(torch.zeros_like(first).numpy())
    assert torch.equal(node.initial_model().vector, first)


def test_a_machine_that_is_sent_weights_needs_no_file_of_them(tmp_path: Path) -> None:
    missing = tmp_path / "missing.pth"
    builder = TorchvisionBuilder("torchvision-resnet18", str(missing))
    assert network_of(builder, (3, 32, 32), 2, "cpu", "weights").running == 9600  # 2 x 4,800 channels
    with pytest.raises(ConfigError, match="there is no such file"):
        initial_values(builder, (3, 32, 32), 2, 0, "weights")
