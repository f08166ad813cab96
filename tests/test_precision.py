"""Half precision and torch's compiler: what they leave as it is, how close they come, and what they refuse."""

from typing import Any

import pytest
import torch
from torch import Tensor

import fedjtt
from fedjtt import precision
from fedjtt.data.sampling import gather
from fedjtt.errors import ConfigError, DivergedError
from fedjtt.models import FlatModel, build_model
from fedjtt.precision import Forward, LossScale
from fedjtt.seeding import torch_generator
from fedjtt.training import Span, Trainer, TrainSettings, train
from tests.tiny import grouped, tiny_config, tiny_splits

DATA = grouped(torch.arange(40) % 2, torch.arange(40) // 2 % 2)
BATCHES = torch.randint(0, 40, (12, 8), generator=torch.Generator().manual_seed(0))
X = gather(DATA.x, torch.arange(40))
HALVES = ["bfloat16", "float16"]


def model() -> FlatModel:
    return build_model("mlp", (4,), 2, torch_generator(0, "weights"))


def trained(**settings: Any) -> tuple[FlatModel, float]:
    ours = model()
    outcome = train(ours, DATA, BATCHES, TrainSettings(0.1, 0.9, 0.01, **settings), Span(0, 12, 12))
    return ours, outcome.mean_loss


def test_float32_is_the_network_itself() -> None:
    flat = model()
    assert torch.equal(Forward(flat.module)(X), flat.module(X))


@pytest.mark.parametrize("half", HALVES)
def test_logits_are_float32_and_as_close_as_half_precision_is(half: str) -> None:
    flat = model()
    exact, logits = flat.module(X).detach(), Forward(flat.module, half)(X).detach()
    assert logits.dtype == torch.float32
    assert not torch.equal(logits, exact)
    step = {"bfloat16": 2**-8, "float16": 2**-11}[half]  # half of the last of 8 and 11 digits
    assert float((logits - exact).abs().max()) < 8 * step * float(exact.abs().max())
    assert torch.equal(logits, Forward(flat.module, half)(X))


@pytest.mark.parametrize("half", HALVES)
def test_weights_and_gradients_stay_float32_and_training_comes_close(half: str) -> None:
    exact, loss = trained()
    ours, close = trained(precision=half)
    assert ours.vector.dtype == ours.gradient.dtype == torch.float32
    assert not torch.equal(ours.vector, exact.vector)
    moved = float((exact.vector - model().vector).norm())
    assert float((ours.vector - exact.vector).norm()) < 0.1 * moved
    assert close == pytest.approx(loss, rel=0.02)
    again, _ = trained(precision=half)
    assert torch.equal(again.vector, ours.vector)


def test_half_precision_reaches_both_stages_and_one_machine_is_still_central() -> None:
    settings: dict[str, Any] = {"machines": 1, "robust_epochs": 2, "robust_rounds": 3}
    found = {}
    for half in ("float32", "bfloat16"):
        results = [
            fedjtt.simulate(tiny_config(precision=half, robust=robust, **settings), tiny_splits()).result
            for robust in ("central", "federated")
        ]
        assert results[0]["digest"] == results[1]["digest"]
        found[half] = results[0]["digest"]
    assert found["float32"] != found["bfloat16"]


def test_a_scale_of_a_power_of_two_is_taken_back_to_the_last_bit() -> None:
    gradient = torch.randn(100, generator=torch.Generator().manual_seed(0))
    scale = LossScale()
    scaled = gradient * scale.value
    assert scale.undone(scaled)
    assert torch.equal(scaled, gradient)


def test_the_scale_halves_where_a_gradient_overflows_and_doubles_after_good_steps() -> None:
    scale = LossScale()
    assert not scale.undone(torch.tensor([1.0, float("inf")]))
    assert not scale.undone(torch.tensor([1.0, float("nan")]))
    assert scale.value == 2**8
    for _ in range(199):
        assert scale.undone(torch.ones(1))
    assert scale.value == 2**8
    scale.undone(torch.ones(1))
    assert scale.value == 2**9
    for _ in range(20 * 200):
        scale.undone(torch.ones(1))
    assert scale.value == 2**16  # the largest


def test_a_gradient_that_overflows_without_a_scale_ends_training() -> None:
    scale, lost = LossScale(), torch.tensor([float("inf")])
    for _ in range(10):
        assert not scale.undone(lost)
    assert scale.value == 1
    with pytest.raises(DivergedError, match="overflows in float16; set precision to bfloat16"):
        scale.undone(lost)


def test_a_step_whose_gradient_overflows_is_left_out_and_the_next_goes_on() -> None:
    flat = model()
    before = flat.vector.clone()
    trainer = Trainer(flat, TrainSettings(1e-3, 0.0, 0.0, precision="float16"), Span(0, 2, 2))

    def steep(logits: Tensor) -> Tensor:
        return 1000 * logits.square().sum()  # times 1,024 that is more than float16's 65,504

    trainer.step(X, steep)
    assert torch.equal(flat.vector, before)
    trainer.step(X, lambda logits: logits.square().mean())
    assert not torch.equal(flat.vector, before)


def test_a_compiled_network_trains_like_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """The compiler that changes nothing stands in for the one that takes a minute; a program is made once."""
    import torch._dynamo

    made = []

    def eager(graph: torch.fx.GraphModule, examples: list[Tensor]) -> Any:
        made.append(len(examples))
        return graph.forward

    monkeypatch.setattr(precision, "COMPILER", eager)
    torch._dynamo.reset()
    ours = model()
    for first in (0, 6):  # rounds, each with a trainer of its own
        train(
            ours,
            DATA,
            BATCHES[first : first + 6],
            TrainSettings(0.1, 0.0, 0.01, compiled=True),
            Span(first, first + 6, 12),
        )
    plain = model()
    train(plain, DATA, BATCHES, TrainSettings(0.1, 0.0, 0.01), Span(0, 12, 12))
    assert len(made) == 1
    assert torch.equal(ours.vector, plain.vector)


def test_a_network_that_cannot_be_compiled_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch._dynamo

    def broken(*_: Any) -> Any:
        raise RuntimeError("no working C++ compiler\nwas found")

    monkeypatch.setattr(precision, "COMPILER", broken)
    torch._dynamo.reset()
    with pytest.raises(
        ConfigError, match=r"compile is true, but torch cannot compile .*; set compile to false"
    ) as caught:
        trained(compiled=True)
    assert "\n" not in str(caught.value)
    assert "no working C++ compiler" in str(caught.value)
