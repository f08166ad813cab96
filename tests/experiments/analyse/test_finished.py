"""Which runs are found, and one line for what is none."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments.analyse.finished import finished_runs, names_of
from fedjtt.errors import ConfigError, DataError, UserError


def copied(made_sweep: Path, tmp_path: Path, name: str = "erm-0") -> Path:
    return Path(shutil.copytree(made_sweep / "runs" / name, tmp_path / name))


def changed(folder: Path, **values: object) -> Path:
    """A run whose config is another, under another id."""
    result = json.loads((folder / "result.json").read_text())
    result["config"] |= {name.replace("_", "-"): value for name, value in values.items()}
    (folder / "result.json").write_text(json.dumps({**result, "run-id": "other"}))
    return folder


def test_a_sweep_is_its_finished_runs_and_each_run_counts_once(made_sweep: Path, tmp_path: Path) -> None:
    sweep = Path(shutil.copytree(made_sweep, tmp_path / "sweep"))
    (sweep / "runs" / "erm-1" / "done").unlink()
    runs = finished_runs([sweep, made_sweep / "runs" / "erm-0", made_sweep / "runs" / "erm-1"])
    assert [run.folder.name for run in runs] == ["erm-0", "group-balanced-0", "group-balanced-1", "erm-1"]
    assert [(run.config.method, run.config.seed) for run in runs] == [
        ("erm", 0), ("group-balanced", 0), ("group-balanced", 1), ("erm", 1)
    ]  # fmt: skip


def test_weights_are_those_of_the_result(made_sweep: Path, tmp_path: Path) -> None:
    folder = copied(made_sweep, tmp_path)
    (run,) = finished_runs([folder])
    weights = run.weights()
    assert weights.dtype == np.float32
    np.save(folder / "weights.npy", weights + np.float32(1))
    with pytest.raises(DataError, match=r"weights\.npy is not the model that result\.json speaks of; repeat the run"):
        run.weights()
    (folder / "weights.npy").write_bytes(b"")
    with pytest.raises(DataError, match=r"weights\.npy cannot be read"):
        run.weights()
    (folder / "weights.npy").unlink()
    with pytest.raises(DataError, match=r"weights\.npy cannot be read"):
        run.weights()


def test_the_data_may_lie_elsewhere_now(made_sweep: Path) -> None:
    folder = made_sweep / "runs" / "erm-0"
    assert finished_runs([folder], Path("there"))[0].config.data_dir == "there"
    assert finished_runs([folder])[0].config.data_dir == ""
    assert finished_runs([folder])[0].config.run_id == finished_runs([folder], Path("there"))[0].config.run_id


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("difficulty", "medium", "difficulty is 'large' in .*erm-0 and 'medium' in .*; analyse runs on the same data"),
        ("class-imbalance", 4.0, "class-imbalance is 1.0 in .* and 4.0 in"),
        ("dataset", "spuco-mnist", "dataset is 'digits' in .* and 'spuco-mnist' in"),
        ("train-on", "validation", "train-on is 'train' in .* and 'validation' in"),
    ],
)
def test_runs_on_other_data_are_not_mixed(made_sweep: Path, tmp_path: Path, key: str, value: Any, said: str) -> None:
    other = changed(copied(made_sweep, tmp_path), **{key: value})
    with pytest.raises(ConfigError, match=said):
        finished_runs([made_sweep, other])


def test_what_is_no_finished_run_is_refused(made_sweep: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    begun = tmp_path / "begun"
    begun.mkdir()
    shutil.copy(made_sweep / "runs" / "erm-0" / "config.json", begun)
    old = changed(copied(made_sweep, tmp_path), machine=3)
    lacking = copied(made_sweep, tmp_path, "erm-1")
    result = json.loads((lacking / "result.json").read_text())
    del result["digest"]
    (lacking / "result.json").write_text(json.dumps(result))
    for folder, said in {
        tmp_path / "nowhere": "nowhere is not a folder; name one that 'fedjtt run' or 'fedjtt sweep' wrote",
        empty: "empty holds no finished run",
        begun: "begun holds a run that has not finished; repeat its command, and it will",
        old: "erm-0: unknown key 'machine'; did you mean 'machines'",
        lacking: "it lacks digest",
    }.items():
        with pytest.raises(UserError, match=said):
            finished_runs([made_sweep, folder])


def test_names_of_several_sweeps_are_joined(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "names.json").write_text(json.dumps({name: {"averaging": name}}))
    found = names_of([tmp_path / "one", tmp_path / "two", tmp_path])
    assert found == {"one": {"averaging": "one"}, "two": {"averaging": "two"}}
