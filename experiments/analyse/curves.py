"""Test accuracy against a number of the setting, such as a network's size: a line for every variant."""

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from rich.console import Console

from experiments.drawing import (
    GREEN,
    GREY,
    distinct_styles,
    draw_means,
    new_figure,
    outside_legend,
    percent_axis,
    save,
)
from experiments.results import Row
from experiments.settings import Groups, Setting, read_settings
from experiments.statistics import estimate
from experiments.table import Table, as_markdown, as_text, percent
from experiments.tables import WGA, provenance
from fedjtt.tracking import write_atomically

MEASURES = {WGA: "worst group (test)", "test.average-accuracy": "average (test)"}
_WIDTHS = (5, 3)
_ROOM = (0.17, 0.29)
"""Share of either panel's width that a tick's label takes."""
_LEVELS = ((GREY, "-."), (GREEN, "-."), (GREY, ":"), (GREEN, ":"), (GREY, "--"), (GREEN, "--"))


@dataclass(frozen=True)
class Point:
    """Where on the axis the runs of a setting stand, and what is written there."""

    x: float
    tick: str
    rows: Sequence[Row]


@dataclass(frozen=True)
class Panel:
    """One row of a figure: worst-group accuracy on the left, average accuracy smaller on the right.

    Attributes
    ----------
    curves : dict
        Variant to its points.
    levels : dict
        Settings that have no place on the axis, with their runs: horizontal lines.
    """

    title: str
    axis: str
    curves: Mapping[Setting, Sequence[Point]]
    levels: Mapping[Setting, Sequence[Row]] = field(default_factory=dict)

    @property
    def rows(self) -> list[Row]:
        """All runs that the panel shows."""
        shown = [point.rows for points in self.curves.values() for point in points]
        return [row for rows in (*shown, *self.levels.values()) for row in rows]


def settings_of(folder: Path) -> Groups:
    """Return a sweep's runs by setting; of robust mode and machines a setting says what differs between the runs."""
    return alike_unsaid(read_settings(folder))


def alike_unsaid(groups: Groups) -> Groups:
    """Return the settings without the robust mode or the number of machines that all of them share."""
    shared = [key for key in ("robust", "machines") if len({setting.get(key) for setting in groups}) == 1]
    return {setting.without(*shared): rows for setting, rows in groups.items()}


def curves_over(
    settings: Iterable[Setting], key: str, unsaid: Collection[str], point: Callable[[Setting], Point]
) -> dict[Setting, list[Point]]:
    """Return the variants that ran with several values of a key, each with its points in ascending order."""
    lines: dict[Setting, dict[float, Point]] = {}
    for setting in settings:
        if setting.get(key) is not None:
            lines.setdefault(setting.without(key, *unsaid), {})[setting.get(key)] = point(setting)
    several = {line: points for line, points in lines.items() if len(points) > 1}
    return {line: [points[value] for value in sorted(points)] for line, points in several.items()}


def draw(panels: Sequence[Panel]) -> Figure:
    """Draw the panels, one below the other; a variant has the same style in all of them."""
    note = provenance([row for panel in panels for row in panel.rows])
    height = 1.0 + 2.5 * len(panels)
    figure, places = new_figure(height, note, 2 * len(panels), columns=2, widths=_WIDTHS)
    styles = distinct_styles(dict.fromkeys(variant for panel in panels for variant in panel.curves))
    for number, panel in enumerate(panels):
        beside = places[2 * number : 2 * number + 2]
        for axes, measure, room in zip(beside, MEASURES, _ROOM, strict=True):
            _draw_panel(axes, panel, measure, styles)
            _ticks(axes, panel, room)
            percent_axis(axes, MEASURES[measure])
        beside[0].set_title(panel.title, fontsize=8.5, loc="left")
    outside_legend(figure, *places)
    return figure


def _draw_panel(axes: Axes, panel: Panel, measure: str, styles: Mapping[Setting, Mapping[str, Any]]) -> None:
    """Draw the curves, a little beside each other so that intervals do not hide each other, and the levels."""
    for (setting, rows), (colour, dashes) in zip(panel.levels.items(), _LEVELS, strict=False):
        if (level := estimate(rows, measure)) is not None:
            axes.axhline(level.mean, color=colour, linestyle=dashes, linewidth=1.2, label=setting.label)
            axes.axhspan(max(0.0, level.low), min(1.0, level.high), color=colour, alpha=0.08, linewidth=0)
    low, high = _span(panel)
    for index, (variant, points) in enumerate(panel.curves.items()):
        beside = (high / low) ** (0.012 * (index - (len(panel.curves) - 1) / 2))
        known = [(point.x * beside, value) for point in points if (value := estimate(point.rows, measure)) is not None]
        draw_means(axes, [x for x, _ in known], [value for _, value in known], variant.label, styles[variant])


def _span(panel: Panel) -> tuple[float, float]:
    places = [point.x for points in panel.curves.values() for point in points]
    return min(places) / 1.25, max(places) * 1.25


def _ticks(axes: Axes, panel: Panel, room: float) -> None:
    """Log scale with a tick for every place; where two labels would touch, the larger place has none."""
    low, high = _span(panel)
    labels = {point.x: point.tick for points in panel.curves.values() for point in points}
    shown: list[float] = []
    for place in sorted(labels):
        if not shown or math.log(place / shown[-1]) > room * math.log(high / low):
            shown.append(place)
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    axes.xaxis.set_major_locator(FixedLocator(sorted(labels)))
    axes.xaxis.set_minor_locator(NullLocator())
    nearest = {place: min(shown, key=lambda known: abs(known - place)) for place in labels}
    texts = {place: labels[place] if nearest[place] == place else "" for place in labels}
    axes.xaxis.set_major_formatter(
        FuncFormatter(lambda value, _: texts[min(texts, key=lambda place: abs(place - value))])
    )
    axes.set_xlabel(panel.axis, fontsize=9)


def accuracy_columns(rows_of: Sequence[Sequence[Row]]) -> dict[str, list[str]]:
    """Return the columns that every table ends with: seeds, and both accuracies with their intervals."""
    return {
        "seeds": [str(len({row["config.seed"] for row in rows})) for rows in rows_of],
        "WGA, %": [percent(estimate(rows, WGA)) for rows in rows_of],
        "average, %": [percent(estimate(rows, "test.average-accuracy")) for rows in rows_of],
    }


def figures_of(rows: Sequence[Row]) -> dict[str, Any]:
    """Return the same as numbers: means, and halves of the intervals."""
    found: dict[str, Any] = {"seeds": len({row["config.seed"] for row in rows})}
    for measure in MEASURES:
        value, name = estimate(rows, measure), measure.removeprefix("test.")
        found |= {name: getattr(value, "mean", None), f"{name}-half-interval": getattr(value, "half", None)}
    return found


def write(
    place: Path, name: str, tables: Sequence[Table], numbers: Sequence[Mapping[str, Any]], figure: Figure, out: Console
) -> None:
    """Write NAME.png, NAME.csv and summary.{txt,md} into a folder, show the tables and say where they are."""
    save(figure, place / f"{name}.png")
    write_atomically(place / f"{name}.csv", pd.DataFrame(numbers).to_csv(index=False, lineterminator="\n"))
    write_atomically(place / "summary.md", "\n".join(map(as_markdown, tables)))
    text = "\n".join(map(as_text, tables))
    write_atomically(place / "summary.txt", text)
    out.print(text, highlight=False, markup=False, soft_wrap=True)
    out.print(f"{name}: {place}", highlight=False, soft_wrap=True)
