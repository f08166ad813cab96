"""Apps by fork: with their arguments, in processes of their own, and gone with the node."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from experiments.deploy import warm
from tests.test_flower_engine import wait_until
from tests.tiny import REPO

# A node that asks for apps as SuperExec does, by the program's name; the "app" writes its arguments and its parent.
PROGRAM = """
import os, sys, time
from experiments.deploy import warm

def app():
    with open(sys.argv[2], "w") as file:
        file.write(repr((sys.argv, os.getppid())))
    if sys.argv[1] == "hang":
        time.sleep(60)
    if sys.argv[1] == "raise":
        raise ValueError("planted")
    sys.exit(0)

sys.exit(warm.run(sys.argv[1:], lambda: app))
"""


def start(tmp_path: Path, script: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(REPO), "TMPDIR": str(tmp_path)}
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "/bin/sh", "-c", script],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
    )


def test_an_app_gets_its_arguments_and_a_process_of_its_own(tmp_path: Path) -> None:
    waiting = "until [ -e one ] && [ -e two ]; do sleep 0.05; done; exit 7"
    node = start(tmp_path, f"flwr-clientapp a one --token 'b c' ''; flwr-clientapp raise two; {waiting}")
    _, errors = node.communicate(timeout=30)
    assert node.returncode == 7
    assert (tmp_path / "one").read_text() == repr((["flwr-clientapp", "a", "one", "--token", "b c", ""], node.pid))
    assert "planted" in errors
    assert {path.name for path in tmp_path.iterdir()} == {"one", "two"}


def test_a_signal_ends_the_node_and_its_apps(tmp_path: Path) -> None:
    node = start(tmp_path, "flwr-clientapp hang one; exec sleep 60")
    assert wait_until((tmp_path / "one").exists, 20)
    node.send_signal(signal.SIGTERM)
    node.communicate(timeout=20)
    assert node.returncode != 0
    assert [path.name for path in tmp_path.iterdir()] == ["one"]
    assert not [pid for pid in processes() if tmp_path.name in pid]


def processes() -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            found.append(path.read_text(errors="replace"))
        except OSError:
            continue
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's death")
def test_the_node_ends_when_this_process_is_killed(tmp_path: Path) -> None:
    node = start(tmp_path, "echo $$ > pid; exec sleep 60")
    assert wait_until((tmp_path / "pid").exists, 20)
    time.sleep(0.1)
    pid = int((tmp_path / "pid").read_text())
    node.kill()
    node.communicate(timeout=20)
    assert wait_until(lambda: not Path(f"/proc/{pid}").exists(), 10)


def test_without_it_the_command_runs_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(warm.SWITCH, "0")
    command = [sys.executable, "-m", "experiments.deploy.warm", "/bin/sh", "-c", "command -v flwr-clientapp; exit 3"]
    answer = subprocess.run(command, cwd=REPO, capture_output=True, text=True, check=False)
    assert answer.returncode == 3
    assert "fedjtt-warm" not in answer.stdout
    assert not list(tmp_path.iterdir())
