"""The figures over machines, speed and rounds, as matplotlib Figure objects: no pyplot, no global state."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from experiments.drawing import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    SKY,
    VERMILLION,
    machines_axis,
    new_figure,
    number_points,
    outside_legend,
    percent_axis,
    speed_axis,
)
from experiments.results import Groups, Row, Setting
from experiments.statistics import Estimate, estimate, mean_interval
from experiments.tables import WGA, original_setting, provenance, speed_ups

Variants = dict[Setting, dict[int, list[Row]]]
_PAIRS = ((BLUE, VERMILLION), (SKY, ORANGE), (BLACK, PURPLE))
_BOUNDS = {"erm": GREY, "group-balanced": GREEN}
_PREDICTIONS = {"precision": ("o", (BLACK, PURPLE)), "recall": ("s", (ORANGE, SKY))}


def variants(groups: Groups, method: str = "jtt") -> Variants:
    """Return a method's variants (settings without the machines), each with its runs by machine count."""
    found: Variants = {}
    for setting, rows in groups.items():
        if setting.get("method") == method:
            line = found.setdefault(setting.without("machines"), {})
            line.setdefault(setting.get("machines"), []).extend(rows)
    return dict(sorted(found.items(), key=lambda item: len(item[1]) < 2))  # lines first, then single points


def _styles(lines: Iterable[Setting]) -> dict[Setting, dict[str, Any]]:
    """Colour says central or federated, line and marker say the schedule; further keys take further colours."""
    chosen = list(lines)
    others = list(dict.fromkeys(map(_further, chosen)))
    styles = {}
    for variant in chosen:
        federated = variant.get("robust") == "federated"
        colour = _PAIRS[others.index(_further(variant)) % len(_PAIRS)][federated]
        styles[variant] = _style(variant, "s" if federated else "o", colour)
    return styles


def _style(variant: Setting, marker: str, colour: str) -> dict[str, Any]:
    if variant.get("identify-schedule") == "same-updates":
        return {"color": colour, "marker": marker, "linestyle": "--", "markerfacecolor": "white"}
    return {"color": colour, "marker": marker, "linestyle": "-"}


def _further(variant: Setting) -> Setting:
    return variant.without("method", "robust", "machines", "identify-schedule")


def _draw(axes: Axes, x: Sequence[float], values: Sequence[Estimate], label: str, style: Mapping[str, Any]) -> None:
    """Draw means with their intervals, cut off at 0 and 1."""
    means = np.array([value.mean for value in values])
    low = means - np.clip([value.low for value in values], 0, 1)
    high = np.clip([value.high for value in values], 0, 1) - means
    axes.errorbar(
        x, means, yerr=np.maximum([low, high], 0), label=label, capsize=2.5, markersize=5, **{"linewidth": 1.5, **style}
    )


def _dodged(count: int, index: int, of: int) -> float:
    """Move a point sideways, by less than its own width, so that intervals do not hide each other."""
    return float(count * min(1.035, 1.15 ** (1 / of)) ** (index - (of - 1) / 2))


def _bound_settings(groups: Groups) -> list[Setting]:
    """Return ERM and the oracle, central (else as they ran) and on the fewest machines; the same weights only once."""
    chosen: list[Setting] = []
    seen: list[dict[int, str]] = []
    for method in _BOUNDS:
        ran = sorted(
            (s for s in groups if s.get("method") == method), key=lambda s: (s.get("robust"), s.get("machines"))
        )
        for setting in ran:
            first = next(s for s in ran if s.without("robust", "machines") == setting.without("robust", "machines"))
            digests = {row["config.seed"]: row["digest"] for row in groups[setting]}
            if setting == first and digests not in seen:
                chosen.append(setting)
                seen.append(digests)
    return chosen


def _bounds(axes: Axes, groups: Groups) -> None:
    """Draw ERM and the oracle as horizontal lines with their intervals as bands."""
    for setting in _bound_settings(groups):
        value, colour = estimate(groups[setting], WGA), _BOUNDS[setting.get("method")]
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
    styles = _styles(lines)
    for index, (variant, line) in enumerate(shown.items()):
        style = styles.get(variant, {"color": GREY, "marker": "^", "linestyle": "-", "linewidth": 1.0})
        values = {count: value for count in sorted(line) if (value := estimate(line[count], WGA)) is not None}
        x = [_dodged(count, index, len(shown)) for count in values]
        _draw(axes, x, list(values.values()), variant.label, style)
    machines_axis(axes, machines)
    percent_axis(axes, "worst-group accuracy (test)")
    outside_legend(figure, axes)
    return figure


