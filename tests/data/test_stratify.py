import numpy as np
import torch

from fedjtt.data.stratify import apportion, shuffled_classes, take_first


def test_apportion_gives_the_largest_remainders_the_rest() -> None:
    # Quotas of 10 seats are 4.7, 1.6, 1.4, 2.3: floors 4 1 1 2 leave two, for remainders .7 and .6.
    assert apportion(np.array([47, 16, 14, 23]), 10).tolist() == [5, 2, 1, 2]
    assert apportion(np.array([1, 1, 1]), 2).tolist() == [1, 1, 0]
    assert apportion(np.array([3, 0, 4]), 7).tolist() == [3, 0, 4]


def test_taking_all_seats_in_turns_covers_every_row_once() -> None:
    classes = torch.tensor([0, 1, 2, 0, 1, 2, 0, 0])
    shuffled = shuffled_classes(classes, 3, np.random.default_rng(0))
    first, left = take_first(shuffled, np.array([2, 1, 0]))
    assert torch.bincount(classes[first], minlength=3).tolist() == [2, 1, 0]
    assert first.tolist() == sorted(first.tolist())
    assert sorted(first.tolist() + torch.cat(left).tolist()) == list(range(8))
