"""Networks as one vector: parameters, initial values, and what cannot be built."""

import hashlib
import inspect
import math
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from fedjtt.choices import PRETRAINED, SIZED_BY
from fedjtt.errors import ConfigError
from fedjtt.models import MODELS, FlatModel, LeNet, SizedModel, build_model, digest
from fedjtt.seeding import torch_generator
from tests.tiny import REPO

IMAGE = (3, 28, 28)


def generator(seed: int = 0) -> torch.Generator:
    return torch_generator(seed, "weights")


def test_lenet_has_the_parameters_of_its_layers() -> None:
    # (5*5*3+1)*6 + (5*5*6+1)*16 + (16*5*5+1)*120 + (120+1)*84 + (84+1)*5; 28 -> 14 -> 10 -> 5
    assert build_model("lenet", IMAGE, 5, generator()).vector.shape == (456 + 2416 + 48120 + 10164 + 425,)


def test_mlp_takes_any_shape() -> None:
    # (2*3+1)*128 + 129*128 + 129*4
    model = build_model("mlp", (2, 3), 4, generator())
    assert model.vector.shape == (7 * 128 + 129 * 128 + 129 * 4,)
    assert model.module(torch.zeros(7, 2, 3)).shape == (7, 4)


@pytest.mark.parametrize(
    ("width", "units"),
    [
        (0.5, (3, 8, 60, 42)),
        (2, (12, 32, 240, 168)),
        (0.25, (2, 4, 30, 21)),  # 1.5 channels are 2: halves go up
        (0.001, (1, 1, 1, 1)),
    ],
)
def test_lenets_width_is_a_factor_on_channels_and_hidden_units(width: float, units: tuple[int, ...]) -> None:
    maps1, maps2, units1, units2 = units
    by_layer = [
        (5 * 5 * 3 + 1) * maps1, (5 * 5 * maps1 + 1) * maps2, (maps2 * 5 * 5 + 1) * units1, (units1 + 1) * units2,
        (units2 + 1) * 5,
    ]  # fmt: skip
    model = build_model(SizedModel("lenet", width), IMAGE, 5, generator())
    assert len(model.vector) == sum(by_layer)
    assert model.module(torch.zeros(2, *IMAGE)).shape == (2, 5)


@pytest.mark.parametrize(
    ("width", "depth", "parameters"),
    [
        (1, 1, 7 * 128 + 129 * 4),
        (1, 4, 7 * 128 + 3 * 129 * 128 + 129 * 4),
        (0.5, 2, 7 * 64 + 65 * 64 + 65 * 4),
        (3, 3, 7 * 384 + 2 * 385 * 384 + 385 * 4),
        (1e-9, 2, 7 + 2 + 2 * 4),
    ],
)
def test_the_mlps_width_and_depth(width: float, depth: int, parameters: int) -> None:
    model = build_model(SizedModel("mlp", width, depth), (2, 3), 4, generator())
    assert len(model.vector) == parameters
    assert model.module(torch.zeros(7, 2, 3)).shape == (7, 4)


@pytest.mark.parametrize("name", ["lenet", "mlp", "logistic"])  # of the others see test_convnets.py
def test_the_size_that_nobody_asks_for_is_the_published_one(name: str) -> None:
    """Weights, and so digests, are those of the networks written out here, in the order of their layers."""
    written_out = {
        "lenet": lambda: [
            nn.Conv2d(3, 6, 5, padding=2), nn.MaxPool2d(2), nn.ReLU(), nn.Conv2d(6, 16, 5), nn.MaxPool2d(2), nn.ReLU(),
            nn.Flatten(), nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 5),
        ],
        "mlp": lambda: [
            nn.Flatten(), nn.Linear(2352, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 5)
        ],
        "logistic": lambda: [nn.Flatten(), nn.Linear(2352, 5)],
    }  # fmt: skip
    plain = build_model(lambda *_: nn.Sequential(*written_out[name]()), IMAGE, 5, generator())
    sized = build_model(SizedModel(name, 1.0, 2), IMAGE, 5, generator())
    assert digest(sized.vector) == digest(plain.vector) == digest(build_model(name, IMAGE, 5, generator()).vector)
    x = torch.rand(3, *IMAGE, generator=generator(1))
    assert torch.equal(sized.module(x), plain.module(x))


def test_the_mlp_is_relu_after_every_hidden_layer_and_ends_in_its_last() -> None:
    net = build_model(SizedModel("mlp", 0.03125, 3), (5,), 2, generator()).module  # four units
    assert [name for name, _ in net.named_parameters()][::2] == ["fc1.weight", "fc2.weight", "fc3.weight", "fc4.weight"]
    x = torch.rand(6, 5, generator=generator(1))
    y = x
    for number in (1, 2, 3):
        layer = net.get_submodule(f"fc{number}")
        y = functional.relu(layer(y))
        assert y.shape == (6, 4)
    assert torch.equal(net(x), net.get_submodule("fc4")(y))