def error_set_against_machines(groups: Groups) -> Figure | None:
    """Precision and recall of the error set against machines; None where they are not known or one count ran."""
    lines: Variants = {}
    for variant, line in variants(groups).items():  # the robust stage comes after it and cannot change it
        merged = lines.setdefault(variant.but(robust="either"), {})
        for count, group in line.items():
            merged.setdefault(count, []).extend(group)
    machines = sorted({count for line in lines.values() for count in line})
    known = any(estimate(rows, "identification.precision") for line in lines.values() for rows in line.values())
    if len(machines) < 2 or not known:
        return None
    rows = [row for line in lines.values() for group in line.values() for row in group]
    note = provenance(rows, "train").split(" Selected")[0] + " Against the true minority; no model is selected here."
    figure, (axes,) = new_figure(3.9, note)
    others = list(dict.fromkeys(map(_further, lines)))
    for index, ((variant, line), name) in enumerate(product(lines.items(), _PREDICTIONS)):
        values = {c: e for c in sorted(line) if (e := estimate(line[c], f"identification.{name}")) is not None}
        marker, colours = _PREDICTIONS[name]
        style = _style(variant, marker, colours[others.index(_further(variant)) % len(colours)])
        rest = variant.without("method", "robust").label
        x = [_dodged(count, index, 2 * len(lines)) for count in values]
        _draw(axes, x, list(values.values()), f"{name}, {rest}" if rest else name, style)
    machines_axis(axes, machines)
    percent_axis(axes, "precision and recall")
    outside_legend(figure, axes)
    return figure


def wga_against_speed_up(groups: Groups) -> Figure | None:
    """WGA against speed-up over the variant on one machine and, if it ran, over the original's setting there."""
    original = original_setting(groups)
    lines, speed = variants(groups), speed_ups(groups, original)
    names = ["speed-up over the same variant on one machine", "speed-up over the original's setting on one machine"]
    jtt = [setting for setting in groups if setting.get("method") == "jtt"]
    panels = [i for i in (0, 1) if sum(speed[s][i] is not None for s in jtt) > 1]
    if not panels or len({setting.get("machines") for setting in jtt}) < 2:
        return None
    note = provenance([row for s in jtt for row in groups[s]])
    note += (
        " Numbers: machines, where there is room. Speed-up: CPU seconds (identify, slowest machine, + robust) of the "
    )
    note += "reference / of the setting."
    figure, axes = new_figure(0.9 + 3.3 * len(panels), note, len(panels))
    styles, numbered = _styles(lines), []
    for each, panel in zip(axes, panels, strict=True):
        points: list[tuple[float, float, str, str]] = []
        for variant in lines:
            found = [(s.get("machines"), speed[s][panel], estimate(groups[s], WGA))
                     for s in jtt if s.without("machines") == variant]  # fmt: skip
            full = [(count, x.mean, y) for count, x, y in found if x is not None and y is not None]
            if full:
                _draw(each, [x for _, x, _ in full], [y for _, _, y in full], variant.label, styles[variant])
                points += [(x, y.mean, str(count), str(styles[variant]["color"])) for count, x, y in full]
        speed_axis(each, [x for x, *_ in points], names[panel])
        percent_axis(each, "worst-group accuracy (test)")
        numbered.append((each, points))
    outside_legend(figure, axes[0])
    figure.draw_without_rendering()  # from here on the axes stay where they are
    for each, points in numbered:
        number_points(each, points)
    return figure


def wga_by_round(groups: Groups, histories: Mapping[str, Sequence[Mapping[str, Any]]]) -> Figure | None:
    """Worst-group accuracy on validation after every robust round; None where no run kept its rounds."""
    measure = "validation.worst-group-accuracy"
    most = max((s.get("machines") for s in groups if s.get("method") == "jtt"), default=0)
    bounds = _bound_settings(groups)
    curves: dict[Setting, dict[int, list[float]]] = {}
    for setting, rows in groups.items():
        if setting.get("machines") != most if setting.get("method") == "jtt" else setting not in bounds:
            continue
        for row in rows:
            for line in histories.get(row["run-id"], ()):
                if line.get("stage") == "robust" and line.get(measure) is not None:
                    curves.setdefault(setting, {}).setdefault(line["round"], []).append(line[measure])
    if not any(len(curve) > 1 for curve in curves.values()):
        return None
    note = provenance([row for setting in curves for row in groups[setting]], "validation")
    figure, (axes,) = new_figure(3.9, note)
    styles = _styles(setting for setting in curves if setting.get("method") == "jtt")
    for setting, curve in curves.items():
        values = [value for key in sorted(curve) if (value := mean_interval(curve[key])) is not None]
        style = styles.get(setting) or {"color": _BOUNDS[setting.get("method")], "linestyle": "-."}
        axes.plot(sorted(curve), [v.mean for v in values], label=setting.label, linewidth=1.5, color=style["color"],
                  linestyle=style["linestyle"])  # fmt: skip
        low, high = np.clip([v.low for v in values], 0, 1), np.clip([v.high for v in values], 0, 1)
        axes.fill_between(sorted(curve), low, high, color=style["color"], alpha=0.12, linewidth=0)
    axes.set_xlabel("round of the robust stage", fontsize=9)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    percent_axis(axes, "worst-group accuracy (validation)")
    outside_legend(figure, axes)
    return figure
