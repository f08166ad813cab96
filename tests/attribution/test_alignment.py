"""Group weights and the target, by hand."""

import math

import pytest
import torch

from fedjtt.attribution.alignment import group_weights, target_vector

LOSSES, COUNTS = torch.tensor([2.0, 0.0, 3.0]), torch.tensor([2, 0, 1])  # means 1, none, 3


def test_the_paper_s_weights_are_a_softmax_over_the_groups_that_are_there() -> None:
    first = math.e / (math.e + math.e**3)
    assert group_weights(LOSSES, COUNTS, "paper").tolist() == pytest.approx([first, 0, 1 - first])


def test_the_released_code_weighs_by_the_loss() -> None:
    assert group_weights(LOSSES, COUNTS, "released").tolist() == pytest.approx([1 / 2, 0, 3 / 2])


@pytest.mark.parametrize("kind", ["paper", "released"])
def test_no_group_at_all_has_no_weight(kind: str) -> None:
    assert group_weights(torch.zeros(2), torch.zeros(2, dtype=torch.int64), kind).tolist() == [0, 0]


def test_the_target_is_the_weighed_mean_of_the_groups_means() -> None:
    """Group 0: (2, 4) / 2; group 2: (1, 1) / 1; a group without examples adds nothing."""
    sums = torch.tensor([[2.0, 4.0], [0.0, 0.0], [1.0, 1.0]], dtype=torch.float64)
    weights = torch.tensor([0.5, 0.0, 2.0], dtype=torch.float64)
    assert target_vector(sums, COUNTS, weights).tolist() == [0.5 * 1 + 2, 0.5 * 2 + 2]
