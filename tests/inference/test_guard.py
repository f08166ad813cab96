"""The guard by hand: which counts of errors can be a minority."""

import pytest

from fedjtt.inference.guard import LARGEST_SHARE, LOST_SHARE, flaw_of


def test_a_tenth_of_every_label_is_no_flaw() -> None:
    assert flaw_of([10, 10, 10], [100, 100, 100]) == ""


def test_more_than_a_third_in_all_is_hardly_a_minority() -> None:
    assert LARGEST_SHARE == 1 / 3
    assert flaw_of([50, 50], [150, 150]) == ""  # a third exactly
    assert flaw_of([50, 51], [150, 150]) == "101 of 300 examples are called wrong, which is hardly a minority"


def test_a_label_of_which_more_than_half_is_wrong_is_not_known() -> None:
    assert LOST_SHARE == 0.5
    assert flaw_of([0, 0, 50, 0], [100] * 4) == ""  # half exactly, 50 of 400 in all
    text = flaw_of([0, 0, 51, 0], [100] * 4)
    assert text == "the model does not know label 2: 51 of its 100 examples are called wrong"


@pytest.mark.parametrize(("size", "flawed"), [(50, True), (49, False)])
def test_a_rare_label_may_be_wrong_altogether(size: int, flawed: bool) -> None:
    """Rare is less than half of an even share: of four labels and 400 examples, fewer than 50."""
    sizes = [size, 100, 100, 200 - size]
    assert sum(sizes) == 400
    assert (flaw_of([size, 0, 0, 0], sizes) != "") is flawed


def test_the_first_label_that_is_lost_is_named() -> None:
    assert "label 1:" in flaw_of([0, 10, 10, 0, 0, 0, 0, 0], [10] * 8)


def test_nothing_is_no_flaw() -> None:
    assert flaw_of([], []) == ""
    assert flaw_of([0, 0], [0, 0]) == ""
    assert flaw_of([0, 0], [100, 100]) == ""
