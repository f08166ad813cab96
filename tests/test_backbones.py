"""torchvision's networks: their values are torchvision's own, from a file or drawn, and what is wrong is one line."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchvision import models

from fedjtt.backbones import ARCHITECTURES, TorchvisionBuilder
from fedjtt.choices import BATCH_NORMED, TORCHVISION
from fedjtt.errors import ConfigError
from fedjtt.evaluation import last_layer
from fedjtt.models import FlatModel, build_model, digest
from fedjtt.seeding import torch_generator

SHAPE = (3, 40, 40)
SMALL = "torchvision-resnet18"


def torchvisions(name: str, classes: int = 1000, seed: int = 7) -> nn.Module:
    """torchvision's network with statistics as training leaves them, and not the 0 and 1 that it begins with."""
    torch.manual_seed(seed)
    module: nn.Module = getattr(models, ARCHITECTURES[name].function)(num_classes=classes)
    for key, value in module.state_dict().items():
        if key.endswith("running_mean"):
            value.uniform_(-0.1, 0.1)
        elif key.endswith("running_var"):
            value.uniform_(0.5, 1.5)
        elif key.endswith("layer_scale"):  # 1e-6 at first, which would hide most of the network
            value.fill_(0.5)
    return module.eval()


def built(name: str, pretrained: str = "none", seed: int = 0, classes: int = 5, download: bool = False) -> FlatModel:
    builder = TorchvisionBuilder(name, pretrained, download)
    return build_model(builder, SHAPE, classes, torch_generator(seed, "weights"))


def images(n: int = 2) -> Tensor:
    return torch.rand(n, *SHAPE, generator=torch.Generator().manual_seed(1))


def saved(folder: Path, state: Any, name: str = "own.pth") -> str:
    torch.save(state, folder / name)
    return str(folder / name)


def test_the_names_files_and_widths_are_torchvisions() -> None:
    assert tuple(ARCHITECTURES) == TORCHVISION
    for name, about in ARCHITECTURES.items():
        weights = models.get_model_weights(about.function).IMAGENET1K_V1
        assert weights.url.rsplit("/", 1)[1] == about.file
        with torch.device("meta"):
            module = TorchvisionBuilder(name)(SHAPE, 1000)
        assert sum(p.numel() for p in module.parameters()) == weights.meta["num_params"]
        assert last_layer(module) is module.get_submodule(about.head)
        assert last_layer(module).in_features == about.width == TorchvisionBuilder(name).width
        has_norms = any(isinstance(layer, nn.BatchNorm2d) for layer in module.modules())
        assert has_norms == (name in BATCH_NORMED)


@pytest.mark.parametrize("name", [pytest.param(name, marks=[] if name == SMALL else pytest.mark.slow)
                                  for name in TORCHVISION])  # fmt: skip
def test_a_state_dict_gives_torchvisions_logits(name: str, tmp_path: Path) -> None:
    """With the same last layer, which a state dict does not give: it is drawn. The file may have it or not."""
    module = torchvisions(name)
    state, head = module.state_dict(), ARCHITECTURES[name].head
    model = built(name, saved(tmp_path, state), classes=1000)
    mine = last_layer(model.module.eval())
    expected = last_layer(module)
    assert not torch.equal(mine.weight, expected.weight)
    with torch.no_grad():
        mine.weight.copy_(expected.weight)
        mine.bias.copy_(expected.bias)
        torch.testing.assert_close(model.module(images()), module(images()), rtol=1e-5, atol=1e-5)
    headless = {key: value for key, value in state.items() if not key.startswith(head)}
    one, other = (built(name, saved(tmp_path, given)) for given in (state, headless))
    assert digest(one.vector) == digest(other.vector)


@pytest.mark.parametrize("name", [SMALL, "torchvision-convnext-tiny"])
def test_drawn_values_have_torchvisions_distribution(name: str) -> None:
    """By layer, the standard deviation of torchvision's own values, which come from torch's global generator."""
    drawn, torchs = built(name, classes=1000), getattr(models, ARCHITECTURES[name].function)()
    wanted = dict(torchs.named_parameters())
    for key, drawn_value in drawn.module.named_parameters():
        value, expected = drawn_value.detach(), wanted[key].detach()
        assert value.shape == expected.shape
        # Over n draws a deviation has the relative standard error 1 / sqrt(2 n), a mean one of deviation / sqrt(n);
        # so has the other, and five of both are allowed.
        error = 1 / value.numel() ** 0.5
        assert float(value.std()) == pytest.approx(float(expected.std()), rel=10 * error / 2**0.5, abs=1e-8), key
        assert float(value.mean()) == pytest.approx(float(expected.mean()), abs=10 * error * float(value.std()) + 1e-8)
    assert digest(drawn.vector) == digest(built(name, classes=1000).vector) != digest(built(name, seed=1).vector)


def test_building_leaves_torchs_global_generator_alone() -> None:
    before = torch.get_rng_state()
    built(SMALL)
    assert torch.equal(before, torch.get_rng_state())


def test_nothing_is_drawn_in_training_either() -> None:
    """Stochastic depth would draw, and equal seeds would no longer give equal weights."""
    model = built("torchvision-convnext-tiny")
    before = torch.get_rng_state()
    model.module.train()(images()).sum().backward()
    assert torch.equal(before, torch.get_rng_state())


def change(key: str, value: Tensor | None) -> Callable[[dict[str, Any]], Any]:
    def changed(state: dict[str, Any]) -> Any:
        state.pop(key, None)
        return state if value is None else {**state, key: value}

    return changed


