"""The figures over what a run costs, seconds and bytes, as matplotlib Figure objects: a line a variant of JTT."""

from collections.abc import Callable, Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.drawing import (
    bytes_axis,
    draw_means,
    line_styles,
    new_figure,
    number_points,
    outside_legend,
    percent_axis,
    ratio_axis,
)
from experiments.measures import bytes_of, error_set_f1
from experiments.results import Row
from experiments.settings import Groups, Setting, Variants, identifications, variants
from experiments.statistics import Estimate, estimate, speed_up
from experiments.tables import WGA, original_setting, provenance, speed_ups

_NUMBERS = " Numbers: machines, where there is room."
Point = tuple[int, float, Estimate]
"""Machines, cost, quality."""
Points = Mapping[Setting, Sequence[Point]]


def wga_against_speed_up(groups: Groups) -> Figure | None:
    """WGA against speed-up over the variant on one machine and, if it ran, over the original's setting there."""
    speed = speed_ups(groups, original_setting(groups))
    names = ["speed-up over the same variant on one machine", "speed-up over the original's setting on one machine"]
    jtt = [setting for setting in groups if setting.get("method") == "jtt"]
    panels = [i for i in (0, 1) if sum(speed[s][i] is not None for s in jtt) > 1]
    if not panels or len({setting.get("machines") for setting in jtt}) < 2:
        return None
    note = provenance([row for s in jtt for row in groups[s]]) + _NUMBERS
    note += " Speed-up: CPU seconds (identify, slowest machine, + robust) of the reference / of the setting."
    figure, axes = new_figure(0.9 + 3.3 * len(panels), note, len(panels))
    shown = []
    for each, panel in zip(axes, panels, strict=True):
        lines: dict[Setting, list[Point]] = {variant: [] for variant in variants(groups)}
        for setting in jtt:
            x, y = speed[setting][panel], estimate(groups[setting], WGA)
            if x is not None and y is not None:
                lines[setting.without("machines")].append((setting.get("machines"), x.mean, y))
        ratio_axis(each, _costs(lines), names[panel])
        shown.append((each, lines))
    _draw(figure, shown, "worst-group accuracy (test)")
    return figure


def wga_against_bytes(groups: Groups) -> Figure | None:
    """WGA against the bytes between server and machines; None where one number of machines ran or none was counted."""
    lines = _points(variants(groups), bytes_of, lambda rows: estimate(rows, WGA))
    if len({count for points in lines.values() for count, *_ in points}) < 2:
        return None
    note = provenance([row for s, rows in groups.items() if s.get("method") == "jtt" for row in rows]) + _NUMBERS
    note += " Bytes: sent and received by the server over the whole run; training on the server sends nothing."
    figure, (axes,) = new_figure(4.2, note)
    bytes_axis(axes, _costs(lines), "bytes between server and machines")
    _draw(figure, [(axes, lines)], "worst-group accuracy (test)")
    return figure


def error_set_against_speed_up(groups: Groups) -> Figure | None:
    """F1 of the error set against identification's speed-up over the original's on one machine; None without it."""
    original = original_setting(groups)
    if original is None:
        return None
    seconds = "seconds.identify.slowest"
    lines = _points(identifications(groups), lambda rows: speed_up(rows, groups[original], seconds), error_set_f1)
    if len({count for points in lines.values() for count, *_ in points}) < 2:
        return None
    rows = [row for s, rows in groups.items() if s.get("method") == "jtt" for row in rows]
    note = provenance(rows, "train").split(" Selected")[0] + _NUMBERS
    note += " F1: harmonic mean of the error set's precision and recall against the true minority. Speed-up: CPU "
    note += "seconds of identification by the original's setting on one machine / by the setting's slowest machine."
    figure, (axes,) = new_figure(4.2, note)
    ratio_axis(axes, _costs(lines), "speed-up of identification over the original's on one machine")
    _draw(figure, [(axes, lines)], "F1 of the error set")
    return figure


Measure = Callable[[Sequence[Row]], Estimate | None]


def _points(lines: Variants, cost: Measure, quality: Measure) -> dict[Setting, list[Point]]:
    return {
        variant: [
            (count, x.mean, y)
            for count, rows in sorted(line.items())
            if (x := cost(rows)) is not None and x.mean > 0 and (y := quality(rows)) is not None
        ]
        for variant, line in lines.items()
    }


def _costs(lines: Points) -> list[float]:
    return [x for points in lines.values() for _, x, _ in points]


def _draw(figure: Figure, panels: Sequence[tuple[Axes, Points]], quality: str) -> None:
    """Draw the lines of every panel, then the legend, then the numbers of machines where they cover nothing."""
    for axes, lines in panels:
        styles = line_styles(lines)
        for variant, points in lines.items():
            if points:
                x, y = [x for _, x, _ in points], [y for *_, y in points]
                draw_means(axes, x, y, variant.without("method").label or "JTT", styles[variant])
        percent_axis(axes, quality)
    outside_legend(figure, *(axes for axes, _ in panels))
    figure.draw_without_rendering()  # from here on the axes stay where they are
    for axes, lines in panels:
        colours = {variant: str(style["color"]) for variant, style in line_styles(lines).items()}
        number_points(axes, [(x, y.mean, str(n), colours[v]) for v, points in lines.items() for n, x, y in points])
