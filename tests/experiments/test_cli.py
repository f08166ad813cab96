"""The command line as a user runs it: results where they are said to be, and one clear line for what is wrong."""

import json
import os
import re
import subprocess
import sys
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from experiments.progress import RunProgress
from tests.data.test_adult import people, written
from tests.experiments.conftest import Call
from tests.tiny import REPO, TINY

SMALL = [text for key, value in TINY.items() for text in ("--set", f"{key}={value}")]


BAD: list[tuple[list[str], str]] = [
    (["--set", "machine=3"], "unknown key 'machine'; did you mean 'machines'?"),
    (["--machin", "3"], "No such option '--machin'"),
    (
        ["--dataset", "digit"],
        "dataset is 'digit'; allowed are digits, spuco-mnist, adult, compas, sick, civilcomments, multinli, csv, "
        "heart4, image-folder; did you mean 'digits'?",
    ),
    (["--method", "jt"], "did you mean 'jtt'?"),
    (["--engine", "flwer"], "did you mean 'flower'?"),
    (["--machines", "0"], "machines is '0'"),
    (["--machines", "-3"], "machines is '-3'"),
    (["--machines", "1201"], "machines is 1201; give a number from 1 to the 1200 train samples"),
    (["--machines", "three"], "machines is 'three'"),
    (["--spurious-strength", "0"], "spurious-strength is 0"),
    (["--spurious-strength", "1.5"], "spurious-strength is 1.5"),
    (["--upsample", "0"], "upsample is 0"),
    (["--upsample", "0.5"], "upsample is '0.5'"),
    (["--identify-epochs", "0"], "identify-epochs is '0'"),
    (["--robust-epochs", "0"], "robust-epochs is 0"),
    (["--upsample-fraction", "inf"], "upsample-fraction is 'inf'"),
    (["--proximal-mu", "0.1"], "proximal-mu is 0.1 but aggregator is fedavg"),
    (["--workers", "2", "--threads", "2"], "workers is 2 and threads is 2"),
    (["--dataset", "spuco-mnist"], "train-images-idx3-ubyte is missing"),
    (["--dataset", "spuco-mnist", "--data-dir", "/nowhere"], "/nowhere/MNIST/raw/train-images-idx3-ubyte is missing"),
    (["--config", "none.toml"], "config file none.toml does not exist"),
    (["--config", "/etc/passwd"], "config file /etc/passwd is not TOML"),
    (["--set", "machines"], "--set 'machines' has no '='"),
    (["--set"], "requires an argument"),
    (["surplus"], "unexpected extra argument"),
]


@pytest.mark.parametrize(("arguments", "text"), BAD, ids=[" ".join(arguments) for arguments, _ in BAD])
@pytest.mark.parametrize("command", ["run", "sweep"])
def test_bad_input_is_one_line_and_exit_code_2_and_nothing_is_written(
    call: Call, tmp_path: Path, command: str, arguments: list[str], text: str
) -> None:
    code, out, err = call(command, *arguments)
    assert (code, out) == (2, "")
    assert text in err
    assert err.startswith("fedjtt: ")
    assert len(err.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def is_refused(call: Call, text: str, *arguments: str) -> None:
    code, _, err = call(*arguments)
    assert code == 2
    assert text in err
    assert len(err.splitlines()) == 1


def test_a_missing_device_is_refused(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for command in ("run", "sweep"):
        is_refused(call, "device is cuda, but torch finds no CUDA device here", command, "--device", "cuda")
    assert list(tmp_path.iterdir()) == []


def test_a_truncated_file_is_refused(call: Call, tmp_path: Path, tiny_mnist: Path) -> None:
    path = tiny_mnist / "MNIST" / "raw" / "t10k-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-7])
    before = sorted(tmp_path.rglob("*"))
    for command in (["run"], ["sweep"], ["data", "spuco-mnist"]):
        given = ["--dataset", "spuco-mnist"] if command != ["data", "spuco-mnist"] else []
        is_refused(call, "t10k-images-idx3-ubyte is damaged", *command, *given, "--data-dir", str(tiny_mnist))
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["sweep", "--seeds", "0"], "seeds is '0'"),
        (["sweep", "--machines", "1,x"], "machines is 'x'"),
        (["sweep", "--jobs", "0"], "'--jobs': 0"),
        (["report", "nowhere"], "nowhere is not a folder"),
        (["report"], "Missing argument"),
        (["data", "digitz"], "did you mean 'digits'"),
        (["swep"], "No such command 'swep'"),
    ],
)
def test_other_commands_refuse_in_one_line_too(call: Call, tmp_path: Path, arguments: list[str], text: str) -> None:
    is_refused(call, text, *arguments)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("figures", "line"),
    [
        ({"error-share": 0.0314, "overlap": 0.9}, "3/20 3.1% wrong"),
        ({"error-set-size": 12}, "3/20 error set 12"),
        ({"validation.worst-group-accuracy": 0.5}, "3/20 validation WGA 0.500"),
        ({"validation.worst-group-accuracy": None}, "3/20"),
    ],
)
def test_a_round_is_said_in_a_line_with_its_figure(figures: dict[str, Any], line: str) -> None:
    written = StringIO()
    RunProgress(Console(file=written)).progress("robust", 3, 20, figures)
    assert written.getvalue() == f"robust round {line}\n"


