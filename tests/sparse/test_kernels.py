"""Compressed layers give what the dense ones give, and only few live weights are compressed."""

import pytest
import torch
from torch import nn

from fedjtt.models import SizedModel, build_model
from fedjtt.sparse.kernels import LEAST_ROWS, CompressedLinear, compressed, for_rows


def sparse_mlp(density: float, width: float = 2.0) -> nn.Module:
    model = build_model(SizedModel("mlp", width, 2), (40,), 3, torch.Generator().manual_seed(0))
    live = torch.rand(len(model.vector), generator=torch.Generator().manual_seed(1)) < density
    model.vector.mul_(live)
    return model.module


def compressed_layers(module: nn.Module) -> int:
    return sum(isinstance(layer, CompressedLinear) for layer in module.modules())


def test_outputs_are_those_of_the_dense_network() -> None:
    module = sparse_mlp(0.01)
    x = torch.rand(7, 40, generator=torch.Generator().manual_seed(2))
    small = compressed(module)
    assert compressed_layers(small) == 3
    assert compressed_layers(module) == 0
    with torch.no_grad():
        torch.testing.assert_close(small(x), module(x), rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(small(x[:1]), module(x[:1]), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("density", "layers"), [(0.01, 3), (0.3, 0)])
def test_what_has_many_live_weights_stays_dense(density: float, layers: int) -> None:
    assert compressed_layers(compressed(sparse_mlp(density))) == layers


def test_convolutions_stay_as_they_are() -> None:
    model = build_model("lenet", (3, 28, 28), 5, torch.Generator().manual_seed(0))
    model.vector.mul_(torch.rand(len(model.vector), generator=torch.Generator().manual_seed(1)) < 0.01)
    small = compressed(model.module)
    assert compressed_layers(small) == 3
    x = torch.rand(4, 3, 28, 28, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        torch.testing.assert_close(small(x), model.module.eval()(x), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("density", "width", "rows", "layers"),
    [
        (0.01, 4.0, LEAST_ROWS, 3),
        (0.01, 4.0, LEAST_ROWS - 1, 0),  # compressing takes longer than it saves
        (0.01, 2.0, LEAST_ROWS, 0),  # 256 x 256 weights at most
        (0.05, 4.0, LEAST_ROWS, 0),
    ],
)
def test_evaluation_is_compressed_where_it_pays(density: float, width: float, rows: int, layers: int) -> None:
    assert compressed_layers(for_rows(sparse_mlp(density, width), rows)) == layers
