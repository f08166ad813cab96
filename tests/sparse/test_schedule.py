"""When the mask changes, and by how much."""

import math

import pytest

from fedjtt.sparse.schedule import is_due, rate_at, sparing_period, usual_period


def test_the_rate_falls_along_a_cosine() -> None:
    assert rate_at(0, 1000, 0.5) == 0.5
    assert rate_at(500, 1000, 0.5) == pytest.approx(0.2525)  # the middle of .5 and .005
    assert rate_at(1000, 1000, 0.5) == pytest.approx(0.005)
    assert rate_at(250, 1000, 0.5) == pytest.approx(0.2525 + 0.2475 * math.sqrt(0.5))


def test_a_small_rate_stays() -> None:
    assert rate_at(700, 1000, 0.001) == 0.001


@pytest.mark.parametrize(
    ("first", "last", "due"),
    [(0, 300, False), (300, 1000, True), (900, 1000, True), (1000, 1300, False), (1900, 2200, True), (0, 2100, True)],
)
def test_it_is_due_where_a_round_passes_a_multiple_of_the_period(first: int, last: int, due: bool) -> None:
    assert is_due(first, last, 5000, 1000) is due


def test_nothing_grows_after_the_last_step() -> None:
    assert not is_due(900, 1000, 1000, 100)


@pytest.mark.parametrize(("total", "period"), [(23_500, 1000), (10_000, 1000), (750, 75), (5, 1)])
def test_the_usual_period_scales_with_a_short_stage(total: int, period: int) -> None:
    assert usual_period(total) == period


@pytest.mark.parametrize(
    ("total", "rounds", "period"),
    [
        (1000, 50, 160),  # eight rounds of 20 steps
        (100_000, 50, 16_000), (100_000, 1000, 1000),  # 1,000 steps are ten rounds
        (1000, 10, 500), (4, 4, 2), (1, 1, 1),  # one change at least, where there is a round after it
    ],
)  # fmt: skip
def test_dear_changes_are_eight_rounds_apart(total: int, rounds: int, period: int) -> None:
    assert sparing_period(total, rounds) == period
