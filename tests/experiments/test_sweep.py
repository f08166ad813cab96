"""A sweep: skips what is done, computes a stage once, names what fails, survives kill -9."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from experiments.grid import Grid, build_grid
from experiments.results import frame, read_failures, read_runs
from experiments.sweep import claim_folder, run_name, run_sweep, shared_stages
from fedjtt.cache import CACHE_VARIABLE
from fedjtt.errors import ConfigError
from fedjtt.methods import fit, identify_federated, identify_local
from tests.test_flower_engine import MARK, marked, wait_until
from tests.tiny import REPO, TINY, tiny_config


@pytest.fixture(autouse=True)
def no_cache_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, "")  # run_sweep sets it for its children


def grid(**changes: Any) -> Grid:
    return build_grid({**TINY, **{name.replace("_", "-"): value for name, value in changes.items()}})


class Ended:
    def __init__(self) -> None:
        self.seen: list[tuple[str, str | None]] = []

    def __call__(self, name: str, error: str | None, seconds: float) -> None:
        assert seconds > 0
        self.seen.append((name, error))


@pytest.fixture
def trainings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file with a line a training; the forked runs inherit the counting."""
    path = tmp_path / "trainings"
    path.touch()

    def counted(name: str, function: Any) -> Any:
        def counting(*arguments: Any, **named: Any) -> Any:
            with path.open("a") as file:
                file.write(f"{name}\n")
            return function(*arguments, **named)

        return counting

    monkeypatch.setattr(identify_local, "_train_and_split", counted("identify", identify_local._train_and_split))
    monkeypatch.setattr(fit, "train", counted("fit", fit.train))
    return path


@pytest.fixture
def learning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file with a line for every span of identification that a machine trains."""
    path = tmp_path / "learning"
    path.touch()
    original = identify_local.train_span

    def counting(*arguments: Any) -> Any:
        with path.open("a") as file:
            file.write("span\n")
        return original(*arguments)

    for module in (identify_local, identify_federated):
        monkeypatch.setattr(module, "train_span", counting)
    return path


def count(path: Path, name: str) -> int:
    return path.read_text().split().count(name)


def test_a_sweep_identifies_once_and_is_then_done(tmp_path: Path, trainings: Path) -> None:
    """Central, federated and two factors share three machines' identifications, although two runs go side by side."""
    out, ended = tmp_path / "sweep", Ended()
    wanted = grid(robust="central,federated", upsample="3,9")
    assert run_sweep(wanted, out, 2, ended) == {}
    assert sorted(name for name, error in ended.seen if error is None) == sorted(run_name(c) for c in wanted.runs)
    assert count(trainings, "identify") == 3
    assert count(trainings, "fit") == 2 * (2 * 1 + 2 * 3)  # rounds x (central: one node, federated: three machines)
    again = Ended()
    assert run_sweep(wanted, out, 2, again) == {}
    assert again.seen == []
    assert run_sweep(grid(robust="central,federated", upsample="3,9,27"), out, 2, again) == {}  # extended by two runs
    assert len(again.seen) == 2
    assert count(trainings, "identify") == 3


@pytest.mark.parametrize(("identify", "learned"), [("federated", 2 * 3), ("peers", 3)])
def test_a_sweep_learns_what_is_shared_once(tmp_path: Path, learning: Path, identify: str, learned: int) -> None:
    """Two rounds of three machines, or a model of each; and every run has the digest that it has alone."""
    import fedjtt

    wanted = grid(robust="central,federated", upsample="3,9", identify=identify)
    assert run_sweep(wanted, tmp_path / "sweep", 2, Ended()) == {}
    assert count(learning, "span") == learned
    alone = {config.run_id: fedjtt.simulate(config).result["digest"] for config in wanted.runs}
    assert {run["run-id"]: run["digest"] for run in read_runs(tmp_path / "sweep")} == alone


def test_the_bounds_are_trained_once_for_all_numbers_of_machines(tmp_path: Path, trainings: Path) -> None:
    assert run_sweep(grid(method="erm", machines="1,2,3"), tmp_path / "sweep", 2, Ended()) == {}
    assert count(trainings, "fit") == 2
    table = frame(read_runs(tmp_path / "sweep"))
    assert table["digest"].nunique() == 1
    assert list(table["config.machines"]) == [1, 2, 3]


def test_a_run_in_a_sweep_is_the_run_alone(tmp_path: Path) -> None:
    import fedjtt

    wanted = grid(robust="central,federated")
    run_sweep(wanted, tmp_path / "sweep", 2, Ended())
    alone = {config.run_id: fedjtt.simulate(config).result["digest"] for config in wanted.runs}
    assert {run["run-id"]: run["digest"] for run in read_runs(tmp_path / "sweep")} == alone


