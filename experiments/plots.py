"""The figures over machines, as matplotlib Figure objects: no pyplot, no global state."""

from itertools import product
from textwrap import fill

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.drawing import (
    BLACK,
    BLUE,
    BOUNDS,
    GREY,
    ORANGE,
    PURPLE,
    SKY,
    VERMILLION,
    draw_means,
    line_style,
    line_styles,
    machines_axis,
    new_figure,
    outer_labels_only,
    outside_legend,
    percent_axis,
)
from experiments.settings import Groups, Setting, Variants, identifications, variants
from experiments.statistics import estimate
from experiments.tables import WGA, provenance

_PREDICTIONS = {"precision": ("o", (BLACK, PURPLE, BLUE)), "recall": ("s", (ORANGE, SKY, VERMILLION))}
_TOGETHER = 3
"""Variants whose precision and recall one panel shows; more get a panel each."""
_COLUMNS = 2


def _dodged(count: int, index: int, of: int) -> float:
    """Move a point sideways, by less than its own width, so that intervals do not hide each other."""
    return float(count * min(1.035, 1.15 ** (1 / of)) ** (index - (of - 1) / 2))


def _bound_settings(groups: Groups) -> list[Setting]:
    """Return ERM and the oracle, central (else as they ran) and on the fewest machines; the same weights only once."""
    chosen: list[Setting] = []
    seen: list[dict[int, str]] = []
    for method in BOUNDS:
        ran = sorted(
            (s for s in groups if s.get("method") == method), key=lambda s: (s.get("robust"), s.get("machines"))
        )
        for setting in ran:
            digests = {row["config.seed"]: row["digest"] for row in groups[setting]}
            if setting == next(s for s in ran if s.agrees(setting, "robust", "machines")) and digests not in seen:
                chosen.append(setting)
                seen.append(digests)
    return chosen


def _bounds(axes: Axes, groups: Groups) -> None:
    """Draw ERM and the oracle as horizontal lines with their intervals as bands."""
    for setting in _bound_settings(groups):
        value, colour = estimate(groups[setting], WGA), BOUNDS[setting.get("method")]
        if value is not None:
            label = setting.without("machines").label
            axes.axhline(value.mean, color=colour, linewidth=1.2, linestyle="-.", label=label)
            axes.axhspan(max(0, value.low), min(1, value.high), color=colour, alpha=0.12, linewidth=0)


def wga_against_machines(groups: Groups) -> Figure | None:
    """WGA against machines, central beside federated, between ERM and the oracle; None with one machine count."""
    lines = variants(groups)
    machines = sorted({count for line in lines.values() for count in line})
    if len(machines) < 2:
        return None
    figure, (axes,) = new_figure(4.4, provenance([row for rows in groups.values() for row in rows]))
    _bounds(axes, groups)
    spread_erm = {v: line for v, line in variants(groups, "erm").items() if v.get("robust") == "federated"}
    shown = {**lines, **{v: line for v, line in spread_erm.items() if len(line) > 1}}
    styles = line_styles(lines)
    for index, (variant, line) in enumerate(shown.items()):
        style = styles.get(variant, {"color": GREY, "marker": "^", "linestyle": "-", "linewidth": 1.0})
        values = {count: value for count in sorted(line) if (value := estimate(line[count], WGA)) is not None}
        x = [_dodged(count, index, len(shown)) for count in values]
        draw_means(axes, x, list(values.values()), variant.label, style)
    machines_axis(axes, machines)
    percent_axis(axes, "worst-group accuracy (test)")
    outside_legend(figure, axes)
    return figure


def error_set_against_machines(groups: Groups) -> Figure | None:
    """Precision and recall of the error set against machines, of many variants in a panel each.

    None where they are not known or one count ran.
    """
    lines = identifications(groups)
    machines = sorted({count for line in lines.values() for count in line})
    known = any(estimate(rows, "identification.precision") for line in lines.values() for rows in line.values())
    if len(machines) < 2 or not known:
        return None
    rows = [row for line in lines.values() for group in line.values() for row in group]
    note = provenance(rows, "train").split(" Selected")[0] + " Against the true minority; no model is selected here."
    apart = len(lines) > _TOGETHER
    columns = _COLUMNS if apart else 1
    panels = [{variant: line} for variant, line in lines.items()] if apart else [lines]
    height = 0.9 + 1.5 * -(-len(panels) // columns) if apart else 3.9
    figure, places = new_figure(height, note, len(panels), columns)
    for axes, shown in zip(places, panels, strict=True):
        _error_sets(axes, shown, titled=apart)
        machines_axis(axes, machines, columns)
        percent_axis(axes, "share" if apart else "precision and recall")
    outer_labels_only(places, columns)
    outside_legend(figure, places[0])
    return figure


def _error_sets(axes: Axes, lines: Variants, titled: bool) -> None:
    """Draw precision and recall of the error sets of a few variants; the legend, or the panel's title, names them."""
    for index, (number, name) in enumerate(product(range(len(lines)), _PREDICTIONS)):
        variant, line = list(lines.items())[number]
        values = {c: e for c in sorted(line) if (e := estimate(line[c], f"identification.{name}")) is not None}
        marker, colours = _PREDICTIONS[name]
        hollow = variant.get("identify-schedule") == "same-updates"
        style = line_style(variant, marker, colours[number], hollow)
        said = f"{name}, {variant.label}" if variant.label and not titled else name
        draw_means(axes, [_dodged(c, index, 2 * len(lines)) for c in values], list(values.values()), said, style)
        if titled:
            axes.set_title(fill(variant.label, 34, break_on_hyphens=False), fontsize=8, loc="left")
