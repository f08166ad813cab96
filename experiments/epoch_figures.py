"""The figure over training: worst-group, worst-class and average accuracy on validation after every look."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.drawing import BOUNDS, line_styles, new_figure, outer_labels_only, outside_legend, percent_axis
from experiments.results import Row
from experiments.rounds import Line, kept_pass
from experiments.settings import Groups, Setting, on_most_machines
from experiments.statistics import Estimate, mean_interval
from experiments.tables import WGA, provenance

MEASURES = {
    "worst-group-accuracy": "worst group",
    "worst-class-accuracy": "worst class",
    "average-accuracy": "average",
}
"""What a panel shows, from the top; the first that is known has the tallest."""

_MOST = 8
"""Settings that one figure can tell apart."""
_BANDS = 6
"""Curves whose intervals are told apart as bands; more are drawn without."""
_TALL, _THIN = 2.4, 1.0


@dataclass(frozen=True)
class Curve:
    """A setting's validation accuracies over training.

    Attributes
    ----------
    epochs : list of float
        Mean over seeds, look by look: examples drawn by all machines over train examples.
    accuracies : dict
        Measure to its estimates, look by look.
    kept : tuple of float or None
        Mean epochs at which the kept models were, and their mean worst-group accuracy on test.
    """

    epochs: list[float]
    accuracies: dict[str, list[Estimate]]
    kept: tuple[float, float] | None


def accuracy_by_epoch(groups: Groups, histories: Mapping[str, Sequence[Mapping[str, Any]]]) -> Figure | None:
    """Draw validation accuracies over epochs, and the kept models on test; None where no run has two looks.

    An epoch is as many examples as train has, for every method: at equal x all have computed as much. Of a variant that
    ran on several numbers of machines, the largest is shown.
    """
    found = {setting: curve_of(rows, histories) for setting, rows in on_most_machines(groups).items()}
    curves = {setting: curve for setting, curve in found.items() if curve is not None and len(curve.epochs) > 1}
    shown = dict(sorted(curves.items(), key=lambda item: item[0].get("robust") != "central")[:_MOST])
    measures = [name for name in MEASURES if any(name in curve.accuracies for curve in shown.values())]
    if not measures:
        return None
    alike = [key for key in ("robust", "machines") if len(shown) > 1 and len({s.get(key) for s in shown}) == 1]
    note = provenance([row for setting in shown for row in groups[setting]], "validation")
    note += _further(shown, alike, len(curves) - len(shown))
    heights = [_TALL] + [_THIN] * (len(measures) - 1)
    figure, places = new_figure(1.5 + 1.1 * sum(heights), note, len(measures), heights=heights)
    styles = _styles(shown)
    for axes, measure in zip(places, measures, strict=True):
        for setting, curve in shown.items():
            banded = axes is places[0] and len(shown) <= _BANDS
            _draw(axes, curve, measure, setting.without(*alike).label, styles[setting], banded)
        percent_axis(axes, MEASURES[measure])
        axes.set_xlim(left=0)
    if measures[0] in WGA:
        _mark_kept(places[0], shown, styles)
    places[-1].set_xlabel("epochs: examples drawn over train examples", fontsize=9)
    outer_labels_only(places, 1)
    outside_legend(figure, places[0])
    return figure


def curve_of(rows: Sequence[Row], histories: Mapping[str, Sequence[Line]]) -> Curve | None:
    """Return the curve of a setting's runs; None where none of them has kept its looks with their epochs."""
    looks: dict[int, list[Line]] = {}
    kept: list[tuple[float, float]] = []
    for row in rows:
        for line in kept_pass(histories.get(row["run-id"], ()), row["config.selection"]):
            if "epochs" not in line:  # of an earlier version
                continue
            looks.setdefault(line["round"], []).append(line)
            if line["round"] == row.get("selected-round") and row.get(WGA) is not None:
                kept.append((line["epochs"], row[WGA]))
    if not looks:
        return None
    accuracies = {}
    for measure in MEASURES:
        known = [[line.get(f"validation.{measure}") for line in looks[number]] for number in sorted(looks)]
        values = [mean_interval(value for value in look if value is not None) for look in known]
        if all(values):
            accuracies[measure] = [value for value in values if value is not None]
    epochs = [float(np.mean([line["epochs"] for line in looks[number]])) for number in sorted(looks)]
    place, height = np.mean(kept, axis=0).tolist() if kept else (0.0, 0.0)
    return Curve(epochs, accuracies, (place, height) if kept else None)


def _further(shown: Mapping[Setting, Curve], alike: Sequence[str], left_out: int) -> str:
    """Say what the legend does not: what all settings have in common, and what is not drawn."""
    first = next(iter(shown))
    common = Setting(tuple(item for item in first.items if item[0] in alike)).label
    said = [f"All: {common}."] if common else []
    said += ["So many curves have no bands for their intervals."] if len(shown) > _BANDS else []
    said += [f"{left_out} more settings are not drawn."] if left_out else []
    return "".join(f" {each}" for each in said)


def _styles(shown: Mapping[Setting, Curve]) -> dict[Setting, dict[str, Any]]:
    """Return every setting's style: bounds have colours of their own, and no marker where they are central."""
    styles = line_styles(setting for setting in shown if setting.get("method") not in BOUNDS)
    for setting in shown:
        if setting not in styles:
            marker = "s" if setting.get("robust") == "federated" else ""
            styles[setting] = {"color": BOUNDS[setting.get("method")], "linestyle": "-.", "marker": marker}
    return styles


def _draw(axes: Axes, curve: Curve, measure: str, label: str, style: Mapping[str, Any], banded: bool) -> None:
    values = curve.accuracies.get(measure)
    if values is None:
        return
    axes.plot(curve.epochs, [value.mean for value in values], label=label, linewidth=1.4, markersize=4,
              markevery=max(1, len(values) // 8), **style)  # fmt: skip
    if banded:
        low, high = np.clip([v.low for v in values], 0, 1), np.clip([v.high for v in values], 0, 1)
        axes.fill_between(curve.epochs, low, high, color=style["color"], alpha=0.12, linewidth=0)


def _mark_kept(axes: Axes, shown: Mapping[Setting, Curve], styles: Mapping[Setting, Mapping[str, Any]]) -> None:
    """Mark each setting's kept models where they were kept, at what they reach on test."""
    label = "test, the kept models"
    for setting, curve in shown.items():
        if curve.kept is not None:
            axes.plot(*curve.kept, label=label, marker="*", markersize=10, linestyle="none", clip_on=False, zorder=3,
                      color=styles[setting]["color"], markeredgecolor="white")  # fmt: skip
            label = "_"  # one entry in the legend says it for all
