"""Numbers in the ring: exact sums, and a clear refusal of what does not fit."""

import numpy as np
import pytest

from fedjtt.errors import DivergedError
from fedjtt.secagg.fixed_point import FRACTION_BITS, decode_real, decode_whole, encode_real, encode_whole


def test_whole_numbers_and_their_sums_are_exact() -> None:
    values = [[0, 5, -7, 2**60], [1, -5, 3, 2**60]]
    total = encode_whole(values[0], "counts", 2) + encode_whole(values[1], "counts", 2)
    assert decode_whole(total) == [1, 0, -4, 2**61]


def test_a_sum_of_numbers_is_off_by_half_a_unit_a_number_at_most() -> None:
    values = np.random.default_rng(0).normal(size=(7, 500)) * 1000
    total = np.zeros(500, dtype=np.uint64)
    for row in values:
        total = total + encode_real(row, "weights", 7)
    # 7 roundings of half a unit, and those of adding and decoding in float64
    assert np.abs(decode_real(total) - values.sum(0)).max() <= 7 * 2.0 ** -(FRACTION_BITS + 1) + 1e-11


def test_a_number_and_its_negative_cancel() -> None:
    values = np.array([0.1, -2.5e6, 3.3])
    assert decode_real(encode_real(values, "w", 3) + encode_real(-values, "w", 3)).tolist() == [0, 0, 0]


@pytest.mark.parametrize("machines", [3, 10, 1000])
def test_the_largest_that_is_accepted_does_not_wrap_around_in_the_sum(machines: int) -> None:
    largest = np.array([2.0 ** (63 - FRACTION_BITS) / machines - 1])
    for sign in (1, -1):
        total = np.zeros(1, dtype=np.uint64)
        for _ in range(machines):
            total = total + encode_real(sign * largest, "weights", machines)
        assert decode_real(total)[0] == pytest.approx(sign * machines * largest[0], rel=1e-12)
    with pytest.raises(DivergedError, match=rf"weights times the machine's size is .* {machines} machines can sum"):
        encode_real(largest + 2, "weights", machines)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_refused(value: float) -> None:
    with pytest.raises(DivergedError, match="loss has values that are not finite"):
        encode_real(np.array([1.0, value]), "loss", 3)


def test_a_count_that_may_not_fit_is_refused() -> None:
    with pytest.raises(DivergedError, match="examples is too large to be summed over 3 machines"):
        encode_whole([2**62], "examples", 3)
