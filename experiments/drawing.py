"""How every figure is drawn: size, axes, legend, styles, numbers beside points; for print and for a phone."""

import io
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise, product
from pathlib import Path
from textwrap import fill
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from experiments.measures import human_bytes
from experiments.settings import Setting
from experiments.statistics import Estimate
from fedjtt.tracking import write_atomically

# Okabe and Ito's palette: told apart with every common colour vision; grey and green are kept for the bounds.
BLUE, VERMILLION, ORANGE, SKY, PURPLE, BLACK = "#0072B2", "#D55E00", "#E69F00", "#56B4E9", "#CC79A7", "#000000"
GREY, GREEN = "#6B6B6B", "#009E73"
BOUNDS = {"erm": GREY, "group-balanced": GREEN}
"""The methods that others lie between."""
WIDTH = 5.0  # inches: at a phone's width the text is still read
LEGEND = 0.8  # inches that a figure's height has for its legend
_PAIRS = ((BLUE, VERMILLION), (SKY, ORANGE), (BLACK, PURPLE))
_COLOURS = (BLUE, VERMILLION, BLACK, ORANGE, SKY, PURPLE)
_MARKERS = ("o", "s", "^", "D", "v")  # as many as share no divisor with the colours: 30 different pairs
_SCHEDULES = {"same-updates": "--", "scaled": ":"}


def save(figure: Figure, path: Path) -> Path:
    """Write a figure as PNG, in full or not at all, with nothing in it that differs between two times of drawing."""
    FigureCanvasAgg(figure)
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=200, metadata={"Software": None}, facecolor="white")
    write_atomically(path, image.getvalue())
    return path