@pytest.mark.parametrize(
    ("spoil", "line"),
    [
        (change("layer2.0.bn1.running_var", None), "lacks 'layer2.0.bn1.running_var'; give a state dict of"),
        (change("conv1.weight", torch.zeros(64, 1, 7, 7)), r"'conv1.weight' in .* shape \[64, 1, 7, 7\], not \[64, 3,"),
        (
            change("layer1.2.conv1.weight", torch.zeros(1)),
            "has 'layer1.2.conv1.weight', which torchvision-resnet18 has",
        ),
        (change("bn1.bias", None), "lacks 'bn1.bias'"),
        (lambda state: [state], "holds a list and no state dict; save model.state_dict"),
    ],
)
def test_a_file_that_does_not_fit_is_one_line(spoil: Callable[[Any], Any], line: str, tmp_path: Path) -> None:
    file = saved(tmp_path, spoil(torchvisions(SMALL).state_dict()))
    with pytest.raises(ConfigError, match=line) as caught:
        TorchvisionBuilder(SMALL, file).check()
    assert "\n" not in str(caught.value)
    with pytest.raises(ConfigError, match=line):
        built(SMALL, file)


def test_a_damaged_or_missing_file_is_one_line(tmp_path: Path) -> None:
    file = Path(saved(tmp_path, torchvisions(SMALL).state_dict()))
    file.write_bytes(file.read_bytes()[:5000])
    with pytest.raises(ConfigError, match=r"own\.pth cannot be read as weights \(.*\); give a \.pth file") as caught:
        built(SMALL, str(file))
    assert "\n" not in str(caught.value)
    with pytest.raises(ConfigError, match=r"pretrained is 'nowhere\.pth', and there is no such file; name a"):
        TorchvisionBuilder(SMALL, "nowhere.pth").check()


def test_a_pickle_that_would_run_code_is_not_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read as weights"):
        built(SMALL, saved(tmp_path, {"conv1.weight": Path}))


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """torchvision's own cache, empty."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    return tmp_path / "hub" / "checkpoints"


def test_offline_one_line_says_where_to_put_the_file(hub: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        TorchvisionBuilder(SMALL, "imagenet").check()
    assert f"{hub}/resnet18-f37072fd.pth is missing; put torchvision's resnet18-f37072fd.pth there" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_torchvision_has_fetched_before_is_used(hub: Path) -> None:
    state = torchvisions(SMALL).state_dict()
    saved(hub, state, "resnet18-f37072fd.pth")
    model = built(SMALL, "imagenet")
    assert torch.equal(model.module.get_parameter("conv1.weight"), state["conv1.weight"])
    assert torch.equal(model.module.get_buffer("bn1.running_var"), state["bn1.running_var"])


def test_a_download_is_torchvisions_own(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The real one was not tried: there is no internet here."""
    state, asked = torchvisions(SMALL).state_dict(), []

    def fake(url: str, **rest: Any) -> dict[str, Any]:
        asked.append((url, rest["check_hash"]))
        saved(hub, state, url.rsplit("/", 1)[1])
        return state

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", fake)
    model = built(SMALL, "imagenet", download=True)
    assert asked == [(models.ResNet18_Weights.IMAGENET1K_V1.url, True)]
    assert torch.equal(model.module.get_parameter("conv1.weight"), state["conv1.weight"])
    built(SMALL, "imagenet", download=True)
    assert len(asked) == 1


def test_a_download_that_fails_is_one_line(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: object, **__: object) -> None:
        raise OSError("name or service\nnot known")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", offline)
    with pytest.raises(ConfigError, match=r"cannot be downloaded \(name or service not known\); get https.*\.pth "):
        built(SMALL, "imagenet", download=True)
    assert not list(hub.iterdir())


@pytest.mark.parametrize(("shape", "line"), [((1, 40, 40), "3 channels, not 1"), ((3, 31, 40), "at least 32x32"),
                                             ((12,), "at least 32x32")])  # fmt: skip
def test_inputs_that_it_cannot_take(shape: tuple[int, ...], line: str) -> None:
    with pytest.raises(ConfigError, match=line):
        build_model(TorchvisionBuilder(SMALL), shape, 2, None)


def test_frozen_it_gives_what_the_last_layer_sees(tmp_path: Path) -> None:
    module = torchvisions(SMALL)
    builder = TorchvisionBuilder(SMALL, saved(tmp_path, module.state_dict()))
    frozen = builder.frozen(SHAPE, "cpu")
    assert not frozen.training
    assert not any(p.requires_grad for p in frozen.parameters())
    with torch.no_grad():
        features, logits = frozen(images()), module(images())
        assert features.shape == (2, builder.width)
        torch.testing.assert_close(last_layer(module)(features), logits, rtol=1e-5, atol=1e-5)
    with pytest.raises(ConfigError, match="without pretrained weights"):
        TorchvisionBuilder(SMALL).frozen(SHAPE, "cpu")


def test_the_digest_is_of_the_files_content(tmp_path: Path) -> None:
    state = torchvisions(SMALL).state_dict()
    one, same = (TorchvisionBuilder(SMALL, saved(tmp_path, state, name)) for name in ("a.pth", "b.pth"))
    assert len(one.weights_digest()) == 64
    Path(same.pretrained).write_bytes(Path(one.pretrained).read_bytes())
    assert one.weights_digest() == same.weights_digest()
    saved(tmp_path, {**state, "bn1.bias": state["bn1.bias"] + 1}, "b.pth")
    assert one.weights_digest() != same.weights_digest()
    assert TorchvisionBuilder(SMALL).weights_digest() == ""
