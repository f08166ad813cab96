"""The runs of a table's cells: those of their sweeps, changed as asked, and what is missing for them."""

import re
from pathlib import Path
from typing import Any

import pytest

from experiments.reproduce import plan as planning
from experiments.reproduce.plan import look_for_data, plan, whole_grid
from experiments.reproduce.tables import Cell, PublishedTable, read_table, table_names
from fedjtt.config import RunConfig
from fedjtt.errors import ConfigError, DataError

SWEEP = """
dataset = "digits"
machines = 1
seeds = [3, 4]

[[sweep]]
method = ["erm", "jtt"]
learning-rate = 0.5

[[sweep]]
method = "erm"
learning-rate = 0.25
seeds = 3
"""


@pytest.fixture
def sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(planning, "CONFIGS", tmp_path)
    (tmp_path / "some.toml").write_text(SWEEP)
    return tmp_path / "some.toml"


def table(*where: dict[str, Any]) -> PublishedTable:
    cells = tuple(Cell(f"row {number}", "digits", "some.toml", each, {}) for number, each in enumerate(where))
    return PublishedTable("mine", "t", "s", "n", cells)


OURS = ["cmnist-jtt", "many-machines", "methods-adult", "methods-compas", "spuco-mnist"]


@pytest.mark.parametrize("name", OURS)
def test_every_cell_has_runs_that_differ_in_the_seed_only(name: str) -> None:
    for one in plan(read_table(name), {}):
        seeds = [config.seed for config in one.runs]
        assert len(set(seeds)) == len(seeds) >= 5
        assert {config.replace(seed=0) for config in one.runs} == {one.runs[0].replace(seed=0)}
        assert all(not config.data_dir for config in one.runs)


def test_the_tables_that_need_more_are_the_others() -> None:
    assert set(table_names()) - set(OURS) == {"jtt", "dfr", "mixture"}  # tests/experiments/reproduce/test_published.py


@pytest.mark.usefixtures("sweep")
def test_a_cell_has_the_runs_that_its_values_choose() -> None:
    first, second, third = plan(table({"method": "jtt"}, {"learning-rate": 0.25}, {"method": "erm", "seed": 3}), {})
    assert [(run.method, run.learning_rate, run.seed) for run in first.runs] == [("jtt", 0.5, 3), ("jtt", 0.5, 4)]
    assert [(run.method, run.learning_rate, run.seed) for run in second.runs] == [("erm", 0.25, s) for s in range(3)]
    assert [run.learning_rate for run in third.runs] == [0.5]


@pytest.mark.usefixtures("sweep")
def test_changes_and_seeds_hold_in_every_table_of_the_sweep() -> None:
    changes = {"learning-rate": "0.125", "data-dir": "there"}
    first, second = plan(table({"method": "jtt"}, {"method": "erm"}), changes, "7,9")
    for one in (first, second):
        assert [(run.learning_rate, run.data_dir, run.seed) for run in one.runs] == [
            (0.125, "there", 7),
            (0.125, "there", 9),
        ]


@pytest.mark.usefixtures("sweep")
@pytest.mark.parametrize(
    ("where", "changes", "text"),
    [
        ({"method": "dfr"}, {}, "some.toml: row 0, digits: no run has method dfr"),
        ({}, {}, "some.toml: row 0, digits: its runs (all runs) differ in learning-rate; say which in where"),
        ({"method": "erm"}, {}, "its runs (method erm) differ in learning-rate"),
        ({"metod": "erm"}, {}, "row 0, digits: 'metod' is no config key"),
        ({"method": "jtt"}, {"model": "torchvision-resnet5000"}, "some.toml: model is 'torchvision-resnet5000'; allow"),
        ({"method": "jtt"}, {"epochs": 3}, "some.toml: unknown key 'epochs'"),
    ],
)
def test_what_cannot_be_planned(where: dict[str, Any], changes: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(text)) as caught:
        plan(table(where), changes)
    assert "\n" not in str(caught.value)


def test_only_the_files_that_cells_name_are_read(sweep: Path) -> None:
    sweep.with_name("broken.toml").write_text("model = 'no such'")
    assert plan(table({"method": "jtt"}), {})


def test_every_dataset_is_looked_for_once(sweep: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[RunConfig] = []

    def check(config: RunConfig) -> None:
        looked.append(config)
        if config.difficulty == "small":
            raise DataError("it is not there")

    monkeypatch.setattr(planning, "check_data", check)
    sweep.write_text(SWEEP + '[[sweep]]\nmethod = "erm"\ndifficulty = "small"\n')
    cells = ({"method": "jtt"}, {"learning-rate": 0.25}, {"difficulty": "small"})
    lacking = "it is not there; 'fedjtt data where digits' says where to get it"
    assert [one.lacking for one in look_for_data(plan(table(*cells), {}))] == [None, None, lacking]
    assert [config.difficulty for config in looked] == ["large", "small"]


@pytest.mark.usefixtures("sweep")
def test_the_whole_has_every_run_once_and_no_setting_in_common() -> None:
    planned = plan(table({"method": "jtt"}, {"learning-rate": 0.25}, {"learning-rate": 0.25, "seed": 0}), {})
    grid = whole_grid(planned)
    assert len(grid.runs) == 2 + 3
    assert grid.shared == {}  # so that a folder takes other cells of the table later
