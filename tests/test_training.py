"""The training loop against torch's own optimiser and schedulers, and against hand computations."""

import copy
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from fedjtt.errors import DivergedError
from fedjtt.models import FlatModel, build_model
from fedjtt.schedules import learning_rate_at
from fedjtt.seeding import torch_generator
from fedjtt.training import (
    EMA_DECAY,
    Span,
    Trainer,
    TrainSettings,
    _share_within,
    ema_decay_at,
    shorten,
    train,
)
from tests.tiny import grouped

DATA = grouped(torch.arange(40) % 2, torch.arange(40) // 2 % 2)
BATCHES = torch.randint(0, 40, (12, 8), generator=torch.Generator().manual_seed(0))


def model() -> FlatModel:
    return build_model("mlp", (4,), 2, torch_generator(0, "weights"))


def torch_loop(start: Tensor, batches: Tensor, rates: list[float], momentum: float, decay: float) -> Tensor:
    """Train a copy with torch.optim.SGD's single-tensor form, parameter by parameter."""
    flat = model()
    flat.load(start)
    net = copy.deepcopy(flat.module)
    optimiser = torch.optim.SGD(net.parameters(), lr=1.0, momentum=momentum, weight_decay=decay, foreach=False)
    for rows, rate in zip(batches, rates, strict=True):
        optimiser.param_groups[0]["lr"] = rate
        optimiser.zero_grad()
        functional.cross_entropy(net(DATA.x[rows]), DATA.label[rows]).backward()
        optimiser.step()
    return torch.cat([p.detach().flatten() for p in net.parameters()])


@pytest.mark.parametrize(("momentum", "decay"), [(0.0, 0.0), (0.9, 0.01)])
def test_the_loop_is_torchs_to_the_last_bit(momentum: float, decay: float) -> None:
    ours = model()
    start = ours.vector.clone()
    outcome = train(ours, DATA, BATCHES, TrainSettings(0.1, momentum, decay), Span(0, 12, 12))
    assert torch.equal(ours.vector, torch_loop(start, BATCHES, [0.1] * 12, momentum, decay))
    assert outcome.average is None
    assert outcome.seconds > 0


def test_a_round_starts_with_a_fresh_optimiser_and_goes_on_in_the_schedule() -> None:
    """Two spans are two torch optimisers, one after the other, on one global OneCycleLR."""
    ours = model()
    start = ours.vector.clone()
    settings = TrainSettings(0.1, 0.9, 0.01, "one-cycle")
    train(ours, DATA, BATCHES[:5], settings, Span(0, 5, 12))
    middle = ours.vector.clone()
    train(ours, DATA, BATCHES[5:], settings, Span(5, 12, 12))
    rates = [learning_rate_at(step, 12, 0.1, "one-cycle") for step in range(12)]
    assert torch.equal(middle, torch_loop(start, BATCHES[:5], rates[:5], 0.9, 0.01))
    assert torch.equal(ours.vector, torch_loop(middle, BATCHES[5:], rates[5:], 0.9, 0.01))
    assert not torch.equal(ours.vector, torch_loop(start, BATCHES, rates, 0.9, 0.01))


def test_the_averages_decay_by_hand() -> None:
    assert [ema_decay_at(step) for step in (0, 1, 2)] == pytest.approx([1 / 10, 2 / 11, 3 / 12])
    # (1 + t) / (10 + t) = .999 at t = 8990
    assert ema_decay_at(8989) < EMA_DECAY == ema_decay_at(8991) == ema_decay_at(10**6)


def weights_after_each_step(batches: Tensor, rate: float) -> list[Tensor]:
    """Without momentum a step is a span of its own."""
    ours, seen = model(), []
    for step, rows in enumerate(batches):
        train(ours, DATA, rows[None], TrainSettings(rate, 0.0, 0.0), Span(step, step + 1, len(batches)))
        seen.append(ours.vector.clone())
    return seen


def test_the_average_by_hand_also_across_rounds() -> None:
    expected = model().vector.double()
    for step, weights in enumerate(weights_after_each_step(BATCHES, 0.5)):
        decay = (1 + step) / (10 + step)
        expected = decay * expected + (1 - decay) * weights.double()
    ours = model()
    settings = TrainSettings(0.5, 0.0, 0.0, averaging="ema")
    first = train(ours, DATA, BATCHES[:7], settings, Span(0, 7, 12))
    kept = first.average
    assert kept is not None
    before = kept.clone()
    second = train(ours, DATA, BATCHES[7:], settings, Span(7, 12, 12), kept)
    assert second.average is not None
    torch.testing.assert_close(second.average.double(), expected, rtol=1e-5, atol=1e-6)
    assert torch.equal(kept, before)  # the caller's average is not changed
    plain = model()
    train(plain, DATA, BATCHES, TrainSettings(0.5, 0.0, 0.0), Span(0, 12, 12))
    assert torch.equal(ours.vector, plain.vector)  # averaging watches, it does not steer


def test_the_mean_loss_is_that_of_the_steps() -> None:
    ours = model()
    losses = []
    for rows in BATCHES[:3]:
        losses.append(float(functional.cross_entropy(ours.module(DATA.x[rows]), DATA.label[rows]).detach()))
        train(ours, DATA, rows[None], TrainSettings(0.5, 0.0, 0.0), Span(0, 1, 1))
    outcome = train(model(), DATA, BATCHES[:3], TrainSettings(0.5, 0.0, 0.0), Span(0, 3, 3))
    assert outcome.mean_loss == pytest.approx(sum(losses) / 3)


def test_fedprox_pulls_back_to_where_the_round_started() -> None:
    """Step 1 feels no pull; step 2 moves by -rate * (g(w1) + mu * (w1 - w0))."""
    rate, mu = 0.5, 0.7
    start = model().vector.clone()
    free = weights_after_each_step(BATCHES[:2], rate)
    pulled = model()
    train(pulled, DATA, BATCHES[:2], TrainSettings(rate, 0.0, 0.0, proximal_mu=mu), Span(0, 2, 2))
    torch.testing.assert_close(pulled.vector, free[1] - rate * mu * (free[0] - start), rtol=1e-5, atol=1e-6)
    assert not torch.equal(pulled.vector, free[1])


def test_a_loss_that_is_not_finite_ends_the_training_at_its_step() -> None:
    broken = grouped(torch.arange(40) % 2)
    broken.x[BATCHES[3][0]] = float("nan")
    first = next(step for step, rows in enumerate(BATCHES) if bool((rows == BATCHES[3][0]).any()))
    with pytest.raises(DivergedError, match=rf"the loss became nan at step {first + 5 + 1}; lower the learning rate"):
        train(model(), broken, BATCHES, TrainSettings(0.1, 0.0, 0.0), Span(5, 17, 20))


def test_a_last_step_into_the_infinite_is_noticed() -> None:
    far = grouped(torch.arange(40) % 2)
    far.x.mul_(1e6)  # gradients of 1e5 and more
    with pytest.raises(DivergedError, match="a weight became infinite by step 1"):
        train(model(), far, BATCHES[:1], TrainSettings(1e38, 0.0, 0.0), Span(0, 1, 1))


def test_nothing_but_the_given_generator_is_used() -> None:
    before = torch.get_rng_state()
    train(model(), DATA, BATCHES, TrainSettings(0.1, 0.9, 0.0), Span(0, 12, 12))
    assert torch.equal(before, torch.get_rng_state())


def test_a_span_without_steps_changes_nothing() -> None:
    ours = model()
    outcome = train(ours, DATA, BATCHES[:0], TrainSettings(0.1, 0.9, 0.0, averaging="ema"), Span(3, 3, 9))
    assert torch.equal(ours.vector, model().vector)
    assert outcome.mean_loss == 0
    assert outcome.average is not None
    assert torch.equal(outcome.average, ours.vector)


def test_warm_up_goes_on_from_round_to_round() -> None:
    """Two spans are two torch optimisers, one after the other, on one climb."""
    ours = model()
    start = ours.vector.clone()
    settings = TrainSettings(0.1, 0.9, 0.0, "warm-up", warm_up=0.75)
    train(ours, DATA, BATCHES[:5], settings, Span(0, 5, 12))
    middle = ours.vector.clone()
    train(ours, DATA, BATCHES[5:], settings, Span(5, 12, 12))
    rates = [0.1 * min(1.0, (step + 1) / 9) for step in range(12)]
    assert torch.equal(middle, torch_loop(start, BATCHES[:5], rates[:5], 0.9, 0.0))
    assert torch.equal(ours.vector, torch_loop(middle, BATCHES[5:], rates[5:], 0.9, 0.0))


@pytest.mark.parametrize(("length", "expected"), [(10.0, [3.0, 4.0]), (5.0, [3.0, 4.0]), (2.5, [1.5, 2.0])])
def test_a_gradient_is_shortened_to_a_length(length: float, expected: list[float]) -> None:
    gradient = torch.tensor([3.0, 4.0])  # of length 5
    shorten(gradient, length)
    assert gradient.tolist() == pytest.approx(expected)


def test_a_clipped_step_is_as_long_as_it_may_be() -> None:
    """One step without momentum and decay: the change is rate x gradient, cut to rate x length; the way is kept."""
    changes = []
    for clip_norm in (0.0, 1e-3, 1e3):
        ours = model()
        settings = TrainSettings(0.5, 0.0, 0.0, clip_norm=clip_norm)
        train(ours, DATA, BATCHES[:1], settings, Span(0, 1, 1))
        changes.append((ours.vector - model().vector).double())
    plain, clipped, unclipped = changes
    assert float(plain.norm()) > 1e-3
    assert float(clipped.norm()) == pytest.approx(0.5e-3, rel=1e-3)
    cosine = float(plain @ clipped / (plain.norm() * clipped.norm()))
    assert cosine == pytest.approx(1.0, abs=1e-3)
    assert torch.equal(plain, unclipped)


def test_clipping_leaves_decay_and_pull_alone() -> None:
    """The loss's gradient is cut, not what weight decay adds: with a length near 0 only the decay is left."""
    ours = model()
    train(ours, DATA, BATCHES[:1], TrainSettings(0.5, 0.0, 0.1, clip_norm=1e-12), Span(0, 1, 1))
    torch.testing.assert_close(ours.vector, model().vector * (1 - 0.5 * 0.1))


def test_the_objective_is_the_one_that_is_named() -> None:
    first, second = model(), model()
    train(first, DATA, BATCHES, TrainSettings(0.1, 0.0, 0.0, objective="cross-entropy"), Span(0, 12, 12))
    outcome = train(second, DATA, BATCHES, TrainSettings(0.1, 0.0, 0.0, objective="gce"), Span(0, 12, 12))
    assert not torch.equal(first.vector, second.vector)
    assert 0 < outcome.mean_loss < 1 / 0.7  # (1 - p^q) / q


@pytest.mark.parametrize("decay", [0.0, 0.01])
def test_under_adamw_the_loop_is_torchs(decay: float) -> None:
    """Parameter by parameter with torch.optim.AdamW; equal but for rounding, which twelve steps let grow a little."""
    ours = model()
    net = copy.deepcopy(ours.module)
    start = ours.vector.clone()
    settings = TrainSettings(0.01, 0.9, decay, "warm-up", warm_up=0.5, optimizer="adamw")
    train(ours, DATA, BATCHES, settings, Span(0, 12, 12))
    theirs = torch.optim.AdamW(net.parameters(), lr=1.0, betas=(0.9, 0.99), weight_decay=decay, foreach=False)
    for step, rows in enumerate(BATCHES):
        theirs.param_groups[0]["lr"] = learning_rate_at(step, 12, 0.01, "warm-up", 0.5)
        theirs.zero_grad()
        functional.cross_entropy(net(DATA.x[rows]), DATA.label[rows]).backward()
        theirs.step()
    expected = torch.cat([p.detach().flatten() for p in net.parameters()])
    torch.testing.assert_close(ours.vector, expected, rtol=1e-4, atol=1e-5)
    assert float((ours.vector - start).abs().max()) > 0.05
    sgd = model()
    train(sgd, DATA, BATCHES, replace(settings, optimizer="sgd"), Span(0, 12, 12))
    assert not torch.allclose(ours.vector, sgd.vector, atol=1e-3)


def test_a_shift_is_added_to_the_logits_before_the_loss() -> None:
    """Against a loop with torch's SGD; the loss that is reported is that of the shifted logits too."""
    shift = torch.tensor([0.5, -1.0])
    ours = model()
    net = copy.deepcopy(ours.module)
    settings = TrainSettings(0.1, 0.9, 0.01)
    outcome = train(ours, DATA, BATCHES, settings, Span(0, 12, 12), logit_shift=shift)
    theirs = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, weight_decay=0.01, foreach=False)
    losses = []
    for rows in BATCHES:
        theirs.zero_grad()
        loss = functional.cross_entropy(net(DATA.x[rows]) + shift, DATA.label[rows])
        loss.backward()
        theirs.step()
        losses.append(float(loss.detach()))
    assert torch.equal(ours.vector, torch.cat([p.detach().flatten() for p in net.parameters()]))
    assert outcome.mean_loss == pytest.approx(sum(losses) / 12)
    plain = model()
    train(plain, DATA, BATCHES, settings, Span(0, 12, 12))
    assert not torch.equal(ours.vector, plain.vector)


