"""A run's folder is held by one process, and let go of when that ends in whatever way."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fedjtt import run_lock
from fedjtt.errors import RunError
from tests.tiny import REPO

HOLDER = """
import sys, time
from pathlib import Path
from fedjtt import run_lock
with run_lock.held(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_killed_process_holds_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(folder)], cwd=REPO, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        assert run_lock.is_held(folder)
        with (
            pytest.raises(RunError, match=r"another process works on the run in .*run; wait until"),
            run_lock.held(folder),
        ):
            pass
        holder.send_signal(signal.SIGKILL)
    assert not run_lock.is_held(folder)
    with run_lock.held(folder):
        assert run_lock.is_held(folder)
    assert not run_lock.is_held(folder)


def test_nothing_is_left_in_the_folder_and_a_folder_that_is_not_there_is_free(tmp_path: Path) -> None:
    assert not run_lock.is_held(tmp_path / "none")
    with run_lock.held(tmp_path / "run"):
        pass
    assert not list((tmp_path / "run").iterdir())
    assert not (tmp_path / "none").exists()


def test_a_look_does_not_stand_in_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who looks has the lock for a moment; who wants to hold it waits for that long."""
    answers = iter([False, False, True])
    monkeypatch.setattr(run_lock, "_lock", lambda _: next(answers))
    with run_lock.held(tmp_path):
        assert next(answers, None) is None


def test_a_file_system_without_locks_refuses_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(run_lock.fcntl, "flock", unsupported)
    with run_lock.held(tmp_path), run_lock.held(tmp_path):
        assert not run_lock.is_held(tmp_path)
