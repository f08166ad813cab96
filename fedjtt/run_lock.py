"""Who works on a run: the process of its server holds its folder as long as it lives, however it ends.

The operating system lets go of the lock of a process that is killed, so that a watcher sees it at once; Flower takes a
minute. And a run that is started again cannot write beside the process of before.
"""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fedjtt.errors import RunError

if sys.platform != "win32":
    import fcntl

PATIENCE_SECONDS = 1.0  # a watcher who looks whether the lock is free has it for that moment


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold a run's folder, which is made if need be.

    Raises
    ------
    RunError
        Where another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY)  # the folder itself: no file is left behind
    try:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not (free := _lock(descriptor)) and time.monotonic() < deadline:
            time.sleep(0.02)
        if not free:
            raise RunError(f"another process works on the run in {folder}; wait until it has ended, or end it")
        yield
    finally:
        os.close(descriptor)


def is_held(folder: Path) -> bool:
    """Return whether a process holds a run's folder."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        return not _lock(descriptor)
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> bool:
    """Take a lock and return whether that was possible; a file system without locks never refuses."""
    if sys.platform == "win32":
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # some network file systems
        return True
    return True
