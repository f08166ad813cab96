"""Dead weights stay exactly 0 whatever a step does, and the others are trained as a smaller network would be."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from fedjtt.models import FlatModel, build_model
from fedjtt.sparse.live import LiveWeights
from fedjtt.training import Span, TrainSettings, train
from tests.tiny import tiny_splits

DATA = tiny_splits().train
PLAIN = TrainSettings(learning_rate=0.1, momentum=0.9, weight_decay=0.05)
SPAN = Span(0, 20, 20)


def sparse_model() -> tuple[FlatModel, Tensor]:
    model = build_model("mlp", (4,), 2, torch.Generator().manual_seed(0))
    mask = torch.rand(len(model.vector), generator=torch.Generator().manual_seed(1)) < 0.2
    model.vector.mul_(mask)
    return model, mask


def batches() -> Tensor:
    return torch.randint(60, (20, 8), generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize(
    "changes",
    [
        {}, {"averaging": "ema"}, {"clip_norm": 0.1}, {"optimizer": "adamw"}, {"proximal_mu": 0.5},
        {"averaging": "ema", "clip_norm": 0.5, "schedule": "one-cycle", "weight_decay": 0.3},
    ],
)  # fmt: skip
def test_dead_weights_stay_exactly_zero(changes: dict[str, Any]) -> None:
    model, mask = sparse_model()
    before = model.vector.clone()
    done = train(model, DATA, batches(), replace(PLAIN, **changes), SPAN, live=LiveWeights(mask))
    assert int((model.vector[~mask] != 0).sum()) == 0
    assert float((model.vector - before)[mask].abs().max()) > 0.01
    if done.average is not None:
        assert int((done.average[~mask] != 0).sum()) == 0


def test_it_is_the_training_of_the_network_without_those_weights() -> None:
    """torch's SGD on the same network, whose dead weights are multiplied away: their gradients are 0 by the chain."""
    model, mask = sparse_model()
    other = model.vector.clone().requires_grad_()
    optimiser = torch.optim.SGD([other], lr=0.1, momentum=0.9, weight_decay=0.05)
    shapes = [(name, weight.shape) for name, weight in model.module.named_parameters()]
    for rows in batches():
        sizes = [shape.numel() for _, shape in shapes]
        parts = (other * mask).split(sizes)
        weights = {name: part.view(shape) for (name, shape), part in zip(shapes, parts, strict=True)}
        logits = torch.func.functional_call(model.module, weights, (DATA.x[rows],))
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(logits, DATA.label[rows]).backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_([other], 0.5)
        optimiser.step()
    train(model, DATA, batches(), replace(PLAIN, clip_norm=0.5), SPAN, live=LiveWeights(mask))
    torch.testing.assert_close(model.vector, other.detach() * mask, rtol=1e-4, atol=1e-6)


def test_a_mask_without_a_dead_weight_changes_no_bit() -> None:
    (model, _), (plain, _) = sparse_model(), sparse_model()
    everything = LiveWeights(torch.ones(len(model.vector), dtype=torch.bool))
    settings = replace(PLAIN, averaging="ema", clip_norm=1.0)
    one = train(model, DATA, batches(), settings, SPAN, live=everything)
    other = train(plain, DATA, batches(), settings, SPAN)
    assert torch.equal(model.vector, plain.vector)
    assert one.average is not None
    assert other.average is not None
    assert torch.equal(one.average, other.average)


def test_the_trace_is_the_faded_sum_of_whole_gradients() -> None:
    live = LiveWeights(torch.tensor([True, False]), trace_decay=0.5)
    for step in ([4.0, 2.0], [1.0, -3.0]):
        gradient = torch.tensor(step)
        live.keep(gradient)
        assert gradient.tolist() == [step[0], 0.0]
    assert live.trace is not None
    assert live.trace.tolist() == [3.0, -2.0]  # 4 / 2 + 1, 2 / 2 - 3
