"""When the mask changes, and by how much: functions of the stage's global step."""

import math

LAST_RATE = 0.005
USUAL_PERIOD = 1000
FEWEST_PERIODS = 10
SPARED_ROUNDS = 8
"""Rounds from change to change where whole gradients travel: 12 % of a dense run's bytes at density .05."""


def rate_at(step: int, total: int, first: float) -> float:
    """Return the share of the live weights that die after a step: from `first` along a cosine to .005."""
    last = min(LAST_RATE, first)
    return last + (first - last) * 0.5 * (1 + math.cos(math.pi * step / total))


def is_due(first: int, last: int, total: int, period: int) -> bool:
    """Return whether the mask changes after the steps from `first` to `last` (exclusive) of a stage of `total`.

    It does where they pass a multiple of the period, but not at the end: what grows then would never be trained.
    """
    return last < total and last // period > first // period


def usual_period(total: int) -> int:
    """Return 1,000 steps, as published, or a tenth of the stage where that is less."""
    return max(1, min(USUAL_PERIOD, total // FEWEST_PERIODS))


def sparing_period(total: int, rounds: int) -> int:
    """Return the usual period, or eight rounds where they are more; half the stage, so that the mask does change."""
    return max(usual_period(total), min(SPARED_ROUNDS * total // rounds, total // 2))
