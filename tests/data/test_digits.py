from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits as load_small_digits

from fedjtt.data.digits import load_digits
from fedjtt.data.grouped import Splits, majority_attribute, minority_mask
from fedjtt.data.sources import default_options
from fedjtt.data.spurious import palette


@pytest.fixture(scope="module")
def splits() -> Splits:
    return load_digits(default_options("digits"))


def test_sizes_ids_and_digits(splits: Splits) -> None:
    assert [len(part) for part in (splits.train, splits.validation, splits.test)] == [1200, 5 * 297, 5 * 300]
    rows = torch.cat([splits.train.id, splits.validation.id[::5] // 5, splits.test.id[::5] // 5])
    assert rows.sort().values.tolist() == list(range(1797))
    truth = torch.from_numpy(load_small_digits().target)
    for part, row in ((splits.train, splits.train.id), (splits.test, splits.test.id // 5)):
        assert torch.equal(part.label, truth[row] // 2)
        assert (part.id.diff() > 0).all()
        assert part.x.shape[1:] == (3, 28, 28)
        assert part.x.dtype == torch.uint8


def test_train_groups_follow_the_strength(splits: Splits) -> None:
    # Each label has floor(.9 n_y) on its own colour; n_y is what the split took, and the four others differ by one.
    counts = splits.train.group_counts().view(5, 5)
    sizes = counts.sum(1)
    assert counts.diagonal().tolist() == [9 * int(size) // 10 for size in sizes]
    fewest = ((sizes - counts.diagonal()) // 4).repeat_interleave(4)
    assert set((counts[~torch.eye(5, dtype=torch.bool)] - fewest).tolist()) <= {0, 1}
    assert majority_attribute(splits.train).tolist() == [0, 1, 2, 3, 4]
    # Labels hold 360, 360, 363, 360, 354 of 1,797 digits: 1,200 rows give 240 +- 4 each, so 24 +- 1 in the minority.
    assert 115 <= int(minority_mask(splits.train, torch.arange(5)).sum()) <= 125


def test_parts_are_stratified_by_digit(splits: Splits) -> None:
    # 174 to 183 of each digit: 300/1797 of that is 29.05 to 30.55, and Hamilton's method stays within one.
    digits = torch.from_numpy(load_small_digits().target)[splits.test.id[::5] // 5]
    assert set(torch.bincount(digits).tolist()) <= {29, 30, 31}


def test_every_evaluation_digit_is_on_every_colour(splits: Splits) -> None:
    for part in (splits.validation, splits.test):
        counts = part.group_counts().view(5, 5)
        assert (counts == counts[:, :1]).all()
        stacked = part.x.view(-1, 5, 3, 28, 28)
        painted = (stacked != stacked[:, :1]).any(2).any(1)
        assert (part.id.view(-1, 5) % 5 == torch.arange(5)).all()
        # Where the five differ, each shows its colour; elsewhere all show the same grey.
        for value in range(5):
            shade = palette(5)[value][:, None]
            assert (stacked[:, value].transpose(0, 1)[:, painted] == shade).all()
        grey = stacked.permute(2, 0, 3, 4, 1)[:, ~painted]
        assert (grey == grey[:1]).all()
        assert (grey > 0).all()


def test_background_is_a_good_part_of_every_image() -> None:
    black = load_digits(replace(default_options("digits"), difficulty="small")).train.x[:, :, 2:]
    share = (black.sum(1) == 0).flatten(1).float().mean(1)
    assert 0.2 < share.min() < share.max() < 0.8


def test_same_seed_same_bytes_and_another_seed_differs() -> None:
    options = default_options("digits", seed=3)
    one, two, other = load_digits(options), load_digits(options), load_digits(replace(options, seed=4))
    for part in ("train", "validation", "test"):
        assert torch.equal(getattr(one, part).x, getattr(two, part).x)
        assert not torch.equal(getattr(one, part).id, getattr(other, part).id)
    assert torch.equal(one.train.attribute, two.train.attribute)


def test_difficulty_and_noise_leave_the_other_draws_alone(splits: Splits) -> None:
    noisy = load_digits(replace(default_options("digits"), difficulty="variance-high", label_noise=0.1, core_noise=0.5))
    assert torch.equal(noisy.train.id, splits.train.id)
    assert torch.equal(noisy.train.attribute, splits.train.attribute)
    assert int((noisy.train.label != splits.train.label).sum()) == 120
    assert torch.equal(noisy.test.label, splits.test.label)


def test_core_noise_shows_the_background_where_ink_is_lost(splits: Splits) -> None:
    noisy = load_digits(replace(default_options("digits"), core_noise=1.0)).train
    lost = (noisy.x != splits.train.x).any(1)
    shade = palette(5)[noisy.attribute][:, :, None, None].expand(-1, -1, 28, 28)
    assert lost.flatten(1).any(1).all()
    assert torch.equal(noisy.x.transpose(0, 1)[:, lost], shade.transpose(0, 1)[:, lost])


def test_global_generators_are_left_alone() -> None:
    torch_before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()
    load_digits(replace(default_options("digits"), difficulty="variance-medium", label_noise=0.1, core_noise=0.1))
    assert torch.equal(torch_before, torch.get_rng_state())
    assert np.array_equal(numpy_before, np.random.get_state()[1])