def test_an_empty_folder_has_no_report(call: Call, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    is_refused(call, "empty", "report", "empty")
    assert list((tmp_path / "empty").iterdir()) == []


def test_a_run_its_rerun_and_somebody_elses_folder(call: Call, tmp_path: Path) -> None:
    code, out, err = call("run", *SMALL, "--out", "mine", "--seed", "1")
    assert code == 0
    assert "result: mine/result.json" in out
    assert "robust round 2/2 validation WGA" in err
    result = json.loads((tmp_path / "mine" / "result.json").read_text())
    assert set(result) >= {"config", "digest", "test", "validation", "identification", "seconds", "bytes", "notes"}
    assert {"error-set-size", "precision", "recall", "upsample-factor", "machines"} <= set(result["identification"])
    assert (result["config"]["machines"], result["config"]["seed"]) == (3, 1)
    assert result["digest"][:16] in out
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "mine").iterdir()}

    code, out, err = call("run", *SMALL, "--out", "mine", "--seed", "1", "--quiet")
    assert (code, err) == (0, "")
    assert "was done before: mine/result.json" in out
    is_refused(
        call, "holds another config's results (seed 1 there, 2 here)", "run", *SMALL, "--out", "mine", "--seed", "2"
    )
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "thesis.tex").touch()
    is_refused(call, "holds files that are no run of fedjtt", "run", *SMALL, "--out", "thesis")
    is_refused(call, "holds files that are no sweep of fedjtt", "sweep", *SMALL, "--out", "thesis")
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "mine").iterdir()} == before


def test_options_settings_and_file_reach_the_run(call: Call, tmp_path: Path) -> None:
    lines = [f"{key} = {json.dumps(value)}" for key, value in {**TINY, "seed": 5, "method": "erm"}.items()]
    (tmp_path / "a.toml").write_text("\n".join(lines))
    code, _, err = call("run", "--config", "a.toml", "--set", "seed=6", "--machines", "2", "--out", "there", "--quiet")
    assert (code, err) == (0, "")
    config: dict[str, Any] = json.loads((tmp_path / "there" / "config.json").read_text())
    assert (config["method"], config["seed"], config["machines"], config["model"]) == ("erm", 6, 2, "mlp")


def test_a_loss_that_is_not_finite_is_exit_code_1_with_stage_machine_and_round(call: Call, tmp_path: Path) -> None:
    for more, text in (
        (["--method", "erm", "--learning-rate", "1e30"], r"robust stage, round 1, machine 0: the loss became"),
        (["--identify-learning-rate", "1e30"], r"identif"),
    ):
        code, _, err = call("run", *SMALL, *more, "--quiet", "--out", "broken" + more[-2])
        assert code == 1
        assert text in err
        assert "machine 0" in err
        assert len(err.splitlines()) == 1
    assert not list(tmp_path.rglob("done"))
    assert not list(tmp_path.rglob("result.json"))


