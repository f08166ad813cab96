"""Gradients example by example, against automatic differentiation of one example at a time."""

import pytest
import torch
from torch import nn

from fedjtt.attribution import gradients as module
from fedjtt.attribution.gradients import Gradients
from fedjtt.attribution.outputs import margins
from fedjtt.models import MODELS
from tests.attribution.parts import batch, data_for, network


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("layers", ["all", "last"])
def test_each_row_is_the_gradient_of_one_example_s_margin(name: str, layers: str) -> None:
    model, data = network(name), data_for(name)
    found, f = Gradients(model, layers).of(*batch(data))
    parameters = list(model.module.parameters())[-2 if layers == "last" else 0 :]
    for row, (x, label) in enumerate(zip(*batch(data), strict=True)):
        value = margins(model.module(x.unsqueeze(0)), label.unsqueeze(0)).sum()
        own = torch.cat([each.flatten() for each in torch.autograd.grad(value, parameters)])
        torch.testing.assert_close(found[row], own, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(f[row], value.detach())


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("layers", ["all", "last"])
def test_along_a_direction_is_each_gradient_s_product_with_it(name: str, layers: str) -> None:
    gradients, data = Gradients(network(name), layers, torch.float64), data_for(name)
    direction = torch.randn(gradients.size, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    (found, f), (product, same) = gradients.of(*batch(data)), gradients.along(*batch(data), direction)
    torch.testing.assert_close(product, found @ direction, rtol=1e-7, atol=1e-8)
    torch.testing.assert_close(f, same)


def test_the_last_layer_is_the_end_of_the_whole() -> None:
    model, data = network("mlp"), data_for()
    whole, last = (Gradients(model, layers).of(*batch(data))[0] for layers in ("all", "last"))
    assert last.shape[1] == 3 * 129
    torch.testing.assert_close(last, whole[:, -last.shape[1] :])


def test_weights_are_copied_and_may_be_double() -> None:
    model, data = network("mlp"), data_for()
    gradients = Gradients(model, dtype=torch.float64)
    before, _ = gradients.of(*batch(data))
    model.vector.zero_()
    after, _ = gradients.of(*batch(data))
    assert before.dtype == torch.float64
    assert torch.equal(before, after)


def test_chunks_bound_the_memory_and_leave_nobody_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Room for two and a half examples' gradients: chunks of two; of more room, never more than a bound."""
    monkeypatch.setattr(module, "CHUNK_NUMBERS", int(2.5 * Gradients(network("mlp")).size))
    gradients, data = Gradients(network("mlp")), data_for(n=7)
    rows = torch.tensor([6, 1, 3, 0, 5])
    seen = list(gradients.chunks(data, rows))
    assert [len(x) for x, _ in seen] == [2, 2, 1]
    assert torch.equal(torch.cat([label for _, label in seen]), data.label[rows])
    assert Gradients(network("logistic")).chunk == min(module.CHUNK, module.CHUNK_NUMBERS // 15)
    assert list(gradients.chunks(data, rows[:0])) == []


class Tied(nn.Module):
    """One layer, used twice."""

    def __init__(self, shape: tuple[int, ...], labels: int) -> None:
        super().__init__()
        self.square, self.out = nn.Linear(shape[0], shape[0]), nn.Linear(shape[0], labels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.out(self.square(self.square(x).relu()))
        return out


def test_a_network_of_one_s_own_that_uses_a_layer_twice() -> None:
    model, data = network(Tied), data_for()
    found, _ = Gradients(model).of(*batch(data))
    x, label = batch(data)
    value = margins(model.module(x[:1]), label[:1]).sum()
    own = torch.cat([each.flatten() for each in torch.autograd.grad(value, list(model.module.parameters()))])
    torch.testing.assert_close(found[0], own)
