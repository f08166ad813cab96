"""Masks: drawn, pruned and grown, against brute force; their counts stay."""

import numpy as np
import pytest

from fedjtt.sparse.layout import Layout
from fedjtt.sparse.mask import Mask, changed, changing, first_mask, largest

LAYOUT = Layout.from_shapes([("a.weight", (4, 5)), ("a.bias", (4,)), ("b.weight", (3, 4)), ("b.bias", (3,))])


def counts_of(mask: Mask) -> list[int]:
    return [int(mask[block.stretch].sum()) for block in LAYOUT.sparse]


def some_mask(seed: int = 0, counts: tuple[int, ...] = (7, 5)) -> Mask:
    return first_mask(LAYOUT, counts, np.random.default_rng(seed))


def test_the_first_mask_has_its_counts_and_all_biases() -> None:
    mask = some_mask()
    assert counts_of(mask) == [7, 5]
    assert mask[20:24].all()
    assert mask[36:].all()
    np.testing.assert_array_equal(mask, some_mask())
    assert not np.array_equal(mask, some_mask(1))


def test_every_weight_is_as_likely_to_be_live() -> None:
    """7 of 20: the mean of 4,000 draws has a standard deviation of .0075 for a weight."""
    share = np.mean([some_mask(seed)[:20] for seed in range(4000)], axis=0)
    np.testing.assert_allclose(share, 7 / 20, atol=0.035)


@pytest.mark.parametrize(("rate", "expected"), [(0.5, [4, 3]), (0.005, [1, 1]), (1.0, [7, 5]), (3 / 7, [3, 3])])
def test_a_share_of_the_live_weights_dies_rounded_up(rate: float, expected: list[int]) -> None:
    assert changing(LAYOUT, some_mask(), rate) == expected


def test_no_more_die_than_there_are_to_grow() -> None:
    assert changing(LAYOUT, some_mask(counts=(19, 12)), 0.5) == [1, 0]


@pytest.mark.parametrize("seed", range(20))
def test_a_change_is_brute_forces(seed: int) -> None:
    """The smallest live weights of each layer die, the dead ones of the largest scores grow, found one by one."""
    chance = np.random.default_rng(seed)
    mask = some_mask(seed)
    weights = (chance.normal(size=39).astype(np.float32)) * mask
    scores = chance.normal(size=39)
    quotas = [4, 2]
    expected = mask.copy()
    for block, quota in zip(LAYOUT.sparse, quotas, strict=True):
        places = range(block.first, block.first + block.size)
        dying = sorted((place for place in places if mask[place]), key=lambda p: (abs(weights[p]), p))[:quota]
        growing = sorted((place for place in places if not mask[place]), key=lambda p: (-abs(scores[p]), p))[:quota]
        expected[dying], expected[growing] = False, True
    np.testing.assert_array_equal(changed(LAYOUT, mask, weights, scores, quotas), expected)


def test_counts_stay_through_many_changes() -> None:
    chance, mask = np.random.default_rng(0), some_mask()
    for _ in range(50):
        quotas = changing(LAYOUT, mask, chance.uniform(0.01, 1))
        new = changed(LAYOUT, mask, chance.normal(size=39).astype(np.float32), chance.normal(size=39), quotas)
        assert counts_of(new) == [7, 5]
        assert (new != mask).sum() == 2 * sum(quotas)  # nothing dies and grows at once
        mask = new


def test_ties_go_to_the_lower_place() -> None:
    scores = np.array([1.0, -2.0, 2.0, 0.0])
    assert largest(scores, np.arange(4), 1).tolist() == [1]
    mask = np.array([True] * 2 + [False] * 18 + [True] * 4 + [True] * 12 + [True] * 3)
    new = changed(LAYOUT, mask, np.zeros(39, np.float32), np.zeros(39), [1, 0])
    assert np.flatnonzero(new[:20]).tolist() == [1, 2]
