"""What travels: values, masks' changes and slopes, there and back."""

import numpy as np
import pytest

from fedjtt.sparse.layout import Layout
from fedjtt.sparse.mask import changed, first_mask
from fedjtt.sparse.wire import (
    BITS,
    PLACES,
    SLOPES,
    TOGGLES,
    VALUES,
    bits_of,
    change_of,
    mask_of_bits,
    scores_of,
    slopes_told,
    toggled,
    values_of,
    vector_of,
)

LAYOUT = Layout.from_shapes([("a.weight", (30, 40)), ("a.bias", (30,)), ("b.weight", (5, 30))])
MASK = first_mask(LAYOUT, [60, 30], np.random.default_rng(0))


def gradient(seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=LAYOUT.size).astype(np.float32)


def test_values_go_round() -> None:
    vector = gradient() * MASK
    values = values_of(vector, MASK)
    assert values.shape == (60 + 30 + 30,)
    np.testing.assert_array_equal(vector_of(values, MASK), vector)
    assert vector_of(values, MASK).dtype == np.float32


def test_bits_go_round() -> None:
    assert bits_of(MASK).nbytes == -(-LAYOUT.size // 8)
    np.testing.assert_array_equal(mask_of_bits(bits_of(MASK), LAYOUT.size), MASK)


@pytest.mark.parametrize(("quota", "form"), [(2, TOGGLES), (25, BITS)])
def test_a_change_takes_the_shorter_form(quota: int, form: str) -> None:
    """Bits are 173 bytes; 2 * 2 places of 4 bytes are fewer, 2 * 25 are more."""
    new = changed(LAYOUT, MASK, gradient() * MASK, gradient(2), [quota, 0])
    told = change_of(MASK, new)
    assert list(told) == [form]
    assert told[form].nbytes == (4 * 2 * quota if form == TOGGLES else 173)
    known = toggled(MASK, told[TOGGLES]) if form == TOGGLES else mask_of_bits(told[BITS], LAYOUT.size)
    np.testing.assert_array_equal(known, new)


def test_all_slopes_of_dead_weights() -> None:
    told = slopes_told(gradient(), LAYOUT, MASK, None)
    np.testing.assert_array_equal(told[SLOPES], gradient()[~MASK])
    scores = scores_of([(told, 3.0)], MASK)
    np.testing.assert_array_equal(scores, np.where(MASK, 0, gradient()))


def test_the_largest_slopes_of_each_layer() -> None:
    told = slopes_told(gradient(), LAYOUT, MASK, [3, 2])
    dead = np.flatnonzero(~MASK)
    chosen = dead[told[PLACES]]
    assert (np.diff(told[PLACES]) > 0).all()
    np.testing.assert_array_equal(told[VALUES], gradient()[chosen])
    for block, quota in zip(LAYOUT.sparse, [3, 2], strict=True):
        mine = chosen[(chosen >= block.first) & (chosen < block.first + block.size)]
        others = [place for place in dead if block.first <= place < block.first + block.size and place not in mine]
        assert len(mine) == quota
        assert np.abs(gradient()[mine]).min() >= np.abs(gradient()[others]).max()
    grown = scores_of([(told, 1.0)], MASK)
    assert np.flatnonzero(grown).tolist() == sorted(chosen.tolist())


def test_a_sum_of_magnitudes_is_not_the_magnitude_of_the_sum() -> None:
    """Two machines of 1 and 3 examples pull one weight apart, 3 - 3 * 1 = 0, and agree on another, (1 + 3 * 1) / 4."""
    layout = Layout.from_shapes([("w", (1, 3))])
    mask = np.array([True, False, False])
    one, other = (slopes_told(np.array(g, np.float32), layout, mask, None) for g in ([9.0, 3.0, 1.0], [9.0, -1.0, 1.0]))
    assert scores_of([(one, 1.0), (other, 3.0)], mask).tolist() == [0.0, 0.0, 1.0]


def test_what_a_machine_does_not_name_counts_as_nothing() -> None:
    layout = Layout.from_shapes([("w", (1, 4))])
    mask = np.array([True, False, False, False])
    one = slopes_told(np.array([0, 5, 1, 0], np.float32), layout, mask, [1])
    other = slopes_told(np.array([0, 1, 0, 4], np.float32), layout, mask, [1])
    assert scores_of([(one, 1.0), (other, 1.0)], mask).tolist() == [0.0, 2.5, 0.0, 2.0]


def test_nothing_grows_nothing_is_named() -> None:
    told = slopes_told(gradient(), LAYOUT, MASK, [0, 0])
    assert len(told[PLACES]) == len(told[VALUES]) == 0
