import math

import pytest
import torch

from fedjtt.objectives import (
    OBJECTIVES,
    generalized_cross_entropy,
    label_shift,
    mean_cross_entropy,
    proximal_gradient,
)


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


def shift(own: list[int], overall: list[int], degree: float) -> list[float]:
    shifts = label_shift(torch.tensor(own), torch.tensor(overall), degree)
    assert shifts.dtype == torch.float32
    return [float(value) for value in shifts]


def test_without_correction_nothing_is_shifted() -> None:
    assert shift([7, 0, 1], [20, 30, 50], 0.0) == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("degree", [0.3, 0.9, 1.0])
def test_a_machine_that_is_mixed_as_the_whole_is_shifted_by_no_more_than_rounding(degree: float) -> None:
    """Equal shares: log(degree + 1 - degree) = log 1; as much of the whole as all of it, or a tenth."""
    for own in ([20, 30, 50], [2, 3, 5]):
        assert shift(own, [20, 30, 50], degree) == pytest.approx([0.0, 0.0, 0.0], abs=1e-15)


def test_shifts_by_hand() -> None:
    # Shares 3/4, 1/4, 0 of the machine, 1/4, 1/4, 1/2 of all: ratios 3, 1, 0; log(.9 * 3 + .1), log 1, log(.1).
    expected = [math.log(2.8), 0.0, math.log(0.1)]
    assert shift([30, 10, 0], [100, 100, 200], 0.9) == pytest.approx(expected, rel=1e-6, abs=1e-15)
    # Degree 1: the logarithm of the ratio, and nothing can come of a label that the machine has not.
    expected = [math.log(3), 0.0, -math.inf]
    assert shift([30, 10, 0], [100, 100, 200], 1.0) == pytest.approx(expected, rel=1e-6, abs=1e-15)


def shifted_gradient(degree: float) -> torch.Tensor:
    """The gradient by the logits of a machine whose only label is 1, of two that are equally frequent."""
    logits = torch.tensor([[0.0, math.log(3)], [0.0, 0.0]], requires_grad=True)
    shifts = label_shift(torch.tensor([0, 9]), torch.tensor([30, 30]), degree)
    mean_cross_entropy(logits + shifts, torch.tensor([1, 1])).backward()
    assert logits.grad is not None
    return logits.grad


def test_a_machine_with_one_label_learns_nothing_under_full_correction() -> None:
    assert shifted_gradient(1.0).tolist() == [[0.0, 0.0], [0.0, 0.0]]


def test_a_machine_with_one_label_learns_a_little_under_nearly_full_correction() -> None:
    """Ratios 0 and 2: logits move by log(.1) and log(1.9), so odds of 3 to 1 become 57 to 1 and even ones 19 to 1.

    The gradient of the mean is half of (p_0, p_1 - 1): 1/58 and 1/20 of the other label. Without correction 1/4, 1/2.
    """
    expected = torch.tensor([[1 / 58, -1 / 58], [1 / 20, -1 / 20]]) / 2
    torch.testing.assert_close(shifted_gradient(0.9), expected)
    torch.testing.assert_close(shifted_gradient(0.0), torch.tensor([[1 / 4, -1 / 4], [1 / 2, -1 / 2]]) / 2)
