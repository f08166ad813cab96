import math

import pytest
import torch

from fedjtt.objectives import mean_cross_entropy, proximal_gradient


def test_mean_cross_entropy_by_hand() -> None:
    # softmax(0, ln 3) = (1/4, 3/4): the losses are ln 4 for label 0 and ln(4/3) for label 1.
    logits = torch.tensor([[0.0, math.log(3)], [0.0, math.log(3)]])
    expected = (math.log(4) + math.log(4 / 3)) / 2
    assert float(mean_cross_entropy(logits, torch.tensor([0, 1]))) == pytest.approx(expected)


def test_the_proximal_gradient_is_that_of_its_penalty() -> None:
    vector, anchor = torch.tensor([1.0, 2.0], requires_grad=True), torch.tensor([0.5, -1.0])
    (0.3 / 2 * ((vector - anchor) ** 2).sum()).backward()
    torch.testing.assert_close(proximal_gradient(vector.detach(), anchor, 0.3), vector.grad)
