"""The upsampling arithmetic against exact fractions, and the packing of masks."""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch

from fedjtt.inference.error_set import (
    error_copies,
    pack_mask,
    unpack_mask,
    upsample_factor,
    upsampled_size,
)


@pytest.mark.parametrize("fraction", ["0.8", "0.1", "0.3", "1", "2", "4", "0.7"])
def test_the_auto_factor_is_the_exact_one(fraction: str) -> None:
    """max(1, floor(fraction * (N - E) / E)) in rational arithmetic, over all small N and E."""
    for examples in range(1, 80):
        for errors in range(1, examples + 1):
            exact = max(1, math.floor(Fraction(fraction) * Fraction(examples - errors, errors)))
            assert upsample_factor(examples, errors, "auto", float(fraction)) == exact


@pytest.mark.parametrize(
    ("examples", "errors", "fraction", "factor"),
    [
        (60_000, 2_000, 0.8, 23),  # .8 * 29 = 23.2
        (51, 1, 0.8, 40),  # .8 * 50 = 40 exactly
        (11, 1, 0.7, 7),  # .7 * 10 = 7 exactly, though .7 * 10 is 7.000000000000001 - or 6.99... - in floats
        (101, 1, 0.29, 29),  # .29 * 100 is 28.999999999999996 in floats
    ],
)
def test_the_auto_factor_by_hand(examples: int, errors: int, fraction: float, factor: int) -> None:
    assert upsample_factor(examples, errors, "auto", fraction) == factor


def test_without_errors_or_with_nothing_else_the_factor_is_one() -> None:
    assert upsample_factor(100, 0, "auto", 0.8) == 1
    assert upsample_factor(100, 100, "auto", 0.8) == 1


def test_the_original_fraction_falls_below_one_above_four_ninths() -> None:
    # .8 (1 - e) / e < 1 exactly where e > 4/9; there the maximum with 1 steps in.
    assert Fraction(4, 5) * Fraction(9_000 - 4_000, 4_000) == 1
    assert upsample_factor(9_000, 4_000, "auto", 0.8) == 1
    assert upsample_factor(9_000, 4_001, "auto", 0.8) == 1
    # and it is 2 up to .8 (1 - e) / e = 2, e = 2/7
    assert upsample_factor(7_000, 2_000, "auto", 0.8) == 2
    assert upsample_factor(7_000, 2_001, "auto", 0.8) == 1


def test_a_given_factor_is_taken_as_it_is() -> None:
    assert upsample_factor(100, 0, 50, 0.8) == 50
    assert upsample_factor(100, 100, 3, 0.8) == 3


@pytest.mark.parametrize(("convention", "times"), [("copies", 5), ("extra", 6)])
def test_the_two_conventions_by_hand(convention: str, times: int) -> None:
    errors = torch.tensor([True, False, False, True, False])
    copies = error_copies(errors, 5, convention)
    assert copies.tolist() == [times, 1, 1, times, 1]  # the errors, not the others
    assert copies.dtype == torch.int64
    assert upsampled_size(5, 2, 5, convention) == int(copies.sum()) == 3 + 2 * times


@pytest.mark.parametrize("convention", ["copies", "extra"])
@pytest.mark.parametrize("errors", [0, 7])
def test_no_errors_and_only_errors(convention: str, errors: int) -> None:
    mask = torch.arange(7) < errors
    assert upsampled_size(7, errors, 3, convention) == int(error_copies(mask, 3, convention).sum())
    assert len(set(error_copies(mask, 3, convention).tolist())) == 1


@pytest.mark.parametrize("size", [0, 1, 7, 8, 9, 1000])
def test_masks_go_round(size: int) -> None:
    mask = torch.from_numpy(np.random.default_rng(size).random(size) < 0.3)
    bits = pack_mask(mask)
    assert bits.nbytes == -(-size // 8)
    assert torch.equal(unpack_mask(bits, size), mask)
