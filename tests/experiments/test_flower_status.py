"""What Flower's answers mean: an end that stays, or a server that was lost."""

import json
from pathlib import Path

import pytest

from experiments import flower_status
from experiments.flower_status import end_of, run_number, stop
from fedjtt.errors import EngineError, ServerLostError

STARTED = (
    "Loading project configuration...\nSuccessfully started run 17649188916993331943\nStarting logstream\nlast line\n"
)
REFUSED = "Loading project configuration...\nthe SuperLink refuses\n"


def answer(status: str, details: str = "") -> str:
    return "some line\n" + json.dumps({"success": True, "runs": [{"status": status, "status-details": details}]})


@pytest.mark.parametrize(
    ("log", "said", "lost", "text"),
    [
        (STARTED, answer("running", "N/A"), True, r"killed or died \(Flower calls the run running\)"),
        (STARTED, answer("finished:failed", "No heartbeat received from the task"), True, "failed: No heartbeat"),
        (STARTED, answer("finished:failed", "Task failed with unknown error."), True, "unknown error"),
        (STARTED, "", True, r"\(Flower calls the run unknown\)"),  # no SuperLink there
        (
            STARTED,
            answer("finished:failed", "ServerApp failed with exception: boom"),
            False,
            "as finished:failed: .*boom",
        ),
        (STARTED, answer("finished:stopped"), False, "as finished:stopped: last line"),
        (STARTED, answer("finished:completed", "N/A"), False, "as finished:completed: last line"),
        (REFUSED, answer("finished:failed"), False, "as not started: the SuperLink refuses"),
        (REFUSED, "", True, "unknown"),
    ],
)
def test_how_a_run_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log: str, said: str, lost: bool, text: str
) -> None:
    (tmp_path / "log").write_text(log)
    asked: list[tuple[str, ...]] = []

    def answering(_: object, *arguments: str) -> str:
        asked.append(arguments)
        return said

    monkeypatch.setattr(flower_status, "_flwr", answering)
    error = end_of(tmp_path / "log", {}, Path("kept.log"))
    assert type(error) is (ServerLostError if lost else EngineError)
    with pytest.raises(EngineError, match=text):
        raise error
    assert "kept.log" in str(error)
    assert "\n" not in str(error)
    assert ("17649188916993331943" in asked[0]) == (log == STARTED)


def test_only_a_run_that_was_started_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, ...]] = []
    monkeypatch.setattr(flower_status, "_flwr", lambda _, *arguments: asked.append(arguments))
    for text in (STARTED, REFUSED):
        (tmp_path / "log").write_text(text)
        stop(tmp_path / "log", {})
    assert asked == [("stop", "17649188916993331943", "fedjtt")]
    assert run_number(tmp_path / "log") is None
