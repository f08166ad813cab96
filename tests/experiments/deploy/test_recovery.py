"""When a run is started again, when it is given up, and what its folder says of that."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments.deploy import recovery
from experiments.deploy.finding import ok, wrong
from experiments.deploy.layout import Address
from experiments.deploy.recovery import Recovery
from fedjtt import run_lock
from fedjtt.checkpoint import Checkpoints
from fedjtt.config import RunConfig
from fedjtt.errors import ConfigError, DivergedError, EngineError, ServerLostError
from fedjtt.tracking import RunFolder
from tests.tiny import TINY

RESUMING = RunConfig.parse({**TINY, "engine": "flower", "on-restart": "resume"})


class Starts:
    """Starts of a run: each writes so many checkpoints, then it is lost; where there is none left it is done."""

    def __init__(self, folder: RunFolder, *checkpoints: int) -> None:
        self.folder, self.left, self.made = folder, list(checkpoints), 0

    def __call__(self) -> None:
        self.made += 1
        if not self.left:
            return
        written = Checkpoints(self.folder.path / "checkpoint", RESUMING.run_id)
        written.load()
        for number in range(self.left.pop(0)):
            written.save({"a": {"x": np.array([self.made, number])}})
        raise ServerLostError("lost")


@pytest.fixture
def stopped(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setattr(recovery, "check_server", lambda *_, **__: iter([ok("server", "there")]))
    monkeypatch.setattr(recovery, "LOOK_SECONDS", 0.0)
    return []


def recovering(stopped: list[str], **more: Any) -> Recovery:
    return Recovery(Address("localhost", 1), Path("ca.crt"), lambda: stopped.append("stop"), **more)


def begun(path: Path, config: RunConfig = RESUMING) -> RunFolder:
    folder = RunFolder(path, config)
    folder.begin()
    return folder


def test_it_is_started_again_until_it_is_done_and_the_folder_says_so(tmp_path: Path, stopped: list[str]) -> None:
    """Never a fourth time in a row without a new checkpoint."""
    folder = begun(tmp_path)
    starts = Starts(folder, 1, 0, 0, 2, 0, 0)
    recovering(stopped).run(starts, RESUMING, folder)
    assert starts.made == 7
    assert stopped == ["stop"] * 6  # what Flower has left of it must not go on beside the next
    lines = [json.loads(line) for line in (tmp_path / "restarts.jsonl").read_text().splitlines()]
    assert [(line["try"], line["checkpoint"]) for line in lines] == [(1, 1), (2, 1), (3, 1), (1, 3), (2, 3), (3, 3)]
    assert {line["why"] for line in lines} == {"lost"}


@pytest.mark.parametrize(("restarts", "made"), [(0, 1), (3, 4)])
def test_what_gets_no_further_is_given_up(tmp_path: Path, stopped: list[str], restarts: int, made: int) -> None:
    folder = begun(tmp_path)
    starts = Starts(folder, *[0] * 9)
    with pytest.raises(
        EngineError, match=rf"^lost; it was started again {restarts} times and got no further$"
    ) as caught:
        recovering(stopped, restarts=restarts).run(starts, RESUMING, folder)
    assert not isinstance(caught.value, ServerLostError)
    assert starts.made == made


def test_without_resume_it_is_not_started_again(tmp_path: Path, stopped: list[str]) -> None:
    config = RESUMING.replace(on_restart="anew")
    folder = begun(tmp_path, config)
    starts = Starts(folder, 1)
    with pytest.raises(EngineError, match="lost; on-restart = resume would start it again"):
        recovering(stopped).run(starts, config, folder)
    assert starts.made == 1
    assert (tmp_path / "checkpoint").is_dir()  # and so it can be, by hand


@pytest.mark.parametrize("error", [DivergedError("nan"), ConfigError("key"), EngineError("3 of 4"), ValueError("bug")])
def test_an_error_of_the_users_or_of_a_machine_is_final(tmp_path: Path, stopped: list[str], error: Exception) -> None:
    def fail() -> None:
        raise error

    with pytest.raises(type(error), match=str(error)):
        recovering(stopped).run(fail, RESUMING, begun(tmp_path))
    assert stopped == []
    assert not (tmp_path / "restarts.jsonl").exists()


def test_it_waits_for_the_superlink_and_for_the_process_of_before(
    tmp_path: Path, stopped: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter([wrong("server", "away", "start it"), wrong("server", "away", "start it"), ok("server", "there")])
    monkeypatch.setattr(recovery, "check_server", lambda *_, **__: iter([next(answers)]))
    held = iter([True, True, False])
    monkeypatch.setattr(run_lock, "is_held", lambda _: next(held))
    folder = begun(tmp_path)
    starts = Starts(folder, 1)
    recovering(stopped).run(starts, RESUMING, folder)
    assert starts.made == 2
    assert (next(answers, None), next(held, None)) == (None, None)


@pytest.mark.parametrize(
    ("what", "said"), [("server", "the SuperLink does not come back"), ("process", "does not end")]
)
def test_it_does_not_wait_for_ever(
    tmp_path: Path, stopped: list[str], monkeypatch: pytest.MonkeyPatch, what: str, said: str
) -> None:
    away = wrong("server", "away", "start it")
    monkeypatch.setattr(recovery, "check_server", lambda *_, **__: iter([away]))
    monkeypatch.setattr(recovery, "SERVER_SECONDS", 0.0)
    if what == "process":
        monkeypatch.setattr(run_lock, "is_held", lambda _: True)
    folder = begun(tmp_path)
    with pytest.raises(EngineError, match=f"lost; .*{said}"):
        recovering(stopped).run(Starts(folder, 1), RESUMING, folder)


def test_restarts_of_an_earlier_run_in_the_folder_are_forgotten(tmp_path: Path, stopped: list[str]) -> None:
    folder = begun(tmp_path)
    (tmp_path / "restarts.jsonl").write_text("{}\n")
    recovering(stopped).run(Starts(folder), RESUMING, folder)
    assert not (tmp_path / "restarts.jsonl").exists()