def test_no_shift_is_a_shift_of_zero_to_the_last_bit() -> None:
    results = []
    for shift in (None, torch.zeros(2)):
        ours = model()
        train(ours, DATA, BATCHES, TrainSettings(0.1, 0.9, 0.01), Span(0, 12, 12), logit_shift=shift)
        results.append(ours.vector)
    assert torch.equal(*results)


def test_a_loss_that_is_read_one_step_late_changes_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a GPU does, so that it has work while the next batch is put together."""
    settings = TrainSettings(0.1, 0.9, 0.01, "one-cycle", clip_norm=0.5)
    plain, late = model(), model()
    expected = train(plain, DATA, BATCHES, settings, Span(0, 12, 12))
    original = Trainer.__init__

    def lagging(self: Trainer, *given: Any, **named: Any) -> None:
        original(self, *given, **named)
        self._lags = True

    monkeypatch.setattr(Trainer, "__init__", lagging)
    found = train(late, DATA, BATCHES, settings, Span(0, 12, 12))
    assert torch.equal(late.vector, plain.vector)
    assert found.mean_loss == expected.mean_loss
    lost = replace(DATA, x=torch.full_like(DATA.x, torch.nan))
    for steps in (1, 2):  # by the end, and at the next step
        with pytest.raises(DivergedError, match="the loss became nan at step 1; lower the learning rate"):
            train(model(), lost, BATCHES[:steps], settings, Span(0, steps, 12))


@pytest.mark.parametrize("length", [0.7, 2.0, 4.999, 5.0, 50.0])
def test_a_gradient_is_shortened_alike_without_waiting_for_its_norm(length: float) -> None:
    gradient = torch.randn(50, generator=torch.Generator().manual_seed(1))
    gradient *= 5 / gradient.norm()
    expected = gradient.clone()
    shorten(expected, length)
    assert torch.equal(gradient * _share_within(gradient, length), expected)
