"""Accuracy against a network's size: which panels, which points, and the command from end to end."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from experiments.analyse.curves import alike_unsaid
from experiments.analyse.scaling import parameters_of, short, size_panels, size_rows, size_table
from experiments.results import flatten
from experiments.settings import Groups, by_setting
from fedjtt.errors import DataError
from tests.experiments.conftest import Call
from tests.experiments.test_cli import SMALL
from tests.experiments.test_results import synthetic_result, write_run

WIDTHS = (0.5, 1, 2, 16)
BALANCED = {"method": "balance", "balance": "subset"}
GRID: list[dict[str, Any]] = [
    {**variant, "model": model, "model-width": width}
    for variant in ({"method": "erm"}, BALANCED)
    for model in ("lenet", "mlp")
    for width in WIDTHS
]


def sized(values: dict[str, Any]) -> dict[str, Any]:
    """Make a result with as many parameters as a hidden layer of that width and depth would have."""
    result = synthetic_result(values)
    config = result["config"]
    return {**result, "parameters": round(10_000 * config["model-width"] * config["model-depth"])}


def groups_of(grid: list[dict[str, Any]], seeds: int = 2) -> Groups:
    return alike_unsaid(
        by_setting([flatten(sized({**values, "seed": seed})) for values in grid for seed in range(seeds)])
    )


def test_a_panel_for_every_network_and_a_line_for_every_variant() -> None:
    panels = size_panels(groups_of(GRID))
    assert [panel.title for panel in panels] == ["LeNet by width", "MLP by width"]
    for panel in panels:
        assert [variant.label for variant in panel.curves] == ["ERM", "subset (true groups)"]
        for points in panel.curves.values():
            assert [point.x for point in points] == [10_000, 20_000, 40_000, 320_000]
            assert [point.tick for point in points] == ["10k\n0.5", "20k\n1", "40k\n2", "320k\n16"]
        assert panel.axis == "parameters\nmodel-width"


def test_width_and_depth_have_a_panel_each_and_say_the_other_where_it_differs() -> None:
    star = [{"method": "erm", "model": "mlp", "model-width": width} for width in (1, 2)]
    star += [{"method": "erm", "model": "mlp", "model-depth": depth} for depth in (1, 3)]
    assert [panel.title for panel in size_panels(groups_of(star))] == ["MLP by width", "MLP by depth"]
    full = [{"method": "erm", "model": "mlp", "model-width": w, "model-depth": d} for w in (1, 2) for d in (1, 2)]
    assert [panel.title for panel in size_panels(groups_of(full))] == [
        "MLP by width, depth 1", "MLP by width, depth 2", "MLP by depth, width 1", "MLP by depth, width 2"
    ]  # fmt: skip


def test_networks_of_one_size_are_no_line() -> None:
    mixed = [{"method": "erm", "model": "logistic"}, {"method": "erm", "model": "lenet"}, *GRID[4:8]]
    assert [panel.title for panel in size_panels(groups_of(mixed))] == ["MLP by width"]
    assert size_panels(groups_of(mixed[:2])) == []


def test_robust_mode_and_machines_are_said_where_they_differ() -> None:
    grid = [{"method": "jtt", "robust": r, "model-width": w} for r in ("central", "federated") for w in (1, 2)]
    (panel,) = size_panels(groups_of(grid))
    assert [variant.label for variant in panel.curves] == ["JTT, central", "JTT, federated"]


def test_the_table_has_a_row_for_every_setting_from_small_to_large() -> None:
    groups = groups_of(GRID)
    table = size_table(groups)
    assert table.columns == ("variant", "model", "width", "parameters", "seeds", "WGA, %", "average, %")
    assert [row[:4] for row in table.rows[:5]] == [
        ("ERM", "lenet", "0.5", "10,000"), ("ERM", "lenet", "1", "20,000"), ("ERM", "lenet", "2", "40,000"),
        ("ERM", "lenet", "16", "320,000"), ("ERM", "mlp", "0.5", "10,000"),
    ]  # fmt: skip
    assert len(table.rows) == len(GRID)
    assert "seeds 0, 1" in table.caption
    lines = size_rows(groups)
    assert [line["parameters"] for line in lines] == [10_000, 20_000, 40_000, 320_000] * 4
    assert all(0 <= line["worst-group-accuracy"] <= 1 for line in lines)


@pytest.mark.parametrize(
    ("count", "text"), [(5, "5"), (999, "999"), (1000, "1k"), (61581, "61.6k"), (999_999, "1M"), (2_345_678, "2.35M")]
)
def test_numbers_are_short(count: int, text: str) -> None:
    assert short(count) == text


def test_a_result_without_its_parameters_is_named() -> None:
    row = flatten(synthetic_result({"method": "erm"}))
    with pytest.raises(DataError, match=f"run {row['run-id']} does not say how many parameters"):
        parameters_of([row])


def write(folder: Path, grid: list[dict[str, Any]]) -> Path:
    for number, values in enumerate(grid):
        write_run(folder / "runs" / str(number), sized(values))
    return folder


def test_one_size_and_no_sweep_are_one_line(call: Call, tmp_path: Path) -> None:
    one = write(tmp_path / "one", [{"method": "erm"}, {"method": "jtt"}])
    for arguments, text in (
        ((str(one),), "has networks of one size only; sweep model-width, or model-depth of the mlp, such as"),
        ((str(tmp_path / "none"),), "holds no finished run"),
        ((str(one), "--to", str(one / "runs" / "0" / "result.json")), "is a file; name a folder"),
    ):
        code, out, err = call("analyse", "scaling", *arguments)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert text in err
    assert not (one / "scaling").exists()


def test_differences_are_largest_minus_smallest(call: Call, tmp_path: Path) -> None:
    grid = [{**values, "seed": seed} for values in GRID for seed in (0, 1)]
    code, out, err = call("analyse", "scaling", str(write(tmp_path / "sweep", grid)))
    assert (code, err) == (0, "")
    assert "Largest minus smallest network, paired" in out
    assert out.count("model-width 16 − model-width 0.5") == 4  # two variants, two networks
    assert "machine" not in out
    assert (tmp_path / "sweep" / "scaling" / "scaling.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_from_a_sweep_to_its_figure(call: Call) -> None:
    sizes = ["--method", "erm,jtt", "--machines", "1", "--model-width", ".0625,.125", "--seeds", "2"]
    code, _, err = call("sweep", *SMALL, *sizes, "--out", "s", "--no-report", "--quiet", "--jobs", "1")
    assert (code, err) == (0, "")
    code, out, err = call("analyse", "scaling", "s", "--to", "figures")
    assert (code, err) == (0, "")
    assert sorted(path.name for path in Path("figures").iterdir()) == [
        "scaling.csv", "scaling.png", "summary.md", "summary.txt"
    ]  # fmt: skip
    with Path("figures/scaling.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert [(line["variant"], line["model-width"], line["seeds"]) for line in lines] == [
        (variant, width, "2") for variant in ("ERM", "JTT") for width in ("0.0625", "0.125")
    ]
    # digits are 3 x 28 x 28, five labels; 8 and 16 hidden units
    by_hand = {"0.0625": 2353 * 8 + 9 * 8 + 9 * 5, "0.125": 2353 * 16 + 17 * 16 + 17 * 5}
    assert all(int(line["parameters"]) == by_hand[line["model-width"]] for line in lines)
    runs = [json.loads(path.read_text()) for path in Path("s/runs").glob("*/result.json")]
    mean = sum(
        run["test"]["worst-group-accuracy"] / 2 for run in runs
        if run["config"]["method"] == "jtt" and run["config"]["model-width"] == 0.125
    )  # fmt: skip
    assert float(lines[3]["worst-group-accuracy"]) == pytest.approx(mean)
    assert "Accuracy by size" in out
