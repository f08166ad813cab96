"""What a few seeds can tell: means, paired differences and speed-ups with Student-t intervals, Wilson for one group."""

import math
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

import pandas as pd
from scipy.special import ndtri, stdtrit  # type: ignore[import-untyped]  # comes with scikit-learn; scipy.stats is slow

LEVEL = 0.95


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds.

    Attributes
    ----------
    mean : float
        Over `n` seeds.
    half : float or None
        Half the width of the 95 % Student-t interval; None with one seed, which has no interval.
    n : int
        Number of seeds.
    """

    mean: float
    half: float | None
    n: int

    @property
    def low(self) -> float:
        """Lower end of the interval; the mean itself where there is none."""
        return self.mean - (self.half or 0.0)

    @property
    def high(self) -> float:
        """Upper end of the interval; the mean itself where there is none."""
        return self.mean + (self.half or 0.0)


@dataclass(frozen=True)
class Difference:
    """A comparison of two settings, seed by seed.

    Attributes
    ----------
    estimate : Estimate
        Of the differences `first` minus `second`.
    by_seed : dict
        Seed to difference, for the seeds that both have.
    first, second : float
        Means of both sides over those seeds.
    """

    estimate: Estimate
    by_seed: dict[int, float]
    first: float
    second: float

    @property
    def covers_zero(self) -> bool | None:
        """Whether the interval covers 0; None with one seed."""
        return None if self.estimate.half is None else self.estimate.low <= 0 <= self.estimate.high

    @property
    def verdict(self) -> str:
        """What may be said of the difference."""
        if not any(self.by_seed.values()):
            return "equal in every seed"
        if self.covers_zero is None:
            return "one seed: no interval"
        if self.covers_zero:
            return "not distinguishable"
        return "higher" if self.estimate.mean > 0 else "lower"


def t_quantile(n: int) -> float:
    """Return the two-sided 95 % quantile of Student's t for a mean of `n` values."""
    return float(stdtrit(n - 1, (1 + LEVEL) / 2))


def mean_interval(values: Iterable[float]) -> Estimate | None:
    """Return the mean with its Student-t interval; None where there is no value."""
    known = list(values)
    if not known:
        return None
    n = len(known)
    mean = math.fsum(known) / n
    if n == 1:
        return Estimate(mean, None, 1)
    deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in known) / (n - 1))
    return Estimate(mean, t_quantile(n) * deviation / math.sqrt(n), n)


def by_seed(rows: Sequence[Mapping[str, Any]], measure: str) -> dict[int, float]:
    """Return seed to value; runs that do not have the measure are left out."""
    return {row["config.seed"]: float(row[measure]) for row in rows if row.get(measure) is not None}


def estimate(rows: Sequence[Mapping[str, Any]], measure: str) -> Estimate | None:
    """Return a measure's mean over the seeds of a setting; None where no run has it."""
    return mean_interval(by_seed(rows, measure).values())


def paired_difference(first: Mapping[int, float], second: Mapping[int, float]) -> Difference | None:
    """Compare two settings seed by seed; None where they share no seed."""
    seeds = sorted(first.keys() & second.keys())
    differences = {seed: first[seed] - second[seed] for seed in seeds}
    over_seeds = mean_interval(differences.values())
    if over_seeds is None:
        return None
    means = [math.fsum(side[seed] for seed in seeds) / len(seeds) for side in (first, second)]
    return Difference(over_seeds, differences, means[0], means[1])


def speed_up(
    rows: Sequence[Mapping[str, Any]], reference: Sequence[Mapping[str, Any]], measure: str = "seconds.total"
) -> Estimate | None:
    """Return the reference's CPU seconds divided by these runs', seed by seed; None where they share no seed."""
    ours, theirs = by_seed(rows, measure), by_seed(reference, measure)
    return mean_interval(theirs[seed] / ours[seed] for seed in sorted(ours.keys() & theirs.keys()) if ours[seed] > 0)


def spearman(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Return Spearman's rank correlation, equal values sharing their mean rank.

    None with fewer than three pairs, or where all values of a side are equal.
    """
    if len(first) < 3:
        return None
    found = float(pd.Series(first).rank().corr(pd.Series(second).rank()))
    return None if math.isnan(found) else found


def wilson(correct: int, count: int) -> tuple[float, float] | None:
    """Return the 95 % Wilson interval of a share; None where nothing was counted."""
    if count == 0:
        return None
    z = float(ndtri((1 + LEVEL) / 2))
    share, scale = correct / count, 1 + z * z / count
    centre = (share + z * z / (2 * count)) / scale
    half = z * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count)) / scale
    return max(0.0, centre - half), min(1.0, centre + half)


Interval = tuple[float, float, float]
"""Mean, lower and upper end."""


def group_accuracy_intervals(runs: Iterable[Mapping[str, Any]], run_ids: Set[str]) -> dict[tuple[int, Any], Interval]:
    """Return the accuracy of every (label, attribute) of test that has examples, over the runs of a setting.

    With Student's t over several seeds, and with Wilson's interval within the group where there is one seed.
    """
    cells: dict[tuple[int, Any], list[tuple[int, int]]] = {}
    for run in runs:
        for group in run["test"]["groups"] if run["run-id"] in run_ids else ():
            if group["count"]:
                cells.setdefault((group["label"], group["attribute"]), []).append((group["correct"], group["count"]))
    return {key: _accuracy_interval(sums) for key, sums in cells.items()}


def _accuracy_interval(sums: Sequence[tuple[int, int]]) -> Interval:
    shares = [correct / count for correct, count in sums]
    value = mean_interval(shares)
    if value is None or value.half is None:
        low, high = wilson(*sums[0]) or (0.0, 1.0)
        return shares[0], low, high
    return value.mean, max(0.0, value.low), min(1.0, value.high)
