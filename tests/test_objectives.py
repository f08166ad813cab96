import math

import pytest
import torch

from fedjtt.objectives import OBJECTIVES, generalized_cross_entropy, mean_cross_entropy, proximal_gradient


def test_mean_cross_entropy_by_hand() -> None:
    # softmax(0, ln 3) = (1/4, 3/4): the losses are ln 4 for label 0 and ln(4/3) for label 1.
    logits = torch.tensor([[0.0, math.log(3)], [0.0, math.log(3)]])
    expected = (math.log(4) + math.log(4 / 3)) / 2
    assert float(mean_cross_entropy(logits, torch.tensor([0, 1]))) == pytest.approx(expected)


def test_the_proximal_gradient_is_that_of_its_penalty() -> None:
    vector, anchor = torch.tensor([1.0, 2.0], requires_grad=True), torch.tensor([0.5, -1.0])
    (0.3 / 2 * ((vector - anchor) ** 2).sum()).backward()
    torch.testing.assert_close(proximal_gradient(vector.detach(), anchor, 0.3), vector.grad)


# softmax(0, ln 3) = (1/4, 3/4)
QUARTERS, LABEL = torch.tensor([[0.0, math.log(3)], [0.0, math.log(3)]]), torch.tensor([0, 1])


def test_generalized_cross_entropy_by_hand() -> None:
    # (1 - (1/4)^.5) / .5 = 1 and (1 - (3/4)^.5) / .5 = 2 - sqrt 3
    expected = (1 + 2 - math.sqrt(3)) / 2
    assert float(generalized_cross_entropy(QUARTERS, LABEL, q=0.5)) == pytest.approx(expected)
    # q = 1 is the mean of 1 - p
    assert float(generalized_cross_entropy(QUARTERS, LABEL, q=1.0)) == pytest.approx((3 / 4 + 1 / 4) / 2)
    by_name = ((1 - 0.25**0.7) / 0.7 + (1 - 0.75**0.7) / 0.7) / 2
    assert float(OBJECTIVES["gce"](QUARTERS, LABEL)) == pytest.approx(by_name)


def test_small_q_is_cross_entropy() -> None:
    logits = QUARTERS.double()
    expected = float(mean_cross_entropy(logits, LABEL))
    assert float(generalized_cross_entropy(logits, LABEL, q=1e-6)) == pytest.approx(expected, rel=1e-5)


def test_what_is_hard_pulls_less_than_under_cross_entropy() -> None:
    """The gradient of one example is p_y^q times cross-entropy's (Zhang and Sabuncu 2018, equation 4)."""
    for row, probability in ((0, 0.25), (1, 0.75)):
        pulls = []
        for objective in (mean_cross_entropy, generalized_cross_entropy):
            logits = QUARTERS[[row]].clone().requires_grad_()
            objective(logits, LABEL[[row]]).backward()
            pulls.append(logits.grad)
        torch.testing.assert_close(pulls[1], pulls[0] * probability**0.7)


def test_a_label_that_the_model_rules_out_gives_a_finite_gradient() -> None:
    logits = torch.tensor([[0.0, 1000.0]], requires_grad=True)
    generalized_cross_entropy(logits, torch.tensor([0])).backward()
    assert logits.grad is not None
    assert bool(logits.grad.isfinite().all())
