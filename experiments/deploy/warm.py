"""Runs a SuperNode whose apps start at once: ``python -m experiments.deploy.warm flower-supernode …``.

For every message a SuperNode starts the program ``flwr-clientapp``, which imports Flower and torch anew: three to four
CPU seconds. This process imports them once. It starts the SuperNode with a ``flwr-clientapp`` of its own first on the
PATH, which only passes its arguments on, and forks for each: the fork calls what the true ``flwr-clientapp`` calls.
Nothing of Flower is replaced, and FEDJTT_WARM=0 does without all this.
"""

import ctypes
import gc
import os
import select
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from types import FrameType

PROGRAM = "flwr-clientapp"
SWITCH = "FEDJTT_WARM"
# What a message needs; sklearn holds one of the datasets.
IMPORTED = ("fedjtt.client_app", "sklearn.datasets")
LOOK_SECONDS = 0.2
PATIENCE_SECONDS = 10.0
_PR_SET_PDEATHSIG = 1
_PASS_ON = """#!/bin/sh
# Passes its arguments on to the process that has everything imported; see experiments/deploy/warm.py.
{ printf '%s\\0' "$@"; echo; } > "$(dirname "$0")/pipe"
"""


class AppStarter:
    """Starts apps by forking this process, for whoever writes their arguments into the pipe.

    Parameters
    ----------
    folder : Path
        Where the pipe and the program that writes into it stand.
    start : callable
        What a fork calls; the arguments are in ``sys.argv``.
    """

    def __init__(self, folder: Path, start: Callable[[], object]) -> None:
        os.mkfifo(folder / "pipe", 0o600)
        (folder / PROGRAM).write_text(_PASS_ON)
        (folder / PROGRAM).chmod(0o700)
        self._pipe = os.open(folder / "pipe", os.O_RDWR | os.O_NONBLOCK)  # for writing too: so it never ends
        self._start = start
        self._rest = b""
        self._apps: set[int] = set()

    def look(self, seconds: float = LOOK_SECONDS) -> None:
        """Start the apps that were asked for; wait for so long if there are none."""
        if select.select([self._pipe], [], [], seconds)[0]:
            *lines, self._rest = (self._rest + os.read(self._pipe, 65536)).split(b"\n")
            for line in lines:
                self._fork([os.fsdecode(argument) for argument in line.split(b"\0")[:-1]])
        for pid in list(self._apps):
            with suppress(ChildProcessError):
                if os.waitpid(pid, os.WNOHANG)[0] == 0:
                    continue
            self._apps.discard(pid)

    def _fork(self, arguments: list[str]) -> None:
        if pid := os.fork():
            self._apps.add(pid)
            return
        code = 1
        try:
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_DFL if number != signal.SIGINT else signal.default_int_handler)
            os.close(self._pipe)
            sys.argv = [PROGRAM, *arguments]
            self._start()
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
        except BaseException:
            traceback.print_exc()
        finally:  # nothing that this process would do at its end is the fork's to do
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def close(self) -> None:
        """End the apps that still run."""
        for pid in self._apps:
            with suppress(ProcessLookupError, ChildProcessError):
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
        os.close(self._pipe)


def _die_with_parent() -> None:
    """Have a child end when its parent is killed; only Linux can."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


def _imported() -> Callable[[], object]:
    """Import what a message needs and return what its program calls."""
    (program,) = entry_points(group="console_scripts", name=PROGRAM)
    start: Callable[[], object] = program.load()
    for name in IMPORTED:
        import_module(name)
    gc.collect()
    gc.freeze()  # the forks share these pages as long as nobody writes into them
    return start


def run(command: Sequence[str], prepare: Callable[[], Callable[[], object]] = _imported) -> int:
    """Run a SuperNode until it ends and return its exit code; signals are passed on to it.

    Parameters
    ----------
    command : sequence of str
        The SuperNode's command line.
    prepare : callable
        Imports what apps need and returns what a fork calls.
    """
    folder = Path(tempfile.mkdtemp(prefix="fedjtt-warm-"))
    starter = AppStarter(folder, lambda: start())
    path = os.pathsep.join([str(folder), os.environ["PATH"]])
    node = subprocess.Popen(command, env={**os.environ, "PATH": path}, preexec_fn=_die_with_parent)

    def pass_on(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 (what signal calls)
        node.send_signal(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, pass_on)
    try:
        start = prepare()  # while the SuperNode starts; what it asks for meanwhile waits in the pipe
        while node.poll() is None:
            starter.look()
        return node.returncode
    finally:
        starter.close()
        shutil.rmtree(folder, ignore_errors=True)
        if node.poll() is None:
            node.terminate()
            try:
                node.wait(PATIENCE_SECONDS)
            except subprocess.TimeoutExpired:
                node.kill()


def main(command: list[str]) -> int:
    """Run a SuperNode, with its apps started by this process unless the environment says otherwise."""
    os.environ["PATH"] = os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", os.defpath)])
    if os.environ.get(SWITCH) == "0" or not hasattr(os, "fork"):
        os.execvp(command[0], command)
    return run(command)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
