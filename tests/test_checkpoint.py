"""Checkpoints: a run that is killed at any moment goes on and ends with the weights of one that was not."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedjtt.api import simulate
from fedjtt.checkpoint import Checkpoints
from fedjtt.config import RunConfig
from fedjtt.errors import ConfigError, RunError
from tests.tiny import REPO, TINY, tiny_config, tiny_splits

STATE = {"weights": np.arange(3, dtype=np.float32)}


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# --- the files ---


def test_what_was_saved_is_loaded_and_an_unchanged_state_is_not_written_again(tmp_path: Path) -> None:
    first = Checkpoints(tmp_path, "run")
    first.save({"a": STATE, "b": {"x": np.zeros(2)}})
    before = files(tmp_path)
    first.save({"a": {"weights": STATE["weights"] + 1}})
    assert len(files(tmp_path)) == len(before) + 2  # one state and one list
    states, damaged = Checkpoints(tmp_path, "run").load()
    assert damaged == []
    assert states["a"]["weights"].tolist() == [1, 2, 3]
    assert states["b"]["x"].tolist() == [0, 0]


def test_two_lists_are_kept_and_what_they_do_not_name_is_dropped(tmp_path: Path) -> None:
    made = Checkpoints(tmp_path, "run")
    for number in range(5):
        made.save({"a": {"x": np.array([number])}})
    assert len(list(tmp_path.glob("*.json"))) == 2
    assert len(list(tmp_path.glob("*.npz"))) == 2


def test_numbers_go_on_after_a_restart(tmp_path: Path) -> None:
    Checkpoints(tmp_path, "run").save({"a": STATE})
    again = Checkpoints(tmp_path, "run")
    again.load()
    again.save({"b": STATE})
    assert set(Checkpoints(tmp_path, "run").load()[0]) == {"a", "b"}


@pytest.mark.parametrize("what", ["list", "state", "state-gone", "half-list"])
def test_a_damaged_checkpoint_is_said_and_the_one_before_is_used(tmp_path: Path, what: str) -> None:
    made = Checkpoints(tmp_path, "run")
    made.save({"a": {"x": np.array([1])}})
    made.save({"a": {"x": np.array([2])}})
    last = max(tmp_path.glob("*.json"))
    state = tmp_path / f"{json.loads(last.read_text())['states']['a']}.npz"
    if what == "list":
        last.write_text("nonsense")
    elif what == "half-list":
        last.write_text(last.read_text()[:20])
    elif what == "state":
        state.write_bytes(state.read_bytes()[:-1] + b"!")
    else:
        state.unlink()
    states, damaged = Checkpoints(tmp_path, "run").load()
    assert states["a"]["x"].tolist() == [1]
    assert len(damaged) == 1
    assert f"checkpoint {last.name} is damaged" in damaged[0]
    assert "\n" not in damaged[0]


def test_where_all_are_damaged_that_is_an_error(tmp_path: Path) -> None:
    Checkpoints(tmp_path, "run").save({"a": STATE})
    for path in tmp_path.glob("*.json"):
        path.write_text("{}")
    with pytest.raises(RunError, match=r"no checkpoint in .* is whole"):
        Checkpoints(tmp_path, "run").load()


def test_another_runs_checkpoint_is_refused(tmp_path: Path) -> None:
    Checkpoints(tmp_path, "one").save({"a": STATE})
    with pytest.raises(ConfigError, match="holds checkpoints of run one, not of two"):
        Checkpoints(tmp_path, "two").load()


def test_without_a_checkpoint_there_is_nothing_to_go_on_from(tmp_path: Path) -> None:
    assert Checkpoints(tmp_path / "none", "run").load() == ({}, [])


def test_anew_removes_old_checkpoints_and_resume_keeps_them(tmp_path: Path) -> None:
    config = tiny_config()
    Checkpoints.of_run(tmp_path, config).save({"a": STATE})
    assert Checkpoints.of_run(tmp_path, config.replace(on_restart="resume")).load()[0].keys() == {"a"}
    assert Checkpoints.of_run(tmp_path, config).load()[0] == {}


# --- runs ---


class Killed(Exception):  # noqa: N818 (not an error: the kill)
    """The process is gone."""


class Deadly(Checkpoints):
    """The process dies at the `left`-th write from now, before or after it."""

    left: int
    after: bool

    def save(self, changed: Any) -> None:
        self.left -= 1
        if self.left == 0 and not self.after:
            raise Killed
        super().save(changed)
        if self.left == 0:
            raise Killed


class Counting(Checkpoints):
    """Counts its writes."""

    count = 0

    def save(self, changed: Any) -> None:
        self.count += 1
        super().save(changed)


def compared(outcome: Any) -> dict[str, Any]:
    """What must be as if nothing had happened: all but seconds and bytes, which a repeated exchange adds to."""
    found = dict(outcome.result["identification"] or {})
    for name in ("seconds", "machines"):
        found.pop(name, None)
    about = {name: outcome.result[name] for name in ("digest", "test", "validation", "selected-round")}
    about["sparse"] = {**(outcome.result["sparse"] or {}), "share-of-dense-bytes": None}
    about["notes"] = [note for note in outcome.result["notes"] if "went on from its checkpoint" not in note]
    return {**about, "found": found, "rounds": [line["round"] for line in outcome.history]}


VARIANTS: dict[str, dict[str, Any]] = {
    "local": {"identify": "local", "robust": "federated"},
    "stable": {"identify": "federated", "identify-stop": "stable", "identify-averaging": "rounds",
               "identify-rounds": 4, "robust": "federated"},
    "val-groups": {"identify": "federated", "identify-stop": "val-groups", "identify-rounds": 3, "robust": "central"},
    "adaptive": {"identify": "federated", "identify-aggregator": "fedadam", "identify-server-learning-rate": 0.01,
                 "aggregator": "fedavgm", "averaging": "none", "robust": "federated", "robust-rounds": 4},
    "yogi": {"identify": "federated", "identify-aggregator": "fedyogi", "aggregator": "fedadagrad",
             "averaging": "none", "robust": "federated", "robust-rounds": 3},
    "peers": {"identify": "peers", "robust": "federated"},
    "guard": {"identify": "federated", "identify-guard": True, "identify-rounds": 3, "robust": "federated"},
    "validated": {"identify": "federated", "upsample-fraction": "validated", "selection": "val-average",
                  "robust": "federated"},
    "erm": {"method": "erm", "robust": "federated", "robust-rounds": 4},
    "secure": {"identify": "federated", "identify-stop": "stable", "identify-rounds": 4, "robust": "federated",
               "secure-aggregation": True},
    "dfr": {"method": "dfr", "robust": "federated", "evaluation-at": "machines", "robust-rounds": 1, "dfr-fits": 2,
            "machines": 2},
    "d3m": {"method": "auto-d3m", "robust": "federated", "evaluation-at": "machines", "robust-rounds": 1,
            "d3m-remove": 7, "projection-dimension": 16, "machines": 2},
    "rest": {"method": "rest", "rest-density": 0.1, "rest-period": 2, "robust": "federated", "robust-epochs": 3,
             "robust-rounds": 4},
    "rest-central": {"method": "rest", "rest-density": 0.1, "rest-period": 2, "groups": "true", "robust-rounds": 4,
                     "rest-grow": "momentum"},
    "rest-drawn": {"method": "rest", "rest-density": 0.1, "rest-period": 1, "groups": "true", "fraction-train": 0.4,
                   "robust": "federated", "robust-rounds": 4, "rest-grow": "momentum", "rest-exact-every": 0},
    "drawn": {"identify": "federated", "fraction-train": 0.4, "robust": "federated", "robust-rounds": 4},
}  # fmt: skip


@pytest.mark.parametrize(("variant", "after"), [*((name, True) for name in VARIANTS), ("stable", False)])
def test_killed_at_every_write_in_turn_it_ends_as_if_nothing_had_happened(
    tmp_path: Path, variant: str, after: bool
) -> None:
    """One kill a run, at every write that the whole run makes; machines lose what they knew, being new ones."""
    config = RunConfig.parse({**TINY, **VARIANTS[variant]})
    counting = Counting(tmp_path / "whole", config.run_id)
    whole = compared(simulate(config, tiny_splits(), checkpoints=counting))
    assert counting.count >= 2
    for write in range(1, counting.count + 1):
        deadly = Deadly(tmp_path / str(write), config.run_id)
        deadly.left, deadly.after = write, after
        with pytest.raises(Killed):
            simulate(config, tiny_splits(), checkpoints=deadly)
        again = simulate(config, tiny_splits(), checkpoints=Checkpoints(tmp_path / str(write), config.run_id))
        assert compared(again) == whole, write
        interrupted = [note for note in again.result["notes"] if "went on from its checkpoint" in note]
        assert len(interrupted) == (after or write > 1), write


def test_killed_at_every_write_one_after_the_other(tmp_path: Path) -> None:
    """The same run dies again and again, each time one write further."""
    config = RunConfig.parse({**TINY, **VARIANTS["stable"]})
    whole = compared(simulate(config, tiny_splits()))
    for _ in range(100):
        deadly = Deadly(tmp_path, config.run_id)
        deadly.left, deadly.after = 1, True
        try:
            done = simulate(config, tiny_splits(), checkpoints=deadly)
        except Killed:
            continue
        assert compared(done) == whole
        return
    pytest.fail("it never came to an end")


def test_watchers_see_every_round_once_after_a_restart(tmp_path: Path) -> None:
    class Watching:
        def __init__(self) -> None:
            self.seen: list[tuple[str, int]] = []

        def progress(self, stage: str, server_round: int, rounds: int, figures: Any) -> None:  # noqa: ARG002
            if figures:
                self.seen.append((stage, server_round))

    config = RunConfig.parse({**TINY, **VARIANTS["stable"]})
    whole, after = Watching(), Watching()
    simulate(config, tiny_splits(), observer=whole)
    deadly = Deadly(tmp_path, config.run_id)
    deadly.left, deadly.after = 4, True
    with pytest.raises(Killed):
        simulate(config, tiny_splits(), checkpoints=deadly)
    simulate(config, tiny_splits(), observer=after, checkpoints=Checkpoints(tmp_path, config.run_id))
    assert set(after.seen) == set(whole.seen)


# --- processes ---


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "experiments.cli", "run", "--quiet", *arguments]


def test_resume_without_a_run_or_with_other_settings_is_one_line(tmp_path: Path) -> None:
    for arguments, text in (
        (["--resume", str(tmp_path)], "there is no run of fedjtt"),
        (["--resume", str(tmp_path), "--machines", "3"], "leave out all others"),
    ):
        ended = subprocess.run(command(*arguments), cwd=REPO, capture_output=True, text=True, check=False)
        assert ended.returncode == 2
        assert text in ended.stderr
        assert ended.stderr.count("\n") == 1
