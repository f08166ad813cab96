"""Grad-CAM: the layer, the numbers by hand, and a network that was taught to look at a patch."""

import sys
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from experiments.grad_cam import class_activation_maps, last_maps
from fedjtt.convnets import ColouredMnistCNN, ResNet18
from fedjtt.data.grouped import GroupedDataset
from fedjtt.data.sampling import gather, shuffled_passes
from fedjtt.errors import ConfigError
from fedjtt.models import MLP, LeNet, build_model
from fedjtt.training import Span, TrainSettings, train


class Averaged(nn.Module):
    """A convolution of 1x1 from one channel to two, its maps averaged, and a linear layer to two logits."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 1, bias=False)
        self.fc = nn.Linear(2, 2, bias=False)
        with torch.no_grad():
            self.conv.weight.copy_(torch.tensor([2.0, -1.0]).view(2, 1, 1, 1))
            self.fc.weight.copy_(torch.tensor([[1.0, 3.0], [-1.0, -8.0]]))

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.conv(x).mean(dim=(2, 3)))  # type: ignore[no-any-return]


def test_the_map_is_the_one_by_hand() -> None:
    """Maps 2x and -x; a logit's gradient at each of the four places is its weight / 4, and so is the mean.

    Label 0: relu((2x - 3x) / 4) = relu(-x) / 4; label 1: relu((-2x + 8x) / 4) = relu(1.5 x).
    """
    x = torch.tensor([[1.0, -2.0], [0.0, 4.0]]).expand(2, 1, 2, 2)
    maps = class_activation_maps(Averaged(), x, torch.tensor([0, 1]))
    torch.testing.assert_close(maps[0], torch.tensor([[0.0, 0.5], [0.0, 0.0]]))
    torch.testing.assert_close(maps[1], torch.tensor([[1.5, 0.0], [0.0, 6.0]]))


def test_a_map_of_lenet_is_weights_by_activations_upsampled() -> None:
    model = build_model("lenet", (3, 28, 28), 5, torch.Generator().manual_seed(0)).module.eval()
    assert isinstance(model, LeNet)
    x = torch.rand(4, 3, 28, 28, generator=torch.Generator().manual_seed(1))
    target = torch.tensor([0, 4, 2, 2])
    kept: list[Tensor] = []
    hook = model.conv2.register_forward_hook(lambda *seen: kept.append(seen[2]))
    logits = model(x)
    hook.remove()
    chosen = logits[torch.arange(4), target]
    (slope,) = torch.autograd.grad(chosen.sum(), kept[0])  # an image's logit depends on its own maps only
    weights = slope.sum(dim=(2, 3)) / 100  # 10 x 10 places
    expected = torch.einsum("nc,nchw->nhw", weights, kept[0]).clamp(min=0)
    found = class_activation_maps(model, x, target)
    assert found.shape == (4, 28, 28)
    upsampled = nn.functional.interpolate(expected.unsqueeze(1), (28, 28), mode="bilinear").squeeze(1)
    torch.testing.assert_close(found, upsampled.detach())


def named(module: nn.Module, layer: nn.Module) -> str:
    return next(name for name, each in module.named_modules() if each is layer)


def torchvision_model(name: str) -> nn.Module:
    import torchvision

    module: nn.Module = getattr(torchvision.models, name)(weights=None)
    return module


@pytest.mark.parametrize(
    ("build", "side", "layer"),
    [
        (lambda: LeNet((3, 28, 28), 5), 28, "conv2"),  # pooled and cut off by functions, which are no layers
        (lambda: ColouredMnistCNN((3, 28, 28), 10), 28, "norm3"),
        (lambda: ResNet18((3, 32, 32), 10), 32, "blocks"),  # with the shortcuts, not the last block's convolution
        (lambda: torchvision_model("resnet18"), 224, "layer4"),
        (lambda: torchvision_model("convnext_tiny"), 224, "features"),
        (lambda: torchvision_model("mobilenet_v3_small"), 224, "features"),  # whose squeezed maps have one place
        (lambda: torchvision_model("vgg11"), 224, "features.19"),  # the ReLU before the last pooling
    ],
)
def test_the_layer_is_the_last_with_the_last_convolutions_maps(
    build: Callable[[], nn.Module], side: int, layer: str
) -> None:
    with torch.device("meta"):  # shapes only
        module = build().eval()
        assert named(module, last_maps(module, torch.zeros(1, 3, side, side))) == layer
    assert not any(each._forward_hooks for each in module.modules())


def test_a_network_without_a_convolution_is_refused_in_one_line() -> None:
    with pytest.raises(ConfigError, match="needs maps of a convolution, which this network does not have"):
        last_maps(MLP((3, 8, 8), 2), torch.zeros(1, 3, 8, 8))


def test_without_captum_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "captum", None)
    with pytest.raises(ConfigError, match=r"not installed; pip install 'fedjtt\[pictures\]'"):
        class_activation_maps(Averaged(), torch.zeros(1, 1, 2, 2), torch.tensor([0]))


class Pooled(nn.Module):
    """Two strided convolutions, their maps averaged over the image, and a linear layer."""

    def __init__(self, shape: tuple[int, ...], labels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(shape[0], 8, 4, stride=2, padding=1)
        self.conv2 = nn.Conv2d(8, 16, 4, stride=2, padding=1)
        self.relu = nn.ReLU()
        self.fc = nn.Linear(16, labels)

    def forward(self, x: Tensor) -> Tensor:
        maps = self.relu(self.conv2(self.conv1(x).relu()))
        return self.fc(maps.mean(dim=(2, 3)))  # type: ignore[no-any-return]


def patched(examples: int) -> tuple[GroupedDataset, Tensor]:
    """Images of noise, 32 x 32, every other with a red patch of 8 x 8 somewhere; and where, float 0 and 1."""
    chance = torch.Generator().manual_seed(2)
    x = torch.randint(0, 120, (examples, 3, 32, 32), generator=chance, dtype=torch.uint8)
    label, where = torch.arange(examples) % 2, torch.zeros(examples, 32, 32)
    corners = 8 * torch.randint(0, 4, (examples, 2), generator=chance)
    for row, (top, left) in enumerate(corners.tolist()):
        if label[row]:
            where[row, top : top + 8, left : left + 8] = 1
    x[:, 0] = torch.where(where > 0, 255, x[:, 0])
    return GroupedDataset(x, label, None, torch.arange(examples), 2, 1), where


def test_a_network_that_was_taught_a_patch_looks_at_the_patch() -> None:
    data, where = patched(200)
    model = build_model(Pooled, (3, 32, 32), 2, torch.Generator().manual_seed(4))
    batches = shuffled_passes(torch.ones(200, dtype=torch.int64), 20, 200, torch.Generator().manual_seed(4))
    train(model, data, batches, TrainSettings(0.05, 0.9, 0.0), Span(0, 200, 200))
    x = gather(data.x, torch.arange(200))
    assert torch.equal(model.module.eval()(x).argmax(dim=1), data.label)
    found = data.label == 1
    maps, patch = class_activation_maps(model.module, x[found], data.label[found]), where[found]
    # A place of the 8 x 8 maps covers 4 x 4 pixels and fades into its neighbours: a rim of 4 pixels belongs to it.
    near = nn.functional.max_pool2d(patch.unsqueeze(1), 9, stride=1, padding=4).squeeze(1)
    mass = maps.sum(dim=(1, 2))
    assert (mass > 0).all()
    inside, area = (maps * near).sum(dim=(1, 2)) / mass, near.mean(dim=(1, 2))
    assert float(area.max()) == 0.25  # 16 x 16 of 32 x 32
    assert float((inside / area).min()) > 2.5
    assert float(inside.mean()) > 0.8
