"""What the analyses against a number share: lines, ticks, columns and files."""

from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from experiments.analyse.curves import (
    Panel,
    Point,
    accuracy_columns,
    alike_unsaid,
    curves_over,
    draw,
    figures_of,
    write,
)
from experiments.results import flatten
from experiments.settings import Groups, Setting, by_setting
from experiments.table import Table
from tests.experiments.test_results import synthetic_result


def groups_of(grid: list[dict[str, Any]], seeds: int = 3, wga: list[float] | None = None) -> Groups:
    """Make runs of every setting; `wga`: seed by seed, the same for all settings."""
    return by_setting(
        [
            flatten(synthetic_result({**values, "seed": seed}, None if wga is None else wga[seed]))
            for values in grid
            for seed in range(seeds)
        ]
    )


def panel_of(places: list[float], lines: int = 1, seeds: int = 2) -> Panel:
    groups = groups_of([{"method": "erm"}], seeds)
    (rows,) = groups.values()
    variants = [Setting((("method", f"m{line}"),)) for line in range(lines)]
    return Panel("t", "x", {v: [Point(x, f"{x:g}", rows) for x in places] for v in variants})


def labels(figure: Any, number: int) -> list[str]:
    figure.draw_without_rendering()
    return [label.get_text() for label in figure.axes[number].get_xticklabels()]


def test_lines_have_at_least_two_points_in_ascending_order() -> None:
    grid = [{"method": "jtt", "batch-size": size} for size in (64, 8, 16)]
    groups = alike_unsaid(groups_of([*grid, {"method": "erm"}], 1))
    found = curves_over(groups, "batch-size", (), lambda s: Point(s.get("batch-size"), "", groups[s]))
    assert {line.label: [point.x for point in points] for line, points in found.items()} == {"JTT": [8, 16, 64]}


def test_labels_leave_out_what_all_runs_share() -> None:
    several = [{"machines": machines} for machines in (1, 2)]
    assert [setting.label for setting in alike_unsaid(groups_of(several, 1))] == ["JTT, 1 machine", "JTT, 2 machines"]
    assert [setting.label for setting in alike_unsaid(groups_of(several[:1], 1))] == ["JTT"]


def test_ticks_that_would_touch_have_no_label() -> None:
    figure = draw([panel_of([1, 1.05, 4, 16])])
    assert labels(figure, 0) == ["1", "", "4", "16"]
    narrow = draw([panel_of([1, 2, 4, 8, 16])])
    assert labels(narrow, 0) == ["1", "2", "4", "8", "16"]
    assert labels(narrow, 1) == ["1", "", "4", "", "16"]  # each is ln 2 / ln 25 = .22 of the axis; .29 is needed


def test_every_panel_has_both_accuracies_and_its_title() -> None:
    figure = draw([panel_of([1, 2]), panel_of([10, 20])])
    assert [axes.get_ylabel().split(" (")[0] for axes in figure.axes] == [
        "worst group",
        "average",
    ] * 2
    assert [axes.get_title("left") for axes in figure.axes] == ["t", "", "t", ""]
    assert "seeds 0, 1" in figure.get_supxlabel().replace("\n", " ")
    assert len(figure.legends[0].get_texts()) == 1


def test_points_and_levels_are_means_over_seeds() -> None:
    wga = [0.2, 0.4, 0.6]
    groups = groups_of([{"method": "erm"}, {"method": "lff"}], wga=wga)
    (erm, rows), (_, level) = groups.items()
    figure = draw([Panel("", "x", {erm: [Point(1, "1", rows), Point(2, "2", rows)]}, {next(iter(groups)): level})])
    drawn = figure.axes[0].containers[0]
    assert list(drawn.lines[0].get_ydata()) == pytest.approx([0.4, 0.4])
    # t of 2 degrees of freedom, 4.303, times the deviation .2 over the root of 3: .497, cut off at 0
    ends = drawn.lines[2][0].get_segments()[0][:, 1]
    assert list(ends) == pytest.approx([0.0, 0.4 + 4.30265 * 0.2 / np.sqrt(3)], abs=1e-4)
    (line,) = [line for line in figure.axes[0].get_lines() if line.get_linestyle() == "-."]
    assert list(line.get_ydata()) == pytest.approx([0.4, 0.4])


def test_unknown_accuracies_leave_an_empty_panel() -> None:
    groups = groups_of([{"method": "erm"}], 1)
    (rows,) = groups.values()
    unknown = [{**row, "test.worst-group-accuracy": None} for row in rows]
    figure = draw([Panel("", "x", {next(iter(groups)): [Point(1, "1", unknown), Point(2, "2", unknown)]})])
    shown = [len(axes.containers[0].lines[0].get_ydata()) if axes.containers else 0 for axes in figure.axes]
    assert shown == [0, 2]
    assert figures_of(unknown)["worst-group-accuracy"] is None
    assert accuracy_columns([unknown])["WGA, %"] == ["–"]


def test_columns_and_figures_say_the_same() -> None:
    (rows,) = groups_of([{"method": "erm"}], wga=[0.2, 0.4, 0.6]).values()
    assert accuracy_columns([rows])["WGA, %"] == ["40.0 ± 49.7"]
    assert accuracy_columns([rows])["seeds"] == ["3"]
    found = figures_of(rows)
    assert (found["seeds"], found["worst-group-accuracy"]) == (3, pytest.approx(0.4))
    assert found["worst-group-accuracy-half-interval"] == pytest.approx(0.4968, abs=1e-4)
    alone = groups_of([{"method": "erm"}], 1)
    assert figures_of(next(iter(alone.values())))["average-accuracy-half-interval"] is None


def test_what_is_written_is_the_same_twice(tmp_path: Path) -> None:
    table = Table("T", "c", ("variant", "WGA, %"), (("ERM", "1.0"),))
    out = StringIO()
    found = []
    for name in ("a", "b"):
        write(tmp_path / name, "x", [table], [{"variant": "ERM", "n": 1}], draw([panel_of([1, 2])]), Console(file=out))
        found.append({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()})
    assert found[0] == found[1]
    assert set(found[0]) == {"x.png", "x.csv", "summary.md", "summary.txt"}
    assert found[0]["x.csv"] == b"variant,n\nERM,1\n"
    assert "ERM" in out.getvalue()
