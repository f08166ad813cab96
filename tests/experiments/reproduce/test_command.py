"""``fedjtt reproduce`` as a user runs it, on a table of digits: what it runs, what it says, and what it refuses."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from experiments.reproduce import plan as planning
from experiments.reproduce import tables
from experiments.statistics import mean_interval
from tests.experiments.conftest import Call
from tests.tiny import TINY

TABLE = """
title = "Digits"
source = "nobody."
needs = "nothing"

[[cell]]
row = "ERM"
column = "digits"
config = "digits.toml"
where = { method = "erm" }
worst-group = 50.0
average = { mean = 99.0, half = 1.0, seeds = 5 }

[[cell]]
row = "oracle"
column = "digits"
config = "digits.toml"
where = { method = "group-balanced" }
worst-group = {}

[[cell]]
row = "ERM"
column = "birds"
config = "birds.toml"
worst-group = 72.6
"""


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A table over digits, and over birds that nobody has here."""
    monkeypatch.setattr(tables, "TABLES", tmp_path / "tables")
    monkeypatch.setattr(planning, "CONFIGS", tmp_path / "configs")
    (tmp_path / "tables").mkdir()
    (tmp_path / "configs").mkdir()
    (tmp_path / "tables" / "small.toml").write_text(TABLE)
    settings = {**TINY, "machines": 1, "robust-epochs": 0.2, "robust-rounds": 1}
    common = "".join(f"{key} = {json.dumps(value)}\n" for key, value in settings.items())
    digits = f'dataset = "digits"\nseeds = 2\n{common}[[sweep]]\nmethod = ["erm", "group-balanced"]\n'
    (tmp_path / "configs" / "digits.toml").write_text(digits)
    (tmp_path / "configs" / "birds.toml").write_text(f'dataset = "waterbirds"\nmethod = "erm"\nseeds = 2\n{common}')
    return "small"


def lines_of(out: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((out / "reproduced.csv").read_text().splitlines()))


def results_of(out: Path, method: str) -> list[dict[str, Any]]:
    found = [json.loads(path.read_text()) for path in out.glob("runs/*/result.json")]
    return [result for result in found if result["config"]["method"] == method]


def figures(values: Sequence[float]) -> list[str]:
    estimate = mean_interval(values)
    assert estimate is not None
    assert estimate.half is not None
    return [f"{100 * estimate.mean:.4f}", f"{100 * estimate.half:.4f}"]


@pytest.mark.slow
def test_a_table_is_run_compared_and_gone_on_with(call: Call, tmp_path: Path, table: str) -> None:
    code, out, err = call("reproduce", table, "--out", "there", "--jobs", "2", "--only", "erm")
    assert code == 0
    assert "2 runs, 0 done before, 2 side by side" in err
    assert "Digits" in out
    worst, average, birds = lines_of(tmp_path / "there")
    done = results_of(tmp_path / "there", "erm")
    assert sorted(result["config"]["seed"] for result in done) == [0, 1]
    for line, measure in ((worst, "worst-group"), (average, "average")):
        accuracies = [result["test"][f"{measure}-accuracy"] for result in done]
        assert [line["ours"], line["ours-half"]] == figures(accuracies)
        assert line["seeds"] == "2"
    assert (birds["verdict"], birds["ours"]) == ("not run", "")
    assert "waterbirds_v1.0/metadata.csv is missing" in birds["why"]
    assert "'fedjtt data where waterbirds' says more" in birds["why"]
    markdown = (tmp_path / "there" / "reproduced.md").read_text()
    assert markdown.splitlines()[-1].startswith("* not run: ERM on birds: waterbirds's file ")
    assert "not run: ERM on birds: waterbirds's file " in out
    assert f"| ERM | digits | worst-group | 50.0 | {float(worst['ours']):.1f} ± " in markdown

    # Other cells and a seed more: what is done is not done again.
    code, _, err = call("reproduce", table, "--out", "there", "--seeds", "3", "--only", "digits")
    assert code == 0
    assert "6 runs, 2 done before" in err
    worst, _, oracle = lines_of(tmp_path / "there")
    assert (worst["seeds"], oracle["seeds"], oracle["verdict"]) == ("3", "3", "nothing published")

    again = (tmp_path / "there" / "reproduced.csv").read_bytes()
    code, _, err = call("reproduce", table, "--out", "there", "--seeds", "3", "--only", "digits")
    assert code == 0
    assert err.startswith("6 runs, 6 done before, ")
    assert err.count("\n") == 1  # no run has ended
    assert (tmp_path / "there" / "reproduced.csv").read_bytes() == again

    # A failed run is in the table too, and the exit code says so.
    changed = ["--set", "learning-rate=1e30", "--set", "momentum=0", "--only", "oracle"]
    code, out, err = call("reproduce", table, "--out", "there", "--quiet", *changed)
    assert code == 1
    assert "2 runs failed" in err
    line = lines_of(tmp_path / "there")[0]
    assert (line["verdict"], line["seeds"]) == ("not run", "0")
    assert "the loss became nan" in line["why"] or "not finite" in line["why"]


def test_a_dry_run_says_what_would_be_done_and_writes_nothing(call: Call, tmp_path: Path, table: str) -> None:
    before = sorted(tmp_path.rglob("*"))
    code, out, err = call("reproduce", table, "--dry-run")
    assert (code, err) == (0, "")
    assert "can be run here" in out
    assert "birds: waterbirds's file " in out
    assert sorted(tmp_path.rglob("*")) == before


def test_the_tables_are_listed(call: Call, table: str) -> None:
    code, out, err = call("reproduce")
    assert (code, err) == (0, "")
    assert all(text in out for text in (table, "Digits", "3", "nothing"))


BAD = [
    (["smal"], "table is 'smal'; allowed are small; did you mean 'small'?"),
    (["small", "--only", "jtt"], "--only names 'jtt', which is no row, column or row/column of small"),
    (["small", "--only", "birds"], "no cell of small can be run here: "),
    (["small", "--seeds", "none"], "seeds is 'none'"),
    (["small", "--set", "seed=3"], "--set names seed; give --seeds instead"),
    (["small", "--set", "data-dir=there"], "--set names data-dir; give --data-dir instead"),
    (["small", "--set", "model=torchvision-resnet"], "digits.toml: model is 'torchvision-resnet'; allowed are auto"),
    (["small", "--set", "epochs=3"], "digits.toml: unknown key 'epochs'"),
    (["small", "--only", "digits", "--set", "device=cuda"], "device is cuda, but torch finds no CUDA device here"),
]


@pytest.mark.usefixtures("table")
@pytest.mark.parametrize(("arguments", "text"), BAD, ids=[" ".join(arguments) for arguments, _ in BAD])
def test_bad_input_is_one_line_and_nothing_is_written(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], text: str
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    before = sorted(tmp_path.rglob("*"))
    code, out, err = call("reproduce", *arguments)
    assert (code, out) == (2, "")
    assert err.startswith(f"fedjtt: {text}")
    assert err.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before
