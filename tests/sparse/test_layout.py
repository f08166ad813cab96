"""A network's layers in its vector."""

import torch

from fedjtt.models import build_model
from fedjtt.sparse.layout import Layout


def test_blocks_are_the_parameters_in_the_order_of_the_vector() -> None:
    model = build_model("lenet", (3, 28, 28), 5, torch.Generator().manual_seed(0))
    layout = Layout.of(model.module)
    assert layout.size == len(model.vector)
    for block, (name, weight) in zip(layout.blocks, model.module.named_parameters(), strict=True):
        assert block.name == name
        assert torch.equal(model.vector[block.stretch].view(block.shape), weight)


def test_biases_are_dense() -> None:
    layout = Layout.from_shapes([("conv.weight", (2, 3, 5, 5)), ("conv.bias", (2,)), ("fc.weight", (4, 2))])
    assert [block.name for block in layout.sparse] == ["conv.weight", "fc.weight"]
    assert [block.first for block in layout.blocks] == [0, 150, 152]
    assert layout.size == 160


def test_shapes_go_round() -> None:
    layout = Layout.from_shapes([("a", (2, 3)), ("b", (3,))])
    assert Layout.from_shapes(layout.shapes()) == layout