def new_figure(
    height: float,
    note: str,
    panels: int = 1,
    columns: int = 1,
    widths: Sequence[float] | None = None,
    heights: Sequence[float] | None = None,
) -> tuple[Figure, list[Axes]]:
    """Return a figure of the common width with a note below it, and its panels row by row.

    Columns are as wide, and rows as tall, as `widths` and `heights` say in proportion.
    """
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    figure.supxlabel(fill(note, 92, break_on_hyphens=False), fontsize=7, color="#444444", x=0.01, ha="left")
    rows = -(-panels // columns)
    places = list(figure.subplots(rows, columns, squeeze=False, width_ratios=widths, height_ratios=heights).flat)
    for empty in places[panels:]:
        empty.remove()
    for each in places[:panels]:
        each.spines[["top", "right"]].set_visible(False)
        each.grid(True, axis="y", color="#DDDDDD", linewidth=0.6)
        each.set_axisbelow(True)
        each.tick_params(labelsize=8.5)
    return figure, places[:panels]


def outer_labels_only(axes: Sequence[Axes], columns: int) -> None:
    """Leave out the names and numbers of axes that the panel on the left, or the one below, has too."""
    for index, each in enumerate(axes):
        if index % columns:
            each.set_ylabel("")
            each.tick_params(labelleft=False)
        if index + columns < len(axes):
            each.set_xlabel("")
            each.tick_params(labelbottom=False)


def line_styles(lines: Iterable[Setting]) -> dict[Setting, dict[str, Any]]:
    """Return a style for every variant, each its own.

    Up to three kinds: colour and marker say central or federated, the pair of colours the kind. More kinds: each has
    its own colour and marker, and federated ones are hollow. The line says the schedule of identification.
    """
    kinds: list[list[Setting]] = []  # variants apart from robust mode and schedule
    for variant in lines:
        kind = next((kind for kind in kinds if all(_same_kind(variant, other) for other in kind)), None)
        if kind is None:
            kinds.append([variant])
        else:
            kind.append(variant)
    styles: dict[Setting, dict[str, Any]] = {}
    for index, variant in ((index, variant) for index, kind in enumerate(kinds) for variant in kind):
        federated = variant.get("robust") == "federated"
        if len(kinds) <= len(_PAIRS):
            hollow = variant.get("identify-schedule") == "same-updates"
            styles[variant] = line_style(variant, "s" if federated else "o", _PAIRS[index][federated], hollow)
        else:
            marker, colour = _MARKERS[index % len(_MARKERS)], _COLOURS[index % len(_COLOURS)]
            styles[variant] = line_style(variant, marker, colour, federated)
    return styles


def distinct_styles(variants: Iterable[Setting]) -> dict[Setting, dict[str, Any]]:
    """Return a colour and a marker for every variant: grey for ERM, hollow for federated ones."""
    listed = list(variants)
    others = [variant for variant in listed if variant.get("method") != "erm"]
    styles = {}
    for variant in listed:
        index = others.index(variant) if variant in others else 0
        colour = _COLOURS[index % len(_COLOURS)] if variant in others else GREY
        styles[variant] = line_style(
            variant, _MARKERS[index % len(_MARKERS)], colour, variant.get("robust") == "federated"
        )
    return styles


def _same_kind(one: Setting, other: Setting) -> bool:
    seen = ("robust", "identify-schedule")
    differ = any(one.get(key) != other.get(key) for key in seen)
    return differ and one.agrees(other, "method", "machines", *seen)


def line_style(variant: Setting, marker: str, colour: str, hollow: bool) -> dict[str, Any]:
    """Return matplotlib's words for a style; the line says the schedule of identification."""
    line = _SCHEDULES.get(variant.get("identify-schedule"), "-")
    return {"color": colour, "marker": marker, "linestyle": line} | ({"markerfacecolor": "white"} if hollow else {})


def draw_means(
    axes: Axes, x: Sequence[float], values: Sequence[Estimate], label: str, style: Mapping[str, Any]
) -> None:
    """Draw means with their intervals, paler and cut off at 0 and 1."""
    means = np.array([value.mean for value in values])
    low = means - np.clip([value.low for value in values], 0, 1)
    high = np.clip([value.high for value in values], 0, 1) - means
    axes.errorbar(
        x, means, yerr=np.maximum([low, high], 0), label=label, capsize=2.5, markersize=5, elinewidth=1.0,
        ecolor=(style["color"], 0.5), **{"linewidth": 1.5, **style},
    )  # fmt: skip


def percent_axis(axes: Axes, name: str) -> None:
    """Label the y axis in percent, from 0 to 100."""
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.0f}"))
    axes.set_ylabel(f"{name}, %", fontsize=9)
    axes.set_ylim(-0.03, 1.04)


def percent_axis_below(axes: Axes, name: str) -> None:
    """Label the x axis in percent, from 0 to 100."""
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.0f}"))
    axes.set_xlabel(f"{name}, %", fontsize=9)
    axes.set_xlim(-0.03, 1.04)


def machines_axis(axes: Axes, machines: Sequence[int], columns: int = 1) -> None:
    """Log scale with a tick for every machine count that ran; where two would touch, the larger has no number."""
    axes.set_xscale("log")
    axes.set_xlim(min(machines) / 1.25, max(machines) * 1.25)
    axes.xaxis.set_major_locator(FixedLocator(list(machines)))
    axes.xaxis.set_minor_locator(NullLocator())
    room = 0.045 * columns * math.log(max(machines) / min(machines) * 1.25**2)
    shown: list[int] = []
    for count in machines:
        if not shown or math.log(count / shown[-1]) > room:
            shown.append(count)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0f}" if round(value) in shown else ""))
    axes.set_xlabel("machines", fontsize=9)


