"""Accuracy against the mixture's ratio, cut first and not."""

from pathlib import Path
from typing import Any

import pytest

from experiments.analyse.curves import alike_unsaid
from experiments.analyse.mixture import ratio_panel, ratio_rows, ratio_table
from experiments.results import flatten
from experiments.settings import Groups, by_setting
from tests.experiments.conftest import Call
from tests.experiments.test_cli import SMALL
from tests.experiments.test_results import synthetic_result, write_run

MIXTURE = {"method": "balance", "balance": "mixture"}
GRID: list[dict[str, Any]] = [
    *({**MIXTURE, "mixture-ratio": ratio, "mixture-cut": cut} for cut in (True, False) for ratio in (1, 2, 16)),
    *({"method": "balance", "balance": way} for way in ("subset", "upsample")),
    {"method": "erm"},
]


def groups_of(grid: list[dict[str, Any]], seeds: int = 2) -> Groups:
    runs = [flatten(synthetic_result({**values, "seed": seed})) for values in grid for seed in range(seeds)]
    return alike_unsaid(by_setting(runs))


def test_a_line_each_for_cut_and_not_between_the_levels_of_other_balancing() -> None:
    panel = ratio_panel(groups_of(GRID))
    assert panel is not None
    name = "mixture (true groups)"
    assert sorted(variant.label for variant in panel.curves) == [f"{name}, cut first", f"{name}, not cut"]
    for points in panel.curves.values():
        assert [(point.x, point.tick) for point in points] == [(1, "1"), (2, "2"), (16, "16")]
    assert sorted(level.label for level in panel.levels) == ["ERM", "subset (true groups)", "upsample (true groups)"]
    assert len(panel.rows) == 2 * len(GRID)


def test_one_ratio_is_no_line() -> None:
    assert ratio_panel(groups_of([each for each in GRID if each.get("mixture-ratio", 2) == 2])) is None
    assert ratio_panel(groups_of(GRID[-3:])) is None


def test_the_table_goes_up_in_ratio_and_has_a_dash_where_there_is_none() -> None:
    groups = groups_of(GRID)
    table = ratio_table(groups)
    assert table.columns == ("variant", "ratio", "seeds", "WGA, %", "average, %")
    ratios = {}
    for variant, ratio, *_ in table.rows:
        ratios.setdefault(variant, []).append(ratio)
    assert ratios == {
        "ERM": ["–"], "subset (true groups)": ["–"], "upsample (true groups)": ["–"],
        "mixture (true groups), cut first": ["1", "2", "16"], "mixture (true groups), not cut": ["1", "2", "16"],
    }  # fmt: skip
    assert [line["mixture-ratio"] for line in ratio_rows(groups)].count(None) == 3


def write(folder: Path, grid: list[dict[str, Any]]) -> Path:
    for number, values in enumerate(grid):
        write_run(folder / "runs" / str(number), synthetic_result(values))
    return folder


def test_the_command_writes_figure_and_tables(call: Call, tmp_path: Path) -> None:
    sweep = write(tmp_path / "sweep", [{**values, "seed": seed} for values in GRID for seed in (0, 1)])
    code, out, err = call("analyse", "mixture", str(sweep))
    assert (code, err) == (0, "")
    assert sorted(path.name for path in (sweep / "mixture").iterdir()) == [
        "mixture.csv", "mixture.png", "summary.md", "summary.txt"
    ]  # fmt: skip
    assert "Cut first minus not cut, paired" in out
    assert out.count("cut first − not cut") == 3


def test_a_sweep_without_two_ratios_is_one_line(call: Call, tmp_path: Path) -> None:
    sweep = write(tmp_path / "sweep", GRID[-3:])
    code, out, err = call("analyse", "mixture", str(sweep), "--to", "there")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "has no mixture of two ratios; sweep method = balance, balance = mixture over mixture-ratio" in err
    assert not Path("there").exists()


@pytest.mark.slow
def test_from_a_sweep_to_its_figure(call: Call) -> None:
    axes = ["--mixture-ratio", "1,4", "--set", "mixture-cut=true,false", "--machines", "1", "--seeds", "1"]
    kind = ["--method", "balance", "--balance", "mixture", "--model-width", ".0625"]
    code, _, err = call("sweep", *SMALL, *kind, *axes, "--out", "s", "--no-report", "--quiet", "--jobs", "1")
    assert (code, err) == (0, "")
    code, out, err = call("analyse", "mixture", "s", "--to", "m")
    assert (code, err) == (0, "")
    assert len(Path("m/mixture.csv").read_text().splitlines()) == 1 + 4
    assert "one seed, so no interval" in " ".join(out.split())