def test_builders_of_one_size_are_equal_and_of_two_sizes_not() -> None:
    """A process keeps a network by its builder."""
    assert SizedModel("mlp", 2.0, 3) == SizedModel("mlp", 2.0, 3)
    assert hash(SizedModel("mlp", 2.0, 3)) == hash(SizedModel("mlp", 2.0, 3))
    assert len({SizedModel("mlp"), SizedModel("lenet"), SizedModel("mlp", 2.0), SizedModel("mlp", 1.0, 3)}) == 4


def test_the_sizes_that_a_config_may_choose_are_those_of_the_networks() -> None:
    taken = {name: set(inspect.signature(builder).parameters) for name, builder in MODELS.items()}
    assert {name: set(sizes) for name, sizes in SIZED_BY.items() if name not in PRETRAINED} == {
        name: parameters - {"input_shape", "num_labels"} for name, parameters in taken.items()
    }


def test_logistic_is_one_linear_layer_over_the_flattened_input() -> None:
    model = build_model("logistic", (2, 3), 4, generator())
    assert model.vector.shape == (7 * 4,)  # (2*3+1)*4
    x = torch.rand(5, 2, 3, generator=generator(1))
    weight, bias = model.vector[:24].view(4, 6), model.vector[24:]
    torch.testing.assert_close(model.module(x).detach(), x.view(5, 6) @ weight.T + bias)
    assert float(weight.abs().max()) <= 1 / math.sqrt(6)


@pytest.mark.parametrize("name", ["mlp", "logistic"])
def test_columns_are_an_input_like_images(name: str) -> None:
    """A table's row is a vector of inputs: 40 of them in heart4."""
    model = build_model(name, (40,), 2, generator())
    assert model.module(torch.zeros(3, 40)).shape == (3, 2)
    assert model.module(torch.zeros(0, 40)).shape == (0, 2)


def test_lenet_is_relu_then_pooling() -> None:
    """The textbook order of ReLU and pooling gives the same function."""
    model = build_model("lenet", IMAGE, 5, generator())
    net = model.module
    assert isinstance(net, LeNet)
    x = torch.rand(4, *IMAGE, generator=generator(1))
    y = functional.max_pool2d(functional.relu(net.conv1(x)), 2)
    y = functional.max_pool2d(functional.relu(net.conv2(y)), 2)
    y = net.fc3(functional.relu(net.fc2(functional.relu(net.fc1(y.flatten(1))))))
    torch.testing.assert_close(net(x), y)


@pytest.mark.parametrize("shape", [(3, 28, 28), (3, 12, 14), (1, 13, 12)])
@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_lenet_says_the_same_to_the_last_bit_with_and_without_gradients(
    shape: tuple[int, ...], layout: torch.memory_format
) -> None:
    """Without gradients it pools in another way. Few different values: most windows hold their maximum twice."""
    net = build_model("lenet", shape, 5, generator()).module
    x = torch.randint(0, 2, (7, *shape), generator=generator(1)).float().contiguous(memory_format=layout)
    with torch.no_grad():
        without = net(x)
    assert torch.equal(without, net(x).detach())


@pytest.mark.parametrize("shape", [(3, 12, 12), (1, 13, 20), (3, 28, 28)])
def test_lenet_takes_images_from_12_by_12(shape: tuple[int, ...]) -> None:
    assert build_model("lenet", shape, 3, generator()).module(torch.zeros(2, *shape)).shape == (2, 3)


@pytest.mark.parametrize("shape", [(10,), (3, 11, 28), (2, 3, 28, 28)])
def test_lenet_refuses_other_inputs(shape: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match=r"lenet needs images of at least 12x12.*use mlp"):
        build_model("lenet", shape, 3, generator())


def test_an_unknown_model_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ConfigError, match="unknown model 'lenett'; did you mean 'lenet'"):
        build_model("lenett", IMAGE, 5, generator())


def test_initial_values_are_torchs_own_distribution_from_our_generator() -> None:
    """torch.nn.Linear and Conv2d draw weight and bias from U(-1/sqrt(fan_in), 1/sqrt(fan_in))."""
    before = torch.get_rng_state()
    model = build_model("lenet", IMAGE, 5, generator())
    assert torch.equal(before, torch.get_rng_state())
    for layer, fan_in in (("conv1", 75), ("conv2", 150), ("fc1", 400), ("fc2", 120), ("fc3", 84)):
        bound = 1 / math.sqrt(fan_in)
        weight, bias = (getattr(getattr(model.module, layer), name).detach() for name in ("weight", "bias"))
        assert float(weight.abs().max()) <= bound
        assert float(bias.abs().max()) <= bound
        # A uniform variable's standard deviation is bound / sqrt(3); its own error is about .5 / sqrt(n) of it.
        assert float(weight.std()) == pytest.approx(bound / math.sqrt(3), rel=4 * 0.5 / math.sqrt(weight.numel()))
    assert torch.equal(model.vector, build_model("lenet", IMAGE, 5, generator()).vector)
    assert not torch.equal(model.vector, build_model("lenet", IMAGE, 5, generator(1)).vector)


