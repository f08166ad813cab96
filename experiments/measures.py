"""Measures of a setting that no row holds ready: bytes in both directions and F1 of the error set; bytes for people."""

from collections.abc import Mapping, Sequence
from typing import Any

from experiments.statistics import Estimate, by_seed, mean_interval

Rows = Sequence[Mapping[str, Any]]
_UNITS = ("B", "kB", "MB", "GB", "TB")


def bytes_of(rows: Rows) -> Estimate | None:
    """Return what server and machines sent each other in a run, over seeds; None where no run has counted it."""
    sent, received = by_seed(rows, "bytes.sent"), by_seed(rows, "bytes.received")
    return mean_interval(sent[seed] + received[seed] for seed in sorted(sent.keys() & received.keys()))


def error_set_f1(rows: Rows) -> Estimate | None:
    """Return the harmonic mean of the error set's precision and recall, over seeds; None where neither is known.

    An error set without a single true minority example has an F1 of 0, an empty one (which has no precision) too.
    """
    recall, precision = by_seed(rows, "identification.recall"), by_seed(rows, "identification.precision")
    return mean_interval(_harmonic(precision.get(seed, 0.0), recall[seed]) for seed in sorted(recall))


def _harmonic(first: float, second: float) -> float:
    return 2 * first * second / (first + second) if first + second else 0.0


def human_bytes(count: float) -> str:
    """Return a number of bytes with three digits and a decimal unit, such as ``6.08 kB``."""
    power = 0
    while power + 1 < len(_UNITS) and float(f"{count / 1000**power:.3g}") >= 1000:
        power += 1
    value = count / 1000**power
    return f"{value:.0f} B" if power == 0 else f"{float(f'{value:.3g}'):g} {_UNITS[power]}"
