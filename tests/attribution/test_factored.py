"""Projection by factors: which layers, which signs, and which networks it does not take."""

import pytest
import torch
from torch import Tensor, nn

from fedjtt.attribution.factored import Factored
from fedjtt.attribution.gradients import Gradients
from fedjtt.errors import ConfigError
from tests.attribution.parts import batch, data_for, network
from tests.attribution.test_gradients import Tied


def made(name: object, width: int = 16, layers: str = "all") -> Factored:
    return Factored(Gradients(network(name), layers), width, 0, 0, batch(data_for(name))[0][:1])


def test_embeddings_have_no_factors_but_the_last_layer_has() -> None:
    with pytest.raises(ConfigError, match=r"weights outside nn.Linear and nn.Conv2d .* set projection to dense"):
        made("bag-of-embeddings")
    projection, data = made("bag-of-embeddings", layers="last"), data_for("bag-of-embeddings")
    gradients, _ = projection.gradients.of(*batch(data))
    columns = torch.stack([projection.direction(column) for column in torch.eye(16)], dim=1)
    torch.testing.assert_close(projection.features(*batch(data))[0], gradients @ columns, rtol=1e-4, atol=1e-5)


def test_linear_layers_go_by_their_factors_and_convolutions_by_their_gradients() -> None:
    """fc1 of 16 x 16 images: 16 in, 120 out. The second convolution sees 16 positions of 151 by 16 weights."""
    shapes = {layer.name: [tuple(each.shape) for each in layer.signs] for layer in made("lenet")._layers}
    assert shapes == {
        "conv1": [(6 * 76, 16)], "conv2": [(16 * 151, 16)],
        "fc1": [(120, 16), (65, 16)], "fc2": [(84, 16), (121, 16)], "fc3": [(3, 16), (85, 16)],
    }  # fmt: skip


def test_an_entry_s_sign_is_the_product_of_its_row_s_and_its_column_s() -> None:
    projection = made("mlp", width=2)
    left, right = projection._layers[1].signs
    column = projection.direction(torch.tensor([0.0, 1.0])).sign()
    first = 128 * 5
    weight = column[first : first + 128 * 128].view(128, 128)
    assert torch.equal(weight, torch.outer(left[:, 1], right[:-1, 1]).float())
    bias = column[first + 128 * 128 : first + 128 * 129]
    assert torch.equal(bias, (left[:, 1] * right[-1, 1]).float())


class Strided(nn.Module):
    """A convolution with stride, dilation and no bias, and a layer that is never used."""

    def __init__(self, shape: tuple[int, ...], labels: int) -> None:  # noqa: ARG002
        super().__init__()
        self.conv = nn.Conv2d(1, 3, 2, stride=2, dilation=1, padding=1, bias=False)
        self.unused = nn.Linear(2, 2)
        self.out = nn.Linear(12, labels)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.out(self.conv(x.view(-1, 1, 2, 2)).relu().flatten(1))
        return out


class Positions(nn.Module):
    """A linear layer at several positions of one example."""

    def __init__(self, shape: tuple[int, ...], labels: int) -> None:  # noqa: ARG002
        super().__init__()
        self.shared, self.out = nn.Linear(2, 9), nn.Linear(9, labels)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.out(self.shared(x.view(-1, 2, 2)).relu().mean(dim=1))
        return out


@pytest.mark.parametrize("name", [Strided, Positions])
def test_other_shapes_of_layers_are_projected_as_their_gradients(name: type[nn.Module]) -> None:
    projection, data = made(name), data_for(name)
    gradients, _ = projection.gradients.of(*batch(data))
    columns = torch.stack([projection.direction(column) for column in torch.eye(16)], dim=1)
    torch.testing.assert_close(projection.features(*batch(data))[0], gradients @ columns, rtol=1e-4, atol=1e-5)


class Grouped(Strided):
    """A convolution in groups."""

    def __init__(self, shape: tuple[int, ...], labels: int) -> None:
        super().__init__(shape, labels)
        self.conv = nn.Conv2d(2, 4, 1, groups=2)


@pytest.mark.parametrize(("name", "why"), [(Tied, "uses a layer twice"), (Grouped, "weights outside nn.Linear")])
def test_other_networks_are_refused_in_a_line_that_says_what_to_set(name: type[nn.Module], why: str) -> None:
    with pytest.raises(ConfigError, match=f"{why}.*set projection to dense"):
        made(name)


def test_the_last_layer_alone() -> None:
    projection, data = made("mlp", layers="last"), data_for()
    assert [layer.name for layer in projection._layers] == ["fc3"]
    assert projection.features(*batch(data))[0].shape == (12, 16)
