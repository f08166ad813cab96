"""Starts a program and ends all that came of it when its standard input closes; run as a script, imports no package.

Flower's SuperLink starts processes in sessions of their own, and these start Ray, which starts more. The keeper is a
process between them and the run: on Linux it becomes the parent of whatever loses its own, so that everything that was
started is below it. It sees the end of the run by the end of its input, which also comes when the run is killed. Then
the ``flwr run`` that the run itself had started is left over; it is known by the folder that its environment names.
"""

import contextlib
import ctypes
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

STOPPED = "stopped"
PROGRAM_LOG = "program.log"
_PR_SET_CHILD_SUBREAPER = 36
_PATIENCE_SECONDS = 10.0


def adopt_orphans() -> None:
    """Become the parent of descendants that lose theirs; only Linux can."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def descendants() -> list[int]:
    """Return the ids of all processes below this one that still run; only Linux tells."""
    children: dict[int, list[int]] = {}
    ended = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # The name in parentheses may hold anything; the state and the parent's id come after it.
            state, parent = stat.read_text().rpartition(")")[2].split()[:2]
            pid = int(stat.parent.name)
            children.setdefault(int(parent), []).append(pid)
            if state in "ZX":  # may still have children, for a moment
                ended.add(pid)
    found, queue = [], [os.getpid()]
    while queue:
        below = children.get(queue.pop(), [])
        found += [pid for pid in below if pid not in ended]
        queue += below
    return found


def tenants(folder: Path) -> list[int]:
    """Return the ids of all other processes whose environment names the folder as Flower's home; only Linux tells."""
    entry = b"\0FLWR_HOME=" + os.fsencode(folder) + b"\0"
    found = []
    for environment in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if entry in b"\0" + environment.read_bytes():
                found.append(int(environment.parent.name))
    return [pid for pid in found if pid != os.getpid()]


def bury(process: subprocess.Popen[bytes]) -> None:
    """Take leave of adopted processes that have ended: Flower's look at whether their parent still has an entry."""
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) is not None:
            if ended.si_pid == process.pid:  # its own is asked for where its end is looked at
                return
            os.waitpid(ended.si_pid, 0)


def end_all(process: subprocess.Popen[bytes], folder: Path) -> None:
    """End the program and everything below; nothing of it has a state that outlives the run."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    while (left := {*descendants(), *tenants(folder)}) and time.monotonic() < deadline:
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)
    process.wait()
    with contextlib.suppress(ChildProcessError):  # raised when all that were adopted have been buried
        while os.waitpid(-1, os.WNOHANG) != (0, 0):
            continue


def main(folder: Path, command: list[str]) -> None:
    """Run a command until this process's input ends, then end it and remove its folder."""
    adopt_orphans()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))
    with (folder / PROGRAM_LOG).open("wb") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        while not select.select([sys.stdin], [], [], 0.2)[0]:
            bury(process)
            if process.poll() is not None:
                (folder / STOPPED).touch()  # tells the run that waiting for the program is in vain
    finally:
        end_all(process, folder)
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
