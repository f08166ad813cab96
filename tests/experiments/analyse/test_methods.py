import csv
import json
from pathlib import Path
from typing import Any

import pytest

from experiments.analyse.methods import comparison, reads_groups
from experiments.results import flatten, read_exchanges
from experiments.settings import by_setting
from tests.experiments.conftest import Call
from tests.experiments.test_results import synthetic_result

WGA = {
    ("erm", "central"): (0.2, 0.3), ("jtt", "central"): (0.7, 0.6), ("jtt", "federated"): (0.6, 0.6),
    ("group-dro", "central"): (0.9, 0.8),
}  # fmt: skip


def _runs() -> list[dict[str, Any]]:
    return [
        synthetic_result({"method": method, "robust": robust, "machines": 4, "seed": seed}, wga)
        for (method, robust), values in WGA.items()
        for seed, wga in enumerate(values)
    ]


def _table() -> dict[str, dict[str, str]]:
    runs = [flatten(run) for run in _runs()]
    table = comparison(by_setting(runs), {run["run-id"]: 7 for run in runs})
    return {row[0]: dict(zip(table.columns, row, strict=True)) for row in table.rows}


def test_the_gap_closed_is_said_with_its_arithmetic() -> None:
    """Means over two seeds: ERM 25, JTT 65, GroupDRO 85; (65 - 25) / (85 - 25) = 2/3."""
    table = _table()
    assert table["JTT"]["gap closed"] == "67 % = (65.0 − 25.0) / (85.0 − 25.0)"
    assert table["ERM"]["gap closed"] == table["GroupDRO (true groups)"]["gap closed"] == "–"


def test_federated_is_paired_with_central_by_seed() -> None:
    """Differences -10 and 0 points: mean -5, and Student's t for two values is 12.706 x sd / sqrt(2) = 63.5."""
    assert _table()["JTT"]["federated − central"] == "−5.0 ± 63.5"
    assert _table()["JTT"]["exchanges"] == "7"
    assert _table()["ERM"]["federated WGA, %"] == "–"


def test_how_a_method_was_set_stands_apart_from_what_it_is() -> None:
    grid: list[dict[str, Any]] = [
        {"method": "erm", "learning-rate": 0.01}, {"method": "erm", "learning-rate": 0.2, "selection": "last"},
        {"method": "jtt"}, {"method": "group-dro"}, {"method": "lff"},
    ]  # fmt: skip
    table = comparison(by_setting([flatten(synthetic_result({**values, "machines": 1})) for values in grid]), {})
    assert [row[:2] for row in table.rows if row[0].startswith("ERM")] == [
        ("ERM", "learning-rate 0.01"), ("ERM, selection last", "learning-rate 0.2"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("values", "split"),
    [
        ({"method": "erm"}, "none"), ({"method": "jtt"}, "none"), ({"method": "group-balanced"}, "train"),
        ({"method": "balance", "groups": "class"}, "none"), ({"method": "group-dro"}, "train"),
        ({"method": "group-dro", "groups": "inferred"}, "none"), ({"method": "dfr"}, "validation"),
        ({"method": "group-balanced", "train-on": "validation"}, "validation"),
    ],
)  # fmt: skip
def test_which_group_labels_a_method_trains_on(values: dict[str, Any], split: str) -> None:
    assert reads_groups(flatten(synthetic_result(values))) == split


def _written(folder: Path) -> None:
    for run in _runs():
        path = folder / "runs" / run["run-id"]
        path.mkdir(parents=True)
        (path / "result.json").write_text(json.dumps(run))
        (path / "done").touch()
    lines = "stage,round,machine,messages,sent,received\nrobust,1,0,2,9,9\nevaluate,0,0,3,9,9\nrobust,1,1,4,9,9\n"
    (path / "ledger.csv").write_text(lines)


def test_exchanges_are_those_of_the_busiest_machine(tmp_path: Path) -> None:
    _written(tmp_path)  # machine 0 was sent 2 + 3 messages, machine 1 was sent 4
    assert sorted(read_exchanges(tmp_path).values()) == [0] * (len(_runs()) - 1) + [5]


def test_the_command_writes_table_and_figure(call: Call, tmp_path: Path) -> None:
    _written(tmp_path / "sweep")
    code, _, said = call("analyse", "methods", "sweep", "--to", "out")
    assert (code, said) == (0, "")
    assert "67 % = (65.0" in (tmp_path / "out" / "methods.md").read_text()
    with (tmp_path / "out" / "methods.csv").open() as file:
        assert [row["method"] for row in csv.DictReader(file)] == ["ERM", "JTT", "GroupDRO (true groups)"]


def test_a_file_is_no_folder_for_results(call: Call, tmp_path: Path) -> None:
    _written(tmp_path / "sweep")
    (tmp_path / "file").write_text("mine")
    choose = ["choose", "sweep", "--tuned", "seed", "--to", "file/x.toml"]
    for arguments in (["methods", "sweep", "--to", "file"], choose):
        code, _, said = call("analyse", *arguments)
        assert code == 2
        assert "file is a file; name a folder" in said
