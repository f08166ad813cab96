"""The dead weights' gradient, against torch's own, and the network's sketch."""

import numpy as np
import pytest
import torch

from fedjtt.cache import unpack_json
from fedjtt.methods.base import Payload
from fedjtt.methods.erm import ERM
from fedjtt.methods.growth import sketch, slopes
from fedjtt.methods.masked import QUOTAS, WHOLE, drawn_mask, layout_of
from fedjtt.methods.rest import REST
from fedjtt.sparse.layout import Layout
from fedjtt.sparse.wire import PLACES, SLOPES, VALUES, vector_of
from tests.methods.test_masked import machine, request
from tests.tiny import tiny_config


def test_whole_batch_slopes_are_the_weighted_losss_gradient() -> None:
    """By autograd over all examples: the mean of factor times loss, with factors 1 and 3 by group."""
    node = machine(batch_size=0)
    layout = layout_of(node)
    mask = drawn_mask(node.config, layout)
    asked = request(node, **{QUOTAS: [1, 1, 1], WHOLE: 1})
    told = slopes(node, asked, REST().lesson)
    data = node.data.train.dataset
    model = node.load(vector_of(asked.arrays["weights"], mask))
    weights = {name: weight.detach().clone().requires_grad_() for name, weight in model.module.named_parameters()}
    losses = torch.nn.functional.cross_entropy(
        torch.func.functional_call(model.module, weights, (data.x,)), data.label, reduction="none"
    )
    factor = torch.tensor([1.0, 3.0, 3.0, 1.0])[data.group]
    gradients = torch.autograd.grad((losses * factor).mean(), list(weights.values()))
    expected = torch.cat([gradient.flatten() for gradient in gradients]).numpy()[~mask]
    np.testing.assert_allclose(told.arrays[SLOPES], expected, atol=1e-6)
    assert np.abs(expected).max() > 1e-3
    assert told.real("size") == 60


def test_a_batch_is_drawn_by_seed_and_round() -> None:
    node = machine()
    found = {
        slopes(node, request(node, **{QUOTAS: [1, 1, 1], WHOLE: 1, "round": number}), REST().lesson)
        .arrays[SLOPES]
        .tobytes()
        for number in (1, 2, 2)
    }
    assert len(found) == 2


def test_the_largest_alone_are_those_of_the_whole() -> None:
    node = machine(batch_size=0)
    whole = slopes(node, request(node, **{QUOTAS: [0, 5, 0], WHOLE: 1}), REST().lesson).arrays[SLOPES]
    few = slopes(node, request(node, **{QUOTAS: [0, 5, 0]}), REST().lesson).arrays
    np.testing.assert_array_equal(whole[few[PLACES]], few[VALUES])
    assert len(few[VALUES]) == 5


def test_a_method_without_a_mask_has_no_slopes() -> None:
    node = machine()
    with pytest.raises(TypeError, match="has no mask"):
        slopes(node, request(node), ERM().lesson)


def test_a_sketch_says_shapes_and_operations() -> None:
    node = machine()
    about = unpack_json(sketch(node, Payload()).arrays["about"])
    assert Layout.from_shapes(about["shapes"]) == layout_of(node)
    assert about["inference"] == [2 * 4 * 128, 2 * 128 * 128, 2 * 128 * 2]
    assert tiny_config().model == "mlp"
