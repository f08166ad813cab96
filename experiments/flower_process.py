"""Programs of Flower's that a run starts: where they are, where their state is, and that nothing of them is left."""

import shutil
import socket
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from experiments import flower_keeper
from fedjtt.errors import EngineError

CONNECTION = "fedjtt"
STOP_SECONDS = 30.0
# Ray keeps sockets below its folder; the path of a socket may have 107 characters, of which Ray needs 69.
LONGEST_PARENT = 22


def temporary_home() -> Path:
    """Return a new folder for all that a run's Flower writes; :func:`kept` removes it."""
    parent = tempfile.gettempdir()
    return Path(tempfile.mkdtemp(prefix="fedjtt-", dir=parent if len(parent) <= LONGEST_PARENT else "/tmp"))


def write_connection(home: Path, address: str, security: str) -> None:
    """Tell Flower's command line, whose state is in a folder, where the SuperLink is."""
    (home / "config.toml").write_text(
        f'[superlink]\ndefault = "{CONNECTION}"\n\n[superlink.{CONNECTION}]\naddress = "{address}"\n{security}\n'
    )


@contextmanager
def kept(home: Path, command: list[str], environment: dict[str, str]) -> Iterator[None]:
    """Run a program below a keeper: it, all that it started and the folder are gone afterwards, whatever happened."""
    keeper = subprocess.Popen(
        [sys.executable, flower_keeper.__file__, str(home), *command],
        stdin=subprocess.PIPE,
        env=environment,
        start_new_session=True,  # Ctrl-C on the terminal is for the run, which then ends the keeper
    )
    try:
        yield
    finally:
        _end(keeper)


def _end(keeper: subprocess.Popen[bytes]) -> None:
    if keeper.stdin is not None:
        keeper.stdin.close()
    try:
        keeper.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        keeper.terminate()


def free_port() -> int:
    """Return a port of the loopback that nobody listens at just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def script(name: str) -> str:
    """Return the path of one of Flower's programs."""
    found = shutil.which(name, path=sysconfig.get_path("scripts")) or shutil.which(name)
    if found is None:
        raise EngineError(f"engine flower needs the program {name}, which flwr[simulation] installs; it is not here")
    return found


def last_line(log: Path) -> str:
    """Return the last line of a log, for a message."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1][:300] if lines else "it wrote nothing"
