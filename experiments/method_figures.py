"""The figure over methods: worst-group accuracy of every setting, one below the other."""

from collections.abc import Sequence
from textwrap import fill

from matplotlib.figure import Figure

from experiments.drawing import BLUE, VERMILLION, new_figure, outside_legend, percent_axis_below
from experiments.settings import HYPER_PARAMETERS, Groups, Setting, on_most_machines
from experiments.statistics import Estimate, estimate
from experiments.tables import WGA, provenance

_FEWEST = 4
_MODES = {"central": (BLUE, "o", -0.13), "federated": (VERMILLION, "s", 0.13)}


def wga_by_method(groups: Groups) -> Figure | None:
    """WGA of every method and variant, central beside federated; None where fewer than four ran.

    Of a variant that ran on several numbers of machines, the largest is shown.
    """
    if len({(s.get("method"), s.get("balance"), s.get("groups")) for s in groups}) < _FEWEST:
        return None
    most = on_most_machines(groups)
    rows: dict[Setting, dict[str, Estimate]] = {}
    for setting in most:
        value = estimate(groups[setting], WGA)
        if value is not None:
            rows.setdefault(setting.without("robust", "machines"), {})[setting.get("robust")] = value
    names = _names(list(rows))
    note = provenance([row for setting in most for row in groups[setting]])
    figure, (axes,) = new_figure(1.2 + 0.33 * len(rows), note)
    for mode, (colour, marker, shift) in _MODES.items():
        found = [(place + shift, values[mode]) for place, values in enumerate(rows.values()) if mode in values]
        if found:
            means = [value.mean for _, value in found]
            low = [max(0.0, value.mean - max(0.0, value.low)) for _, value in found]
            high = [max(0.0, min(1.0, value.high) - value.mean) for _, value in found]
            axes.errorbar(
                means, [place for place, _ in found], xerr=[low, high], label=mode, color=colour, marker=marker,
                linestyle="none", capsize=2.5, markersize=5, elinewidth=1.0,
            )  # fmt: skip
    axes.set_yticks(range(len(rows)), [fill(name, 34, break_on_hyphens=False) for name in names], fontsize=8)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.grid(True, axis="x", color="#DDDDDD", linewidth=0.6)
    percent_axis_below(axes, "worst-group accuracy (test)")
    outside_legend(figure, axes)
    return figure


def _names(variants: Sequence[Setting]) -> list[str]:
    """Return what variants are called; how each was set is left out where they are told apart without it."""
    short = [variant.without(*HYPER_PARAMETERS).label for variant in variants]
    return short if len(set(short)) == len(short) else [variant.label for variant in variants]