def test_parameters_and_gradients_are_views_of_two_vectors() -> None:
    model = build_model("mlp", (4,), 2, generator())
    model.module(torch.ones(3, 4)).sum().backward()
    parameters = list(model.module.parameters())
    assert torch.equal(model.vector, torch.cat([p.detach().flatten() for p in parameters]))
    assert torch.equal(model.gradient, torch.cat([p.grad.flatten() for p in parameters if p.grad is not None]))
    assert model.gradient.abs().sum() > 0
    model.load(torch.zeros_like(model.vector))
    assert all(not p.detach().any() for p in parameters)


def test_a_network_of_the_callers_own() -> None:
    model = build_model(
        lambda shape, labels: nn.Sequential(nn.Flatten(), nn.Linear(shape[0], labels, bias=False)), (4,), 2, generator()
    )
    assert model.vector.shape == (8,)


@pytest.mark.parametrize(
    ("layer", "text"),
    [(lambda: nn.Bilinear(4, 4, 4), "Bilinear"), (nn.PReLU, "PReLU")],
)
def test_a_layer_without_defined_initial_values_is_refused(layer: Callable[[], nn.Module], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        build_model(lambda shape, labels: nn.Sequential(layer(), nn.Linear(4, labels)), (4,), 2, generator())  # noqa: ARG005


def test_a_buffer_is_refused_because_nobody_would_fill_or_send_it() -> None:
    class Centred(nn.Module):
        def __init__(self, labels: int) -> None:
            super().__init__()
            self.register_buffer("mean", torch.full((4,), 0.5))
            self.out = nn.Linear(4, labels)

    with pytest.raises(ConfigError, match="buffer 'mean'"):
        build_model(lambda shape, labels: Centred(labels), (4,), 2, generator())  # noqa: ARG005


def test_the_digest_is_the_hash_of_the_bytes() -> None:
    vector = torch.tensor([1.5, -2.0])
    assert digest(vector) == hashlib.sha256(np.array([1.5, -2.0], dtype="<f4").tobytes()).hexdigest()
    assert digest(vector) != digest(torch.tensor([1.5, float(np.nextafter(np.float32(-2), np.float32(0)))]))


def test_a_flat_model_keeps_the_functions_value() -> None:
    net = nn.Linear(3, 2)
    x = torch.arange(6.0).view(2, 3)
    expected = net(x).detach().clone()
    FlatModel(net)
    assert torch.equal(net(x), expected)


def test_a_network_is_built_without_importing_sympy() -> None:
    """A node's app starts a process for every message: half a second there would be half a second an exchange."""
    program = (
        "import sys, torch; from fedjtt.models import build_model; "
        "build_model('lenet', (3, 28, 28), 2, torch.Generator()); sys.exit('sympy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], cwd=REPO).returncode == 0


def test_layers_that_share_a_parameter_go_on_sharing_it() -> None:
    def builder(shape: tuple[int, ...], labels: int) -> nn.Module:
        first, second = nn.Linear(shape[0], shape[0]), nn.Linear(shape[0], shape[0])
        second.weight = first.weight
        return nn.Sequential(first, second, nn.Linear(shape[0], labels))

    # one 3 x 3, two biases of 3, and 4 x 2 of the last layer
    assert build_model(builder, (3,), 2, generator()).vector.shape == (9 + 6 + 8,)


def test_embeddings_and_norms_start_as_torchs_do() -> None:
    """N(0, 1) for embeddings; ones and zeros for a layer's norm."""

    def builder(shape: tuple[int, ...], labels: int) -> nn.Module:
        return nn.Sequential(nn.Embedding(500, shape[0]), nn.LayerNorm(shape[0]), nn.Linear(shape[0], labels))

    before = torch.get_rng_state()
    model = build_model(builder, (8,), 2, generator())
    assert torch.equal(before, torch.get_rng_state())
    drawn, weight, bias = model.vector[:4000], model.vector[4000:4008], model.vector[4008:4016]
    assert torch.equal(weight, torch.ones(8))
    assert torch.equal(bias, torch.zeros(8))
    # The mean of 4,000 has the standard error 1 / sqrt(4000), their standard deviation 1 / sqrt(8000).
    assert abs(float(drawn.mean())) < 4 / math.sqrt(4000)
    assert float(drawn.std()) == pytest.approx(1, abs=4 / math.sqrt(8000))
