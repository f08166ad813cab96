"""The figure over densities: accuracies of sparse networks, with the dense ones as lines, a row for each dataset."""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.drawing import (
    GREEN,
    GREY,
    PURPLE,
    density_axis,
    distinct_styles,
    draw_means,
    new_figure,
    outside_legend,
    percent_axis,
)
from experiments.settings import Groups, Setting
from experiments.statistics import estimate
from experiments.tables import WGA, provenance
from fedjtt.choices import DATA_KEYS

DENSITY = "rest-density"
_MEASURES = {WGA: "worst-group accuracy", "test.conflicting-accuracy": "accuracy, conflicting"}
_DENSE = {"erm": GREY, "jtt": PURPLE, "group-balanced": GREEN}
_DASHES = ("-.", ":", "--", (0, (5, 1, 1, 1, 1, 1)))


def accuracy_against_density(groups: Groups) -> Figure | None:
    """WGA and the accuracy on conflicting examples against density; None where fewer than two densities ran."""
    of_rest = [setting for setting in groups if setting.get("method") == "rest" and setting.get(DENSITY) is not None]
    times = Counter(setting.without(DENSITY) for setting in of_rest)
    sparse = [setting for setting in of_rest if times[setting.without(DENSITY)] > 1]  # one density is no line
    if not sparse:
        return None
    densities = sorted({float(setting.get(DENSITY)) for setting in sparse})
    data = list(dict.fromkeys(_data_of(setting) for setting in sparse))
    places_of = {_place(setting) for setting in sparse}
    dense = [setting for setting in groups if setting.get("method") in _DENSE and _place(setting) in places_of]
    shown = [row for setting in (*sparse, *dense) for row in groups[setting]]
    figure, places = new_figure(1.0 + 2.5 * len(data), provenance(shown), len(_MEASURES) * len(data), len(_MEASURES))
    lines = list(dict.fromkeys(setting.without(DENSITY, *DATA_KEYS) for setting in sparse))
    styles, dashes = distinct_styles(lines), _dashes_of(dense)
    for place, axes in enumerate(places):
        own, measure = data[place // len(_MEASURES)], list(_MEASURES)[place % len(_MEASURES)]
        here = {setting: groups[setting] for setting in (*dense, *sparse) if _data_of(setting) == own}
        for line in lines:
            _draw_line(axes, here, line, measure, styles)
        _draw_dense(axes, here, measure, dashes)
        density_axis(axes, densities)
        percent_axis(axes, f"{_MEASURES[measure]} (test)")
        if len(data) > 1:
            axes.set_title(_named(own), fontsize=8, loc="left")
    outside_legend(figure, places[0])
    return figure


def _place(setting: Setting) -> tuple[object, object]:
    return setting.get("robust"), setting.get("machines")


def _data_of(setting: Setting) -> tuple[tuple[str, object], ...]:
    return tuple((key, setting.get(key)) for key in DATA_KEYS if setting.get(key) is not None)


def _named(data: Sequence[tuple[str, object]]) -> str:
    told = {"dataset": "{}".format, "spurious-strength": lambda strength: f"{100 * (1 - strength):.2g} % conflict"}
    return ", ".join(told.get(key, f"{key} {{}}".format)(value) for key, value in data)


def _draw_line(
    axes: Axes, groups: Groups, line: Setting, measure: str, styles: dict[Setting, dict[str, object]]
) -> None:
    found = {
        float(setting.get(DENSITY)): value
        for setting, rows in groups.items()
        if setting.get("method") == "rest" and setting.without(DENSITY, *DATA_KEYS) == line
        if (value := estimate(rows, measure)) is not None
    }
    if found:
        draw_means(axes, sorted(found), [found[density] for density in sorted(found)], line.label, styles[line])


def _dashes_of(dense: Sequence[Setting]) -> dict[Setting, Any]:
    """Return each line's dashes, other ones for each setting of a method: its colour is the method's."""
    found: dict[Setting, Any] = {}
    for method in _DENSE:
        own = dict.fromkeys(setting.without(*DATA_KEYS) for setting in dense if setting.get("method") == method)
        found |= zip(own, cycle(_DASHES))
    return found


def _draw_dense(axes: Axes, groups: Groups, measure: str, dashes: Mapping[Setting, Any]) -> None:
    for setting, rows in groups.items():
        value, colour = estimate(rows, measure), _DENSE.get(setting.get("method"))
        if value is not None and colour is not None:
            line = setting.without(*DATA_KEYS)
            label = f"{line.label}, dense"
            axes.axhline(value.mean, color=colour, linewidth=1.2, linestyle=dashes[line], label=label)
            axes.axhspan(max(0, value.low), min(1, value.high), color=colour, alpha=0.1, linewidth=0)
