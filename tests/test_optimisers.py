"""The update rules against torch's own classes."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from fedjtt.optimisers import ADAM_BETAS, ADAM_EPSILON, AdamW, MomentumSGD, Optimiser, make_optimiser


def side_by_side(kind: Any, ours: Optimiser, vector: Tensor, **settings: Any) -> Iterator[Tensor]:
    """Step ours and torch's 20 times along the same gradients at falling rates; yield torch's weights after each."""
    chance = torch.Generator().manual_seed(2)
    parameter = torch.nn.Parameter(vector.clone())
    theirs = kind([parameter], lr=0.1, foreach=False, **settings)
    for step in range(20):
        gradient = torch.randn(len(vector), generator=chance)
        parameter.grad = gradient.clone()
        theirs.param_groups[0]["lr"] = 0.1 / (1 + step)
        theirs.step()
        ours.step(gradient, 0.1 / (1 + step))
        yield parameter.detach()


def start() -> Tensor:
    return torch.randn(1000, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(("momentum", "decay"), [(0.0, 0.0), (0.0, 0.01), (0.9, 0.0), (0.9, 0.01)])
def test_sgd_is_torchs_to_the_last_bit(momentum: float, decay: float) -> None:
    vector = start()
    ours = MomentumSGD(vector, momentum, decay)
    for theirs in side_by_side(torch.optim.SGD, ours, vector, momentum=momentum, weight_decay=decay):
        assert torch.equal(vector, theirs)
    assert not torch.equal(vector, start())


@pytest.mark.parametrize("decay", [0.0, 0.01])
def test_adamw_is_torchs_to_rounding(decay: float) -> None:
    """The same sum in another order (torch divides the root, here what is under it): a few units in the last place.

    The way from the start is compared, not only where it ends: 20 steps go no further than the sum of their rates.
    """
    vector = start()
    ours = AdamW(vector, decay)
    for theirs in side_by_side(torch.optim.AdamW, ours, vector, betas=(0.9, 0.99), weight_decay=decay):
        torch.testing.assert_close(vector, theirs, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(vector - start(), theirs - start(), rtol=1e-5, atol=1e-6)
    assert float((vector - start()).abs().max()) > 0.1


def test_adamw_by_hand() -> None:
    """Rate .1, no decay, gradients 3 and then -1, from 2.

    Step 1: mean 3, square 9 (both rid of their start at 0), so the change is -.1 * 3 / 3. Step 2: mean
    (.9 * .1 * 3 - .1 * 1) / (1 - .9^2) = .17 / .19, square (.99 * .01 * 9 + .01 * 1) / (1 - .99^2) = .0991 / .0199.
    """
    assert (ADAM_BETAS, ADAM_EPSILON) == ((0.9, 0.99), 1e-8)
    vector = torch.tensor([2.0])
    ours = AdamW(vector, 0.0)
    ours.step(torch.tensor([3.0]), 0.1)
    assert float(vector) == pytest.approx(1.9, rel=1e-6)
    ours.step(torch.tensor([-1.0]), 0.1)
    assert float(vector) == pytest.approx(1.9 - 0.1 * (0.17 / 0.19) / (0.0991 / 0.0199) ** 0.5, rel=1e-6)


def test_adamws_decay_is_apart_from_the_gradient() -> None:
    """Without a gradient only the decay is left: a factor of 1 - .1 * .5, whatever gradients are divided by."""
    vector = torch.tensor([2.0, -4.0])
    AdamW(vector, 0.5).step(torch.zeros(2), 0.1)
    torch.testing.assert_close(vector, torch.tensor([1.9, -3.8]))


@pytest.mark.parametrize(("name", "kind"), [("sgd", MomentumSGD), ("adamw", AdamW)])
def test_the_optimiser_is_the_one_that_is_named(name: str, kind: type) -> None:
    assert type(make_optimiser(name, torch.zeros(2), 0.9, 0.0)) is kind


def test_momentum_and_decay_are_passed_on() -> None:
    """Two steps of gradient 1 at rate .1 from 1, by hand.

    SGD, momentum .5, decay .1: 1.1 and 1 - .11 = .89; then .5 * 1.1 + 1.089 = 1.639 and .89 - .1639. AdamW knows no
    momentum; under a gradient that stays, its step is the rate: 1 * .99 - .1 = .89, then .89 * .99 - .1.
    """
    for name, expected in (("sgd", [0.89, 0.7261]), ("adamw", [0.89, 0.7811])):
        vector = torch.ones(1)
        optimiser = make_optimiser(name, vector, momentum=0.5, weight_decay=0.1)
        seen = []
        for _ in range(2):
            optimiser.step(torch.ones(1), 0.1)
            seen.append(float(vector))
        assert seen == pytest.approx(expected, rel=1e-5)
