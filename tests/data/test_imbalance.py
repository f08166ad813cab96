"""The long tail of classes: sizes by hand, and what it leaves of the digits and of MNIST."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from fedjtt.data.digits import load_digits
from fedjtt.data.imbalance import long_tail, long_tailed_sizes
from fedjtt.data.options import DataOptions
from fedjtt.data.sources import default_options
from fedjtt.data.spuco_mnist import load_spuco_mnist
from fedjtt.errors import ConfigError


def test_sizes_fall_geometrically_from_the_smallest_class_as_it_is() -> None:
    # n = 160 and r = 16: each class has half of the one before, 160 / 2^y.
    assert long_tailed_sizes(np.array([200, 160, 180, 190, 161]), 16).tolist() == [160, 80, 40, 20, 10]
    # Two classes: n and n / r. Waterbirds' 3,682 and 1,113 are r = 3.308.
    assert long_tailed_sizes(np.array([4000, 3682]), 3682 / 1113).tolist() == [3682, 1113]
    # 100 * 10^(-1/2) = 31.6.
    assert long_tailed_sizes(np.array([100, 100, 100]), 10).tolist() == [100, 32, 10]


def test_no_class_that_has_an_example_is_left_without_one() -> None:
    assert long_tailed_sizes(np.array([10, 10]), 1e9).tolist() == [10, 1]
    assert long_tailed_sizes(np.array([7]), 5).tolist() == [7]
    assert long_tailed_sizes(np.array([10, 0, 10]), 4).tolist() == [10, 0, 2]  # 10 / 4, to the even


def test_each_label_keeps_its_mixture_of_digits_and_the_rows_are_drawn() -> None:
    # Two labels of two digits, 60 + 20 and 40 + 40: r = 4 leaves 80 and 20, so 60 + 20 and 10 + 10.
    digit = torch.tensor([0] * 60 + [1] * 20 + [2] * 40 + [3] * 40)
    rows = long_tail(digit, 2, 4, np.random.default_rng(0))
    assert torch.bincount(digit[rows]).tolist() == [60, 20, 10, 10]
    assert (rows.diff() > 0).all()
    assert torch.equal(rows, long_tail(digit, 2, 4, np.random.default_rng(0)))
    assert not torch.equal(rows, long_tail(digit, 2, 4, np.random.default_rng(1)))


def test_the_groups_of_an_imbalanced_train_set_by_hand() -> None:
    """The large class's minority is the one that a cut to the smallest class would throw away."""
    balanced = load_digits(default_options("digits"))
    splits = load_digits(replace(default_options("digits"), class_imbalance=10.0))
    # Labels have 241, 240, 243, 240, 236 train rows (seed 0), so n = 236: 236 * 10^(-y/4) is
    # 236, 132.7, 74.6, 42.0 and 23.6.
    assert torch.bincount(balanced.train.label).tolist() == [241, 240, 243, 240, 236]
    counts = splits.train.group_counts().view(5, 5)
    assert counts.sum(1).tolist() == [236, 133, 75, 42, 24]
    # floor(.9 n_y) in the label's own colour: 212.4, 119.7, 67.5, 37.8, 21.6.
    assert counts.diagonal().tolist() == [212, 119, 67, 37, 21]
    # What is left, 24, 14, 8, 5 and 3, over four colours each.
    others = counts[~torch.eye(5, dtype=torch.bool)].view(5, 4)
    assert others.sort(1).values.tolist() == [[6] * 4, [3, 3, 4, 4], [2] * 4, [1, 1, 1, 2], [0, 1, 1, 1]]


@pytest.mark.parametrize("dataset", ["digits", "spuco-mnist"])
def test_one_is_the_data_as_it_is_and_evaluation_never_changes(dataset: str, tiny_mnist: Path) -> None:
    def load(options: DataOptions) -> tuple[torch.Tensor, ...]:
        splits = (load_digits if dataset == "digits" else load_spuco_mnist)(options)
        parts = (splits.train, splits.validation, splits.test)
        return tuple(column for part in parts for column in (part.id, part.group, part.x))

    plain = replace(default_options(dataset), data_dir=tiny_mnist, difficulty="variance-high", label_noise=0.1)
    before, same = load(plain), load(replace(plain, class_imbalance=1.0))
    assert all(torch.equal(one, two) for one, two in zip(before, same, strict=True))
    cut = load(replace(plain, class_imbalance=4.0))
    assert all(torch.equal(one, two) for one, two in zip(before[3:], cut[3:], strict=True))
    assert len(cut[0]) < len(before[0])
    assert torch.isin(cut[0], before[0]).all()


@pytest.mark.parametrize("ratio", [0.99, 0.0, -1.0, float("nan")])
def test_a_ratio_below_one_is_refused(ratio: float) -> None:
    with pytest.raises(ConfigError, match=r"class-imbalance is .*; give a number from 1"):
        replace(default_options("digits"), class_imbalance=ratio)
