"""Ours beside the published: the verdict by hand, and what is said of runs that are missing."""

import csv
import json
from pathlib import Path

import pytest

from experiments.reproduce.comparison import (
    COLUMNS,
    NOTHING,
    Line,
    compare,
    comparison_csv,
    comparison_table,
    reasons,
)
from experiments.reproduce.plan import Planned
from experiments.reproduce.tables import Cell
from experiments.statistics import Estimate
from experiments.sweep import run_name
from fedjtt.config import RunConfig
from fedjtt.tracking import RunFolder
from tests.tiny import tiny_config

RUNS = tuple(tiny_config(dataset="digits", seed=seed) for seed in range(3))
PUBLISHED = {"worst-group": Estimate(0.7, None, 0), "average": None}


def planned(lacking: str | None = None) -> Planned:
    return Planned(Cell("JTT", "digits", "some.toml", {}, dict(PUBLISHED)), RUNS, {}, lacking)


def finished(out: Path, config: RunConfig, worst: float) -> None:
    """Leave what a finished run leaves, as far as it is read."""
    folder = RunFolder(out / "runs" / run_name(config), config)
    folder.begin()
    test = {"worst-group-accuracy": worst, "average-accuracy": 0.9}
    result = {"config": config.flat(), "run-id": config.run_id, "test": test}
    (folder.path / "result.json").write_text(json.dumps(result))
    (folder.path / "done").touch()


@pytest.mark.parametrize(
    ("published", "ours", "verdict"),
    [
        (None, Estimate(0.7, 0.1, 3), NOTHING),
        (Estimate(0.7, None, 0), None, "not run"),
        (Estimate(0.7, 0.1, 5), Estimate(0.7, None, 1), "one seed"),
        # .05 apart: reached by intervals of .02 and .03 together, not by .02 and .02, nor by ours alone.
        (Estimate(0.75, 0.03, 5), Estimate(0.7, 0.02, 3), "agrees"),
        (Estimate(0.75, 0.02, 5), Estimate(0.7, 0.02, 3), "differs"),
        (Estimate(0.75, None, 0), Estimate(0.7, 0.049, 3), "differs"),
        (Estimate(0.75, None, 0), Estimate(0.7, 0.051, 3), "agrees"),
        # Both without a spread: a published 0.0 % is from -.05 to .05.
        (Estimate(0.0, None, 0), Estimate(0.0004, 0.0, 3), "agrees"),
        (Estimate(0.0, None, 0), Estimate(0.0006, 0.0, 3), "differs"),
    ],
)
def test_the_verdict(published: Estimate | None, ours: Estimate | None, verdict: str) -> None:
    assert Line("JTT", "digits", "average", published, ours, 5).verdict == verdict


def test_runs_become_means_with_intervals(tmp_path: Path) -> None:
    for config, worst in zip(RUNS, (0.70, 0.72, 0.74), strict=True):
        finished(tmp_path, config, worst)
    worst, average = compare([planned()], tmp_path, {})
    assert worst.ours is not None
    # Deviation .02 over 3 seeds: t(.975, 2) = 4.30265, times .02 / sqrt(3).
    assert (worst.ours.mean, worst.ours.half, worst.ours.n) == (
        pytest.approx(0.72),
        pytest.approx(0.0496828, rel=1e-5),
        3,
    )
    assert (worst.verdict, worst.difference, worst.why) == ("agrees", pytest.approx(0.02), "")
    assert (average.measure, average.ours, average.verdict) == ("average", Estimate(0.9, 0.0, 3), NOTHING)


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    name = run_name(RUNS[2])
    assert [line.why for line in compare([planned("no file")], tmp_path, {})] == ["no file"] * 2
    assert {line.why for line in compare([planned()], tmp_path, {name: "it diverged"})} == {"it diverged"}
    finished(tmp_path, RUNS[0], 0.7)
    lines = compare([planned()], tmp_path, {name: "it diverged"})
    assert (lines[0].verdict, lines[0].why) == ("one seed", "it diverged")
    assert compare([planned()], tmp_path, {})[0].why == "it was not asked for"
    shown = comparison_table("A table", "somewhere.", lines[:1], "learning-rate = 1")
    assert shown.rows == (("JTT", "digits", "worst-group", "70.0", "70.0", "0.0", "1 of 3", "one seed"),)
    assert shown.caption.endswith("Published: somewhere. Changed by --set: learning-rate = 1.")
    other = Line("ERM", "digits", "average", None, None, 3, "it diverged")
    assert reasons([*lines, other]) == ["not run: JTT on digits, ERM on digits: it diverged"]


def test_the_numbers_as_csv() -> None:
    lines = [
        Line("JTT", "digits", "average", Estimate(0.7, 0.02, 5), Estimate(0.725, 0.01, 3), 3),
        Line("ERM", "digits", "average", Estimate(0.5, None, 0), None, 3, "no file, nowhere"),
    ]
    first, second = csv.DictReader(comparison_csv("mine", lines).splitlines())
    assert tuple(first) == COLUMNS
    assert [first[name] for name in COLUMNS[4:10]] == ["70.0000", "2.0000", "5", "72.5000", "1.0000", "2.5000"]
    assert (first["seeds"], first["verdict"]) == ("3", "agrees")
    assert [second[name] for name in COLUMNS[4:]] == ["50.0000", "", "", "", "", "", "0", "not run", "no file, nowhere"]
