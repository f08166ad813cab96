"""Reading a run's folder, the notes that are left over, and the command on real runs."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from experiments.explain import explain, read_run
from fedjtt.errors import ConfigError, DataError
from tests.experiments.conftest import Call
from tests.experiments.test_cli import SMALL, is_refused
from tests.experiments.test_findings import history, identified, machine, result


def written(folder: Path, given: dict[str, Any] | None = None) -> Path:
    folder.mkdir(parents=True)
    (folder / "result.json").write_text(json.dumps(result() if given is None else given))
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in history(0.2, 0.75, 0.7)))
    (folder / "done").touch()
    return folder


def test_a_good_run_has_no_warnings_and_no_notes() -> None:
    done = explain(result(), history(0.2, 0.75, 0.7))
    assert (done.warnings, done.notes) == ((), ())
    assert done.facts.worst_accuracy() == 0.8


def test_notes_are_kept_unless_a_warning_says_the_same() -> None:
    notes = ["the error set is empty: robust training is plain ERM; identify for fewer epochs", "3 rounds were made"]
    empty = identified(machine(100, 0, 10), machine(60, 0, 6), factor=1)
    done = explain(result(identification=empty, notes=notes), [])
    assert len(done.warnings) == 1
    assert done.notes == ("3 rounds were made",)
    assert explain(result(notes=notes), []).notes == tuple(notes)


def test_a_run_is_read_with_its_history(tmp_path: Path) -> None:
    folder = written(tmp_path / "a")
    assert read_run(folder) == (result(), history(0.2, 0.75, 0.7))
    (folder / "metrics.jsonl").unlink()
    assert read_run(folder) == (result(), [])


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nowhere is not a folder"):
        read_run(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="holds no finished run"):
        read_run(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ConfigError, match="has not finished; repeat its command"):
        read_run(tmp_path)


@pytest.mark.parametrize(
    ("runs", "shown"), [(2, r"2 runs \(r0, r1\)"), (7, r"7 runs \(r0, r1, r2, r3, r4 and 2 more\)")]
)
def test_of_a_sweep_one_run_must_be_named(tmp_path: Path, runs: int, shown: str) -> None:
    for number in range(runs):
        written(tmp_path / "study" / "runs" / f"r{number}")
    with pytest.raises(ConfigError, match=rf"is a sweep with {shown}; pick one: fedjtt explain .*study/runs/r0$"):
        read_run(tmp_path / "study")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b'{"config": {', "cannot be read"),
        (b"\xff\xfe", "cannot be read"),
        (b"[]", "cannot be read"),
        (
            b'{"config": {}, "test": {}, "notes": []}',
            "lacks bytes, identification, seconds, selected-round, validation",
        ),
    ],
    ids=["cut off", "not text", "a list", "something else"],
)
def test_a_damaged_result_is_one_line(tmp_path: Path, text: bytes, said: str) -> None:
    folder = written(tmp_path / "a")
    (folder / "result.json").write_bytes(text)
    with pytest.raises(DataError, match=said) as caught:
        read_run(folder)
    assert "\n" not in str(caught.value)


def test_a_damaged_history_is_one_line(tmp_path: Path) -> None:
    folder = written(tmp_path / "a")
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"stage": "rob')
    with pytest.raises(DataError, match=r"metrics\.jsonl cannot be read"):
        read_run(folder)


@pytest.mark.parametrize(
    "settings",
    [
        ["robust=federated", "identify=local"],
        ["robust=central", "identify=federated", "identify-rounds=2"],
        ["method=erm", "selection=last"],
        ["method=group-balanced"],
    ],
    ids=" ".join,
)
def test_a_real_run_is_explained_with_its_own_numbers(call: Call, tmp_path: Path, settings: list[str]) -> None:
    given = [text for setting in settings for text in ("--set", setting)]
    assert call("run", *SMALL, *given, "--out", "mine", "--quiet")[0] == 0
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "mine").iterdir()}
    code, out, err = call("explain", "mine")
    assert (code, err) == (0, "")
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "mine").iterdir()} == before
    words = " ".join(out.split())
    done = json.loads((tmp_path / "mine" / "result.json").read_text())
    assert out.startswith(f"Test worst-group accuracy {100 * done['test']['worst-group-accuracy']:.1f} %")
    assert f"round {done['selected-round']} is kept" in words
    found = done["identification"]
    assert ("Error set: " in words) == ("Upsampling" in words) == (found is not None)
    if found is not None:
        assert f"Error set: {found['error-set-size']} of 1200 train examples" in words
        assert f"(factor {found['upsample-factor']})" in words


def test_bad_folders_are_one_line_and_exit_code_2(call: Call, tmp_path: Path) -> None:
    is_refused(call, "nowhere is not a folder", "explain", "nowhere")
    is_refused(call, "Missing argument", "explain")
    written(tmp_path / "study" / "runs" / "one")
    is_refused(call, "pick one: fedjtt explain study/runs/one", "explain", "study")
    (tmp_path / "study" / "runs" / "one" / "result.json").write_text("{")
    is_refused(call, "result.json cannot be read", "explain", "study/runs/one")
    shutil.rmtree(tmp_path / "study" / "runs" / "one")
    is_refused(call, "study holds no finished run", "explain", "study")