def test_a_failing_run_is_named_and_the_rest_goes_through(tmp_path: Path) -> None:
    out, ended = tmp_path / "sweep", Ended()
    wanted = grid(method="erm", learning_rate="0.01,1e30,0.02", machines=1)
    failures = run_sweep(wanted, out, 1, ended)
    (name,) = failures
    assert name == run_name(wanted.runs[1])
    assert "robust stage, round 1, machine 0" in failures[name]
    assert [error is None for _, error in ended.seen] == [True, False, True]
    assert [(failure["run"], failure["error"]) for failure in read_failures(out)] == [(name, failures[name])]
    assert len(read_runs(out)) == 2
    # the next try repeats only what failed
    again = Ended()
    assert set(run_sweep(wanted, out, 1, again)) == {name}
    assert len(again.seen) == 1


def test_a_run_that_is_killed_is_named_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def deadly(*_: Any) -> Any:
        os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(identify_local, "_train_and_split", deadly)
    wanted = build_grid({**TINY, "sweep": [{"method": "jtt"}, {"method": "erm"}]})
    failures = run_sweep(wanted, tmp_path / "sweep", 1, Ended())
    assert failures == {run_name(wanted.runs[0]): "the process ended with exit code -9 and said nothing more"}
    assert len(read_runs(tmp_path / "sweep")) == 1


def test_somebody_elses_folder_is_refused_and_untouched(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(ConfigError, match="holds files that are no sweep of fedjtt"):
        claim_folder(tmp_path, grid())
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_another_sweeps_folder_is_refused_and_an_extension_is_not(tmp_path: Path) -> None:
    claim_folder(tmp_path, grid(machines="1,2"))
    with pytest.raises(ConfigError, match=r"another sweep's results \(batch-size 16 there, 8 here\)"):
        claim_folder(tmp_path, grid(machines="1,2", batch_size=8))
    claim_folder(tmp_path, grid(machines="1,2,5", seeds=3))
    claim_folder(tmp_path, grid(machines="1,2", method="erm,jtt"))
    assert "method" not in json.loads((tmp_path / "sweep.json").read_text())


def test_runs_that_share_a_stage_are_told_apart_from_those_that_do_not() -> None:
    def share(one: dict[str, Any], other: dict[str, Any]) -> bool:
        return bool(shared_stages(tiny_config(**one)) & shared_stages(tiny_config(**other)))

    assert share({"robust": "central"}, {"robust": "federated"})
    assert share({"upsample": 3}, {"upsample": 9})
    assert share({"method": "erm", "machines": 1}, {"method": "erm", "machines": 2})
    assert not share({"seed": 0}, {"seed": 1})
    assert not share({"machines": 1}, {"machines": 2})
    assert share({"identify": "federated"}, {"identify": "federated", "robust": "federated"})
    assert not share({"identify": "federated"}, {"identify": "local"})
    assert not share({"identify": "federated"}, {"identify": "federated", "identify_rounds": 3})
    assert not share({"method": "erm", "robust": "federated"}, {"method": "erm", "robust": "federated", "machines": 2})


QUICK = ["model=mlp", "identify-epochs=1", "robust-epochs=1", "robust-rounds=2"]
SWEEP = [
    "sweep", "--machines", "1,2", "--robust", "central,federated", "--seeds", "2", "--no-report", "--quiet",
    *(text for setting in QUICK for text in ("--set", setting)),
]  # fmt: skip


def figures(folder: Path) -> pd.DataFrame:
    """The sweep's table but for times."""
    table = frame(read_runs(folder))
    return table[[name for name in table.columns if not name.startswith("seconds.")]]


@pytest.mark.slow
def test_a_killed_sweep_goes_on_and_ends_like_one_that_was_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mark = f"sweep-{os.getpid()}"
    monkeypatch.setenv(MARK, mark)
    killed, whole = tmp_path / "killed", tmp_path / "whole"

    def start(out: Path) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "experiments.cli", *SWEEP, "--jobs", "2", "--out", str(out)]
        # Without OMP_NUM_THREADS, as a user has it: runs forked from a process that used torch's threads would hang.
        environment = {key: value for key, value in os.environ.items() if key != "OMP_NUM_THREADS"}
        return subprocess.Popen(command, cwd=REPO, env={**environment, "PYTHONPATH": str(REPO)})

    def done(out: Path) -> list[Path]:
        return sorted(out.glob("runs/*/done"))

    first = start(killed)
    assert wait_until(lambda: len(done(killed)) >= 2, 60)
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert wait_until(lambda: not marked(mark), 10), "children outlive a killed sweep"
    finished = done(killed)
    assert 2 <= len(finished) < 8
    times = {path: path.stat().st_mtime_ns for path in finished}
    second = start(killed)
    assert second.wait(120) == 0
    assert len(done(killed)) == 8
    assert {path: path.stat().st_mtime_ns for path in finished} == times  # what was done is not done again
    assert start(whole).wait(120) == 0
    pd.testing.assert_frame_equal(figures(killed), figures(whole))


def test_who_needs_an_identification_waits_for_another_that_makes_it() -> None:
    first = shared_stages(tiny_config(method="jtt"))
    assert shared_stages(tiny_config(method="group-dro", groups="inferred")) == first
    assert shared_stages(tiny_config(method="balance", groups="inferred")) == first
    assert shared_stages(tiny_config(method="erm", selection="val-bias-unsupervised")) == first
    assert shared_stages(tiny_config(method="balance", groups="true")) != first