def test_data_lists_and_shows(call: Call, tmp_path: Path) -> None:
    code, out, _ = call("data")
    assert code == 0
    assert "digits" in out
    assert "spuco-mnist" in out
    code, out, _ = call("data", "digits", "--machines", "4", "--sheet", "sheet.png")
    assert code == 0
    assert "4 machines, partition iid: 300 to 300 train examples each" in out
    assert (tmp_path / "sheet.png").read_bytes().startswith(b"\x89PNG")


def test_data_shows_a_tables_groups(call: Call, tmp_path: Path) -> None:
    written(tmp_path, people(50), people(20, "."))
    code, out, _ = call("data", "adult", "--data-dir", str(tmp_path), "--machines", "4")
    assert code == 0
    assert "adult, seed 0" in out
    assert re.search(r"<=50K\W+women\W+12\W+3\W+6\W+majority", out)  # groups of 15 women, a fifth held out
    assert "4 machines, partition iid: 10 to 10 train examples each" in out
    is_refused(call, "is no image", "data", "adult", "--data-dir", str(tmp_path), "--sheet", "sheet.png")
    is_refused(call, "adult.data is missing", "data", "adult", "--data-dir", str(tmp_path / "nowhere"))
    is_refused(call, "is a table; leave difficulty out", "data", "adult", "--difficulty", "small")


def test_help_lists_the_commands(call: Call) -> None:
    code, out, err = call("--help")
    assert (code, err) == (0, "")
    for command in ("run", "sweep", "report", "explain", "data"):
        assert command in out
    code, out, _ = call()
    assert code == 2
    assert "sweep" in out


def shell(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(REPO), "FEDJTT_STAGE_CACHE": ""}
    command = [sys.executable, "-m", "experiments.cli", *arguments]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=180)


@pytest.mark.slow
def test_a_sweep_and_its_report_in_a_shell(tmp_path: Path) -> None:
    small = [text.replace("machines=3", "machines=1,3") for text in SMALL]
    arguments = ["sweep", *small, "--seeds", "2", "--jobs", "2", "--out", "study"]
    done = shell(*arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("4 runs, 0 done before, 2 side by side")
    assert sum("min left" in line for line in done.stderr.splitlines()) == 4
    study = tmp_path / "study"
    lines = (study / "results.csv").read_text().splitlines()
    assert len(lines) == 5
    assert {"config.machines", "digest", "test.worst-group-accuracy", "identification.recall"} <= set(
        lines[0].split(",")
    )
    assert (study / "report.html").stat().st_size > 10_000
    assert list((study / "figures").glob("*.png"))
    before = (study / "results.csv").read_bytes()

    again = shell(*arguments, "--quiet", cwd=tmp_path)
    assert (again.returncode, again.stderr) == (0, "")
    assert (study / "results.csv").read_bytes() == before
    (study / "results.csv").unlink()
    rebuilt = shell("report", "study", cwd=tmp_path)
    assert rebuilt.returncode == 0, rebuilt.stderr
    assert (study / "results.csv").read_bytes() == before


@pytest.mark.slow
def test_a_bad_option_in_a_shell(tmp_path: Path) -> None:
    done = shell("run", "--dataset", "digit", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert (
        done.stderr
        == "fedjtt: dataset is 'digit'; allowed are digits, spuco-mnist, adult, compas, sick, civilcomments, multinli, "
        "csv, heart4, image-folder; did you mean 'digits'?\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_a_sweep_with_a_failing_run_is_exit_code_1_and_names_it(call: Call, tmp_path: Path) -> None:
    rates = ["--method", "erm", "--learning-rate", "0.01,1e30"]
    code, _, err = call("sweep", *SMALL, *rates, "--jobs", "1", "--quiet", "--no-report", "--out", "study")
    assert code == 1
    (failure,) = json.loads((tmp_path / "study" / "failures.json").read_text())
    assert f"failed: {failure['run']}: robust stage, round 1, machine 0" in err
    assert "1 of 2 runs failed" in err
