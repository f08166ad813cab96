"""How every figure is drawn: size, axes, legend, colours, numbers beside points; for print and for a phone."""

import io
import math
from collections.abc import Iterable, Sequence
from itertools import pairwise, product
from pathlib import Path
from textwrap import fill
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from fedjtt.tracking import write_atomically

# Okabe and Ito's palette: told apart with every common colour vision; grey and green are kept for the bounds.
BLUE, VERMILLION, ORANGE, SKY, PURPLE, BLACK = "#0072B2", "#D55E00", "#E69F00", "#56B4E9", "#CC79A7", "#000000"
GREY, GREEN = "#6B6B6B", "#009E73"
WIDTH = 5.0  # inches: at a phone's width the text is still read


def save(figure: Figure, path: Path) -> Path:
    """Write a figure as PNG, in full or not at all, with nothing in it that differs between two times of drawing."""
    FigureCanvasAgg(figure)
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=200, metadata={"Software": None}, facecolor="white")
    write_atomically(path, image.getvalue())
    return path


def new_figure(height: float, note: str, panels: int = 1) -> tuple[Figure, list[Axes]]:
    """Return a figure of the common width with a note below it, and its panels from top to bottom."""
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    figure.supxlabel(fill(note, 92, break_on_hyphens=False), fontsize=7, color="#444444", x=0.01, ha="left")
    axes = list(figure.subplots(panels, 1, squeeze=False)[:, 0])
    for each in axes:
        each.spines[["top", "right"]].set_visible(False)
        each.grid(True, axis="y", color="#DDDDDD", linewidth=0.6)
        each.set_axisbelow(True)
        each.tick_params(labelsize=8.5)
    return figure, axes


def percent_axis(axes: Axes, name: str) -> None:
    """Label the y axis in percent, from 0 to 100."""
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.0f}"))
    axes.set_ylabel(f"{name}, %", fontsize=9)
    axes.set_ylim(-0.03, 1.04)


def machines_axis(axes: Axes, machines: Sequence[int]) -> None:
    """Log scale with a tick for every machine count that ran; where two would touch, the larger has no number."""
    axes.set_xscale("log")
    axes.set_xlim(min(machines) / 1.25, max(machines) * 1.25)
    axes.xaxis.set_major_locator(FixedLocator(list(machines)))
    axes.xaxis.set_minor_locator(NullLocator())
    room = 0.045 * math.log(max(machines) / min(machines) * 1.25**2)
    shown: list[int] = []
    for count in machines:
        if not shown or math.log(count / shown[-1]) > room:
            shown.append(count)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0f}" if round(value) in shown else ""))
    axes.set_xlabel("machines", fontsize=9)


def outside_legend(figure: Figure, axes: Axes) -> None:
    """Put the legend above the axes, long labels wrapped."""
    handles, labels = axes.get_legend_handles_labels()
    wrapped = [fill(label, 28, break_on_hyphens=False) for label in labels]
    figure.legend(
        handles, wrapped, loc="outside upper left", ncols=2, fontsize=8, frameon=False, columnspacing=1.5,
        handlelength=2.6,
    )  # fmt: skip


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


def speed_axis(axes: Axes, speeds: Sequence[float], name: str) -> None:
    """Make the x axis logarithmic in multiples of the reference speed."""
    axes.set_xscale("log")
    low, high = min([*speeds, 1]) / 1.3, max([*speeds, 1]) * 1.3
    axes.set_xlim(low, high)
    ticks = [t * 10**e for e in range(-3, 5) for t in (1, 2, 5) if low <= t * 10**e <= high]
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}×"))
    axes.set_xlabel(name, fontsize=9)
