"""A run's folder: what is in it at each moment, and whose it is."""

import json
from pathlib import Path

import numpy as np
import pytest

from fedjtt.config import RunConfig
from fedjtt.errors import ConfigError, DivergedError, EngineError
from fedjtt.tracking import RunFolder, environment, write_atomically


def config(**changes: object) -> RunConfig:
    return RunConfig.parse({key.replace("_", "-"): value for key, value in changes.items()})


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_looking_at_a_folder_writes_nothing(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run", config())
    assert not folder.done
    assert folder.failure() is None
    assert not (tmp_path / "run").exists()


def test_a_run_from_begin_to_done(tmp_path: Path) -> None:
    path = tmp_path / "run"
    folder = RunFolder(path, config(seed=3))
    folder.begin()
    assert names(path) == {"config.json", "environment.json", "metrics.jsonl"}
    assert RunConfig.parse(json.loads((path / "config.json").read_text())) == config(seed=3)
    folder.progress("robust", 1, 2, {"loss": 0.5})
    folder.progress("robust", 2, 2, {"loss": 0.25})
    lines = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
    assert [(line["stage"], line["round"], line["rounds"], line["loss"]) for line in lines] == [
        ("robust", 1, 2, 0.5),
        ("robust", 2, 2, 0.25),
    ]
    assert not folder.done
    folder.finish({"digest": "abc"}, np.arange(3, dtype=np.float32))
    assert folder.done
    assert folder.result() == {"digest": "abc"}
    np.testing.assert_array_equal(np.load(path / "weights.npy"), [0, 1, 2])
    assert names(path) == {"config.json", "environment.json", "metrics.jsonl", "result.json", "weights.npy", "done"}
    assert RunFolder(path, config(seed=3)).done


def test_a_second_try_drops_the_first_ones_rounds_and_failure(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run", config())
    folder.begin()
    folder.progress("robust", 1, 2, {})
    folder.fail(DivergedError("the loss became nan"))
    again = RunFolder(tmp_path / "run", config())
    again.begin()
    assert again.failure() is None
    assert (tmp_path / "run" / "metrics.jsonl").read_text() == ""


@pytest.mark.parametrize("error", [DivergedError("nan"), ConfigError("bad"), EngineError("dead")])
def test_a_failure_is_read_by_another_process(tmp_path: Path, error: DivergedError) -> None:
    folder = RunFolder(tmp_path, config())
    folder.fail(error)
    read = folder.failure()
    assert type(read) is type(error)
    assert str(read) == str(error)


def test_another_configs_folder_is_refused_and_untouched(tmp_path: Path) -> None:
    path = tmp_path / "run"
    RunFolder(path, config(seed=1, machines=3)).begin()
    before = {name: (path / name).read_bytes() for name in names(path)}
    with pytest.raises(ConfigError, match=r"holds another config's results \(seed 1 there, 2 here\)"):
        RunFolder(path, config(seed=2, machines=3))
    assert {name: (path / name).read_bytes() for name in names(path)} == before


def test_what_cannot_change_the_result_may_differ(tmp_path: Path) -> None:
    RunFolder(tmp_path / "run", config()).begin()
    RunFolder(tmp_path / "run", config(workers=2, engine="flower", out="x", data_dir="y", download=True))


def test_somebody_elses_folder_and_a_file_are_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(ConfigError, match="holds files that are no run of fedjtt"):
        RunFolder(tmp_path, config())
    with pytest.raises(ConfigError, match="is a file; name a folder"):
        RunFolder(tmp_path / "thesis.tex", config())
    (tmp_path / "empty").mkdir()
    RunFolder(tmp_path / "empty", config())


def test_a_file_is_there_in_full_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "new" / "file.txt"
    write_atomically(path, "first")

    def crash(self: Path, target: Path) -> Path:  # noqa: ARG001
        raise OSError("killed between write and rename")

    monkeypatch.setattr(Path, "replace", crash)
    with pytest.raises(OSError, match="killed"):
        write_atomically(path, "second, longer")
    assert path.read_text() == "first"


def test_the_environment_names_versions_and_no_place() -> None:
    told = environment()
    assert {"python", "platform", "fedjtt", "flwr", "torch", "numpy"} <= set(told)
    assert str(Path.home()) not in json.dumps(told)
