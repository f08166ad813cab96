"""What is attributed, against its definition and against automatic differentiation."""

import pytest
import torch
from torch.nn import functional

from fedjtt.attribution.outputs import MARGIN, PREDICTION, Output, margins


def test_the_margin_is_the_label_s_logit_less_what_the_others_add_up_to() -> None:
    """By hand: logits 1, 2, 4 and label 1: 2 - log(e + e^4); with two labels the difference."""
    found = margins(torch.tensor([[1.0, 2.0, 4.0]]), torch.tensor([1]))
    assert float(found) == pytest.approx(2 - float(torch.log(torch.tensor(1.0).exp() + torch.tensor(4.0).exp())))
    assert margins(torch.tensor([3.0, 1.0]), torch.tensor(0)).item() == 2.0


def test_the_margin_is_the_log_odds_of_the_label_and_the_loss_the_cross_entropy() -> None:
    logits, label = torch.randn(20, 5, generator=torch.Generator().manual_seed(0)).double() * 4, torch.arange(20) % 5
    f, p = margins(logits, label), logits.softmax(1).gather(1, label.unsqueeze(1)).squeeze(1)
    torch.testing.assert_close(f, (p / (1 - p)).log())
    torch.testing.assert_close(MARGIN.residual(f, label), 1 - p)
    torch.testing.assert_close(MARGIN.loss(f, label), functional.cross_entropy(logits, label, reduction="none"))


@pytest.mark.parametrize("output", [MARGIN, PREDICTION])
def test_residual_and_curvature_are_the_loss_s_derivatives(output: Output) -> None:
    f = torch.linspace(-5, 5, 11, dtype=torch.float64, requires_grad=True)
    target = torch.arange(11)
    (first,) = torch.autograd.grad(output.loss(f, target).sum(), f, create_graph=True)
    second = torch.autograd.grad(first.sum(), f)[0] if first.requires_grad else torch.zeros_like(f)
    torch.testing.assert_close(output.residual(f, target), -first)
    torch.testing.assert_close(output.curvature(f, target), second)


def test_a_margin_of_confident_logits_is_finite_and_has_a_gradient() -> None:
    logits = torch.tensor([[1000.0, -1000.0, 0.0]], requires_grad=True)
    f = margins(logits, torch.tensor([0]))
    (gradient,) = torch.autograd.grad(f.sum(), logits)
    assert f.item() == 1000
    assert gradient.tolist() == [[1.0, 0.0, -1.0]]
