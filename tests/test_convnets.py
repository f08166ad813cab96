"""The networks of the debiasing literature: sizes by hand, norms that know no other image, one vector."""

from typing import Any

import pytest
import torch

from fedjtt.convnets import norm, scaled
from fedjtt.data.grouped import GroupedDataset
from fedjtt.data.sampling import gather
from fedjtt.errors import ConfigError
from fedjtt.models import SizedModel, build_model
from fedjtt.provide import fast_layout

SHAPE = (3, 16, 16)


def built(name: str, width: float = 0.125, shape: tuple[int, ...] = SHAPE) -> Any:
    return build_model(SizedModel(name, width), shape, 10, torch.Generator().manual_seed(0))


def test_the_cnns_weights_by_hand() -> None:
    """4 x 4 kernels from 3 to 64 to 128 to 256 channels without biases, two a channel of norm, 256 x 10 + 10."""
    convolutions = 16 * (3 * 64 + 64 * 128 + 128 * 256)
    assert len(built("cmnist-cnn", 1.0).vector) == convolutions + 2 * (64 + 128 + 256) + 2570


def test_resnet18s_weights_are_the_published_ones_less_what_differs() -> None:
    """torchvision's has 11,689,512: of its 7x7 first convolution (9,408) a 3x3 is left (1,728), of 1000 labels 10."""
    published = 11_689_512 - 9_408 + 1_728 - 513_000 + 5_130
    assert len(built("resnet18", 1.0).vector) == published


@pytest.mark.parametrize("name", ["cmnist-cnn", "resnet18"])
def test_an_image_is_judged_alone(name: str) -> None:
    model = built(name)
    x = torch.rand(6, *SHAPE, generator=torch.Generator().manual_seed(1))
    together = model.module(x)
    assert together.shape == (6, 10)
    torch.testing.assert_close(torch.cat([model.module(image[None]) for image in x]), together, rtol=1e-4, atol=1e-5)
    model.module.eval()
    torch.testing.assert_close(model.module(x), together)
    assert not list(model.module.named_buffers())


@pytest.mark.parametrize("name", ["cmnist-cnn", "resnet18"])
def test_every_weight_is_trained(name: str) -> None:
    model = built(name)
    x = torch.rand(8, *SHAPE, generator=torch.Generator().manual_seed(1))
    torch.nn.functional.cross_entropy(model.module(x), torch.arange(8)).backward()  # type: ignore[no-untyped-call]
    assert all(float(weight.grad.abs().max()) > 0 for weight in model.module.parameters())


@pytest.mark.parametrize("name", ["cmnist-cnn", "resnet18"])
@pytest.mark.parametrize("shape", [(4,), (3, 7, 16)])
def test_what_is_no_image_or_too_small_a_one_is_refused(name: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match=f"model {name} needs images of at least 8x8"):
        built(name, shape=shape)


@pytest.mark.parametrize(("channels", "groups"), [(64, 8), (12, 4), (3, 1), (7, 1)])
def test_a_norm_has_groups_that_fit(channels: int, groups: int) -> None:
    assert norm(channels).num_groups == groups


def test_a_width_is_rounded_and_at_least_one() -> None:
    assert [scaled(6, width) for width in (1, 0.25, 0.01, 1.25)] == [6, 2, 1, 8]


@pytest.mark.parametrize("name", ["lenet", "cmnist-cnn", "resnet18"])
@pytest.mark.parametrize("half", [torch.float32, torch.bfloat16])
def test_every_convolution_sees_images_channels_last(name: str, half: torch.dtype) -> None:
    """As they are stored; weights follow their inputs, so there is nothing to set."""
    x = torch.randint(0, 256, (5, *SHAPE), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    label = torch.zeros(5, dtype=torch.int64)
    data = fast_layout(GroupedDataset(x, label, None, torch.arange(5), 10, 1))
    module, seen = built(name, 0.5).module, []
    for layer in module.modules():
        if isinstance(layer, torch.nn.Conv2d):
            layer.register_forward_hook(lambda _, inputs, output: seen.extend((inputs[0], output)))
    with torch.autocast("cpu", half, enabled=half != torch.float32):
        module(gather(data.x, torch.arange(4)))
    assert len(seen) >= 4
    assert all(each.is_contiguous(memory_format=torch.channels_last) for each in seen)
