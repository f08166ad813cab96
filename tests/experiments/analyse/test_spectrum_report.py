"""The files of ``fedjtt analyse spectrum``: what is in them, and that nothing is written where something is wrong."""

import json
import shutil
from io import StringIO
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

from experiments.analyse import spectrum_report as module
from experiments.analyse.spectrum_report import spectrum_report
from fedjtt.errors import ConfigError
from tests.experiments.analyse.made_runs import really_run

FILES = ["eigenvalues.png", "rho.csv", "rho.png", "spectrum.csv", "summary.md", "summary.txt"]


def report(folders: list[Path], place: Path, top: int = 4) -> str:
    out = StringIO()
    spectrum_report(folders, place, top, None, False, Console(file=out), Console(file=StringIO()))
    return out.getvalue()


def test_tables_and_figures_of_a_sweep(made_sweep: Path, tmp_path: Path) -> None:
    shown = report([made_sweep], tmp_path / "there" / "spectra")
    place = tmp_path / "there" / "spectra"
    assert sorted(path.name for path in place.iterdir()) == FILES
    groups, classes = pd.read_csv(place / "spectrum.csv"), pd.read_csv(place / "rho.csv")
    assert list(groups.columns) == [
        "run-id", "seed", "method", "setting", "label", "attribute", "rows", "n",
        *(f"eigenvalue-{rank}" for rank in range(1, 5)),
    ]  # fmt: skip
    assert len(groups) == 4 * 25
    assert len(classes) == 4 * 5
    top = groups.set_index(["run-id", "label", "attribute"])["eigenvalue-1"]
    for row in classes.to_dict("records"):
        ends = [top[row["run-id"], row["label"], row[side]] for side in ("minority", "majority")]
        assert row["rho"] == pytest.approx(ends[0] / ends[1], rel=1e-9)
        result = next(r for r in map(result_of, made_sweep.glob("runs/*")) if r["run-id"] == row["run-id"])
        accuracy = {g["attribute"]: g["correct"] / g["count"] for g in result["test"]["groups"]
                    if g["label"] == row["label"]}  # fmt: skip
        assert row["accuracy-difference"] == pytest.approx(accuracy[row["majority"]] - accuracy[row["minority"]])
    assert (place / "summary.txt").read_text() in shown
    assert "| ERM, central, 1 machine | 0-1 |" in (place / "summary.md").read_text()
    assert f"spectra: {place}" in shown


def result_of(folder: Path) -> dict[str, object]:
    return dict(json.loads((folder / "result.json").read_text()))


def test_the_same_runs_give_the_same_files_and_old_figures_go(made_sweep: Path, tmp_path: Path) -> None:
    report([made_sweep / "runs" / "erm-0"], tmp_path)
    first = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    (tmp_path / "eigenvalues-2.png").write_bytes(b"of more settings")
    (tmp_path / "notes.txt").write_text("somebody's")
    report([made_sweep / "runs" / "erm-0"], tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.name != "notes.txt"} == first
    assert (tmp_path / "notes.txt").exists()


def test_without_attributes_and_with_a_file_in_the_way_nothing_is_written(made_sweep: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(made_sweep / "runs" / "erm-0", tmp_path / "run"))
    result = json.loads((run / "result.json").read_text())
    for group in result["test"]["groups"]:
        group["attribute"] = None
    (run / "result.json").write_text(json.dumps(result))
    with pytest.raises(ConfigError, match="run: dataset digits has no attribute here, so there are no groups"):
        report([made_sweep, run.with_name("run")][1:], tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(ConfigError, match=r"--to is .*result\.json/out, but .*result\.json is a file; name a folder"):
        report([made_sweep], run / "result.json" / "out")


def test_figures_are_drawn_before_anything_is_written(
    made_sweep: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ConfigError("as if")

    monkeypatch.setattr(module, "rho_figure", broken)
    with pytest.raises(ConfigError, match="as if"):
        report([made_sweep], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_machines_give_the_same_numbers(tmp_path: Path) -> None:
    """A run whose evaluation is on machines is asked there, as many as it had; here about another run's model."""
    settings = {"method": "erm", "robust": "federated"}
    central = really_run(tmp_path / "central", evaluation_at="server", machines=1, **settings)
    spread = really_run(tmp_path / "spread", evaluation_at="machines", machines=4, **settings)
    shutil.copy(central / "weights.npy", spread)
    about = {**result_of(spread), "digest": result_of(central)["digest"]}
    (spread / "result.json").write_text(json.dumps(about))
    tables = []
    for run in (central, spread):
        report([run], tmp_path / "out" / run.name)
        tables.append(pd.read_csv(tmp_path / "out" / run.name / "spectrum.csv").drop(columns=["run-id", "setting"]))
    pd.testing.assert_frame_equal(*tables, rtol=1e-9, atol=1e-12)
