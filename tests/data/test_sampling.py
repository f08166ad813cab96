"""Which rows stand in which batch, against multisets and expected frequencies."""

import math
from collections import Counter

import numpy as np
import pytest
import torch

from fedjtt.data.sampling import blank, draw_batches, gather, shuffled_passes, weighted_draws
from fedjtt.errors import DataError


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_every_pass_is_the_multiset() -> None:
    copies = torch.tensor([1, 0, 3, 2, 1])
    multiset = Counter({0: 1, 2: 3, 3: 2, 4: 1})
    rows = shuffled_passes(copies, 4, 14, generator()).flatten().tolist()
    assert len(rows) == 56 == 8 * 7  # eight passes of seven
    passes = [rows[start : start + 7] for start in range(0, 56, 7)]
    assert all(Counter(one) == multiset for one in passes)
    assert len({tuple(one) for one in passes}) > 1


def test_a_pass_that_ends_inside_a_batch_is_continued() -> None:
    batches = shuffled_passes(torch.ones(5, dtype=torch.int64), 3, 4, generator())
    assert batches.shape == (4, 3)
    flat = batches.flatten().tolist()
    assert sorted(flat[:5]) == sorted(flat[5:10]) == [0, 1, 2, 3, 4]
    assert len(set(flat[10:])) == 2


def test_a_batch_is_never_larger_than_the_data() -> None:
    batches = shuffled_passes(torch.ones(3, dtype=torch.int64), 100, 4, generator())
    assert batches.shape == (4, 3)
    assert all(sorted(batch.tolist()) == [0, 1, 2] for batch in batches)
    assert weighted_draws(torch.ones(3), 100, 4, generator()).shape == (4, 3)


@pytest.mark.parametrize("weights", [torch.ones(4, dtype=torch.int64), torch.ones(4)])
def test_no_steps_no_batches(weights: torch.Tensor) -> None:
    assert draw_batches(weights, 2, 0, generator()).shape == (0, 2)


@pytest.mark.parametrize("weights", [torch.zeros(3, dtype=torch.int64), torch.zeros(3), torch.zeros(0)])
def test_nothing_to_draw_from_is_an_error(weights: torch.Tensor) -> None:
    with pytest.raises(DataError, match="there is no example"):
        draw_batches(weights, 2, 1, generator())


def test_draws_follow_the_weights() -> None:
    """Counts are binomial: each within five standard deviations of its mean."""
    weights = torch.tensor([0.0, 1.0, 2.0, 0.0, 5.0, 0.0])
    count = 20_000
    drawn = torch.bincount(weighted_draws(weights, 4, count // 4, generator()).flatten(), minlength=6)
    for row, share in enumerate((weights / weights.sum()).tolist()):
        assert abs(int(drawn[row]) - count * share) <= 5 * math.sqrt(count * share * (1 - share))


def test_equal_generators_give_equal_batches_and_others_do_not() -> None:
    for weights in (torch.ones(50, dtype=torch.int64), torch.rand(50, generator=generator(3))):
        first = draw_batches(weights, 8, 6, generator(1))
        assert torch.equal(first, draw_batches(weights, 8, 6, generator(1)))
        assert not torch.equal(first, draw_batches(weights, 8, 6, generator(2)))


def test_whole_numbers_are_passes_and_others_are_draws() -> None:
    whole = torch.tensor([2, 1])
    assert torch.equal(draw_batches(whole, 3, 2, generator()), shuffled_passes(whole, 3, 2, generator()))
    real = torch.tensor([2.0, 1.0])
    assert torch.equal(draw_batches(real, 3, 2, generator()), weighted_draws(real, 3, 2, generator()))


def test_images_are_scaled_and_floats_are_not() -> None:
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (6, 3, 4, 5), dtype=np.uint8))
    rows = torch.tensor([4, 0, 4])
    expected = images.numpy()[[4, 0, 4]].astype(np.float32) / np.float32(255)
    for layout in (torch.contiguous_format, torch.channels_last):
        batch = gather(images.contiguous(memory_format=layout), rows)
        np.testing.assert_array_equal(batch.numpy(), expected)
    features = torch.rand(6, 2, generator=generator())
    assert torch.equal(gather(features, rows), features[[4, 0, 4]])


def test_a_blank_example_is_of_a_batch_s_shape_and_type() -> None:
    for dtype in (torch.uint8, torch.float32, torch.int32):
        x = torch.ones(6, 2, 3, dtype=dtype)
        example, batch = blank(x), gather(x, torch.tensor([0]))
        assert (example.shape, example.dtype) == (batch.shape, batch.dtype)
        assert not example.any()
