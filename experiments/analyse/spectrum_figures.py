"""The figures about spectra: eigenvalues per group, class by class, and rho against the accuracy difference."""

from collections.abc import Sequence
from itertools import islice
from textwrap import fill
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from experiments.analyse.spectrum import Analysed, BySetting, Names, points_of, provenance
from experiments.drawing import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    SKY,
    VERMILLION,
    new_figure,
    outer_labels_only,
    outside_legend,
    ratio_axis,
)
from experiments.settings import Setting
from experiments.statistics import spearman
from fedjtt.spectrum import GroupSpectrum

COLUMNS = 3
"""Settings beside each other in a figure; further ones are in further figures."""
_COLOURS = (BLUE, VERMILLION, BLACK, ORANGE, SKY, PURPLE, GREEN)
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "*")
_ROLES = {
    "minority": (VERMILLION, "o", "smallest group"),
    "majority": (BLUE, "s", "largest group"),
    "other": (GREY, "", "other groups"),
}


def eigenvalue_figures(settings: BySetting, names: Names, top: int) -> list[Figure]:
    """Draw the largest eigenvalues of every group, a row of panels a class, a column a setting."""
    listed, figures = iter(settings.items()), []
    while chunk := dict(islice(listed, COLUMNS)):
        figures.append(_eigenvalue_figure(chunk, names, top))
    return figures


def _eigenvalue_figure(settings: BySetting, names: Names, top: int) -> Figure:
    labels, columns = range(len(names.labels)), len(settings)
    note = (
        f"The {top} largest eigenvalues of each train group's covariance (divided by n) of what the last layer sees. "
        "Thick: geometric mean over seeds, thin: single runs. Smallest and largest: of the class's train groups that "
        f"are not empty. A group of n rows has at most n − 1 that are not 0. Runs of {provenance(settings)}"
    )
    figure, axes = new_figure(1.5 + 1.15 * len(labels), note, len(labels) * columns, columns)
    for column, (setting, runs) in enumerate(settings.items()):
        for label in labels:
            panel = axes[label * columns + column]
            _eigenvalue_panel(panel, runs, label, top)
            panel.set_ylabel(f"label {names.labels[label]}", fontsize=9)
        axes[column].set_title(fill(setting.label, 64 // columns, break_on_hyphens=False), fontsize=8, loc="left")
    groups = [group for runs in settings.values() for each in runs for group in each.spectra.groups]
    drawn = [value for group in groups for value in _top(group, top) if value > 0]
    for panel in axes if drawn else ():
        panel.set_ylim(min(drawn) / 2, max(drawn) * 2)
    outer_labels_only(axes, columns)
    outside_legend(figure, *axes)
    return figure


def _top(group: GroupSpectrum, top: int) -> Sequence[float]:
    return (group.eigenvalues or ())[:top]


def _eigenvalue_panel(axes: Axes, runs: Sequence[Analysed], label: int, top: int) -> None:
    lines: dict[str, list[Any]] = {role: [] for role in _ROLES}
    for each in runs:
        imbalance = each.spectra.classes[label]
        roles = {imbalance.minority: "minority", imbalance.majority: "majority"}
        for group in each.spectra.groups:
            if group.label == label and group.eigenvalues is not None:
                values = np.array(_top(group, top))
                values[values <= 0] = np.nan  # no place on a logarithmic axis
                lines[roles.get(group.attribute, "other")].append(values)
    for role, found in lines.items():
        colour, marker, name = _ROLES[role]
        for values in found:
            called = "" if marker else name
            axes.plot(range(1, len(values) + 1), values, color=colour, linewidth=0.6, alpha=0.5, label=called)
        if found and marker:
            mean = np.exp(np.mean(np.log(found), axis=0))
            axes.plot(range(1, len(mean) + 1), mean, color=colour, marker=marker, markersize=3.5, linewidth=1.5,
                      label=name)  # fmt: skip
    axes.set_yscale("log")
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.set_xlabel("rank", fontsize=9)


def rho_figure(settings: BySetting, names: Names) -> Figure | None:
    """Draw rho against the accuracy difference, a point a run and class; None where no class has both."""
    found = {setting: points_of(runs) for setting, runs in settings.items()}
    every = [point for points in found.values() for point in points]
    if not every:
        return None
    note = (
        f"A point a run and class: {len(every)}; Spearman's rank correlation over all points {_correlation(every)}. "
        "rho: largest eigenvalue of the smallest train group over that of the largest. Accuracies on test: largest "
        f"group less smallest; {provenance(settings)}"
    )
    figure, (axes,) = new_figure(4.2, note)
    for place, (setting, points) in enumerate(found.items()):
        _scatter(axes, setting, points, _COLOURS[place % len(_COLOURS)])
    for label in sorted({label for label, _, _ in every}):
        axes.plot([], [], linestyle="none", marker=_MARKERS[label % len(_MARKERS)], color=GREY,
                  label=f"label {names.labels[label]}")  # fmt: skip
    ratio_axis(axes, [rho for _, rho, _ in every], "rho, minority's largest eigenvalue over the majority's")
    axes.axvline(1, color=GREY, linewidth=0.8, linestyle=":")
    axes.axhline(0, color=GREY, linewidth=0.8, linestyle=":")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.0f}"))
    axes.set_ylabel("accuracy, majority − minority, points", fontsize=9)
    outside_legend(figure, axes)
    return figure


def _scatter(axes: Axes, setting: Setting, points: Sequence[tuple[int, float, float]], colour: str) -> None:
    for label in sorted({label for label, _, _ in points}):
        own = [(rho, difference) for place, rho, difference in points if place == label]
        axes.plot(*zip(*own, strict=True), linestyle="none", marker=_MARKERS[label % len(_MARKERS)], color=colour,
                  markersize=5, alpha=0.8)  # fmt: skip
    name = f"{setting.label}: Spearman {_correlation(points)}, n = {len(points)}"
    axes.plot([], [], linestyle="none", marker="o", color=colour, label=name)


def _correlation(points: Sequence[tuple[int, float, float]]) -> str:
    value = spearman([rho for _, rho, _ in points], [difference for _, _, difference in points])
    return "none" if value is None else f"{value:.2f}".replace("-", "−")
