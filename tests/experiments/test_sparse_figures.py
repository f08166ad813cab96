"""The figure over densities, of made-up runs: a row for each dataset, dense networks as lines."""

from typing import Any

import pytest

from experiments.results import Row, flatten
from experiments.settings import Groups, by_setting
from experiments.sparse_figures import accuracy_against_density
from tests.experiments.test_results import synthetic_result

DENSITIES = (0.01, 0.05, 0.5)


def row_of(values: dict[str, Any], wga: float) -> Row:
    result = synthetic_result(values, wga)
    result["test"] |= {"aligned-accuracy": 0.9, "conflicting-accuracy": wga + 0.1}
    if values["method"] == "rest":
        density = values["rest-density"]
        result["sparse"] = {
            "density": density, "lambda": 10.0, "in-time-over-parametrisation": 2 * density,
            "share-of-dense-bytes": None, "memory": {"weights": 40 * density + 1, "dense-weights": 40},
            "flops": {"inference": 10 * density, "training": 30 * density, "dense-inference": 10, "dense-training": 30},
        }  # fmt: skip
    return flatten(result)


def groups_of(strengths: tuple[float, ...] = (0.995,), densities: tuple[float, ...] = DENSITIES) -> Groups:
    shared: list[dict[str, Any]] = [
        {"dataset": "coloured-mnist", "spurious-strength": strength, "seed": seed, "robust": "central"}
        for strength in strengths
        for seed in (0, 1)
    ]
    rows = [row_of({**each, "method": method}, 0.1) for each in shared for method in ("erm", "jtt")]
    rows += [
        row_of({**each, "method": "rest", "rest-density": density, "groups": groups}, 0.2 + density / 2)
        for each in shared
        for density in densities
        for groups in ("true", "inferred")
    ]
    return by_setting(rows)


def test_lines_are_means_over_density_and_dense_networks_are_level() -> None:
    figure = accuracy_against_density(groups_of())
    assert figure is not None
    wga, conflicting = figure.axes
    labels = wga.get_legend_handles_labels()[1]
    assert sum("dense" in label for label in labels) == 2
    curves = [drawn.lines[0] for drawn in wga.containers]
    assert len(curves) == 2  # true and inferred groups
    for curve in curves:
        assert list(curve.get_xdata()) == list(DENSITIES)
        assert list(curve.get_ydata()) == pytest.approx([0.205, 0.225, 0.45], abs=0.01)
    assert list(conflicting.containers[0].lines[0].get_ydata()) == pytest.approx([0.305, 0.325, 0.55], abs=0.01)
    assert wga.get_xscale() == "log"


def test_settings_of_a_dense_method_have_its_colour_and_dashes_of_their_own() -> None:
    values = {"dataset": "coloured-mnist", "spurious-strength": 0.995, "robust": "central", "method": "jtt"}
    other = [row_of({**values, "seed": seed, "identify-stop": "val-groups"}, 0.4) for seed in (0, 1)]
    figure = accuracy_against_density(by_setting([row for rows in groups_of().values() for row in rows] + other))
    assert figure is not None
    axes = figure.axes[0]
    lines = [line for line in axes.get_lines() if str(line.get_label()).startswith("JTT")]
    assert len(lines) == 2
    assert len({line.get_color() for line in lines}) == 1
    assert len({str(line.get_linestyle()) for line in lines}) == 2


def test_each_level_of_conflict_has_a_row() -> None:
    figure = accuracy_against_density(groups_of((0.995, 0.98)))
    assert figure is not None
    assert [axes.get_title(loc="left") for axes in figure.axes[::2]] == [
        "0.5 % conflict", "2 % conflict"
    ]  # fmt: skip
    assert all(len(axes.containers) == 2 for axes in figure.axes)


def test_one_density_is_no_figure() -> None:
    assert accuracy_against_density(groups_of(densities=(0.05,))) is None