def outside_legend(figure: Figure, *panels: Axes) -> None:
    """Put one legend above the axes, long labels wrapped; the figure grows with a long one, the axes do not shrink."""
    known = {label: handle for axes in panels for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    handles, wrapped = list(known.values()), [fill(label, 28, break_on_hyphens=False) for label in known]
    legend = figure.legend(
        handles, wrapped, loc="outside upper left", ncols=2, fontsize=8, frameon=False, columnspacing=1.5,
        handlelength=2.6,
    )  # fmt: skip
    height = figure.get_figheight()
    figure.set_figheight(height + len(known))  # room enough to lay it out and measure it
    figure.draw_without_rendering()
    figure.set_figheight(height + max(0.0, legend.get_window_extent().height / figure.dpi - LEGEND))


def number_points(axes: Axes, points: Sequence[tuple[float, float, str, str]]) -> None:
    """Write each point's number beside it, inside the axes, where it covers no line and no other number."""
    scale = axes.figure.dpi / 72
    frame = axes.get_window_extent()
    taken: list[tuple[float, ...]] = []
    for line in axes.get_lines():
        corners = axes.transData.transform(line.get_xydata())
        joined = str(line.get_linestyle()).lower() != "none"  # the ends of error bars are lines without a line
        taken += _boxes_along(corners, scale) if joined else _boxes(corners, 2 * scale)
    known = set()
    for x, y, text, colour in points:
        px, py = axes.transData.transform((x, y))
        if (place := (text, round(px / 9), round(py / 9))) in known:  # one machine is often the same computation
            continue
        known.add(place)
        half = 2.6 * len(text)
        for dx, dy in ((a * (half + 5) * r, b * 7 * r) for r in (1, 1.4) for a, b in product((1, -1, 0.3), (1, -1))):
            box = (px + (dx - half) * scale, py + (dy - 4) * scale, px + (dx + half) * scale, py + (dy + 4) * scale)
            inside = frame.x0 < box[0] and box[2] < frame.x1 and frame.y0 < box[1] and box[3] < frame.y1
            if inside and not any(_overlap(box, other) for other in taken):
                taken.append(box)
                axes.annotate(text, (x, y), (dx, dy), textcoords="offset points", fontsize=7.5, color=colour,
                              ha="center", va="center")  # fmt: skip
                break


def _boxes_along(corners: Any, scale: float) -> list[tuple[float, ...]]:
    """Return small boxes along a line in display coordinates, bigger ones at its points."""
    between = [
        start + share * (end - start)
        for start, end in pairwise(corners)
        for share in np.linspace(0, 1, 2 + int(np.hypot(*(end - start)) / (4 * scale)))
    ]
    return _boxes(corners, 3.5 * scale) + _boxes(between, scale)


def _boxes(spots: Iterable[Any], size: float) -> list[tuple[float, ...]]:
    return [(x - size, y - size, x + size, y + size) for x, y in spots]


def _overlap(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def ratio_axis(axes: Axes, ratios: Sequence[float], name: str) -> None:
    """Make the x axis logarithmic in multiples of a reference, which is on it."""
    low, high = min([*ratios, 1]) / 1.3, max([*ratios, 1]) * 1.3
    _log_axis(axes, low, high, lambda value: f"{value:g}×", most=9)
    axes.set_xlabel(name, fontsize=9)


def density_axis(axes: Axes, densities: Sequence[float]) -> None:
    """Make the x axis logarithmic in shares of the weights."""
    _log_axis(axes, min(densities) / 1.3, max(densities) * 1.3, lambda value: f"{100 * value:g} %", most=6)
    axes.set_xlabel("density", fontsize=9)


def bytes_axis(axes: Axes, counts: Sequence[float], name: str) -> None:
    """Make the x axis logarithmic in bytes, in kB, MB and so on."""
    _log_axis(axes, min(counts) / 1.5, max(counts) * 1.5, human_bytes, most=7)
    axes.set_xlabel(name, fontsize=9)


def _log_axis(axes: Axes, low: float, high: float, text: Callable[[float], str], most: int) -> None:
    """Give an axis ticks at 1, 2 and 5 times powers of ten; where that is too many, at fewer of them."""
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks: list[float] = []
    for steps, every in (((1, 2, 5), 1), ((1, 3), 1), ((1,), 1), ((1,), 2), ((1,), 3)):
        ticks = [s * 10.0**e for e in powers for s in steps if low <= s * 10.0**e <= high and e % every == 0]
        if len(ticks) <= most:
            break
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: text(value)))
