"""``fedjtt deploy local``: server and nodes in processes of their own on this machine, and a run over them.

The folders are those that ``deploy init`` writes, and their own start commands run: TLS, node keys and all. Everything
stands below a keeper (``experiments/flower_keeper.py``) and is gone with it, whatever happened to the run.
"""

import shutil
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from experiments import flower_keeper
from experiments.deploy import loopback, warm
from experiments.deploy.check import read_place
from experiments.deploy.layout import init
from experiments.deploy.start import run_and_recover
from experiments.flower_engine import data_places, flower_environment
from experiments.flower_process import kept, last_line, temporary_home, write_connection
from fedjtt.config import RunConfig
from fedjtt.errors import EngineError
from fedjtt.provide import check_data, placed
from fedjtt.tracking import RunFolder
from strategies.staged import Observer

DEFAULT_SECONDS = 3600.0
POLL_VARIABLE = "FLWR_SUPEREXEC_TASK_POLL_INTERVAL"


def execute_local(
    config: RunConfig,
    folder: RunFolder,
    observer: Observer | None = None,
    seconds: float = DEFAULT_SECONDS,
    warm_apps: bool = True,
) -> dict[str, Any]:
    """Run a config over a deployment on this machine, into a folder, and return its result.

    A folder that is done is only read. Whatever the user can correct is found before anything is started.

    Parameters
    ----------
    seconds : float
        How long all of it may take.
    warm_apps : bool
        Whether a node imports torch once, instead of once a message.

    Raises
    ------
    FedJTTError
        What the ServerApp raised, a machine's own error included; EngineError where Flower itself failed or the time
        was over, with the logs of all hosts in ``logs`` of the run's folder.
    """
    if folder.done:
        return folder.result()
    config = placed(config)
    check_data(config)
    deadline = time.monotonic() + seconds
    with folder.begun():
        shutil.rmtree(folder.path / loopback.LOGS, ignore_errors=True)
        with local_deployment(config, deadline, warm_apps) as home:
            run_config = config.replace(out=str(folder.path.absolute()), **data_places(config))
            server = read_place(home / "hosts" / "server")
            try:
                run_and_recover(home, server, run_config, folder, observer, deadline=deadline)
            except EngineError:
                shutil.copytree(home / loopback.LOGS, folder.path / loopback.LOGS)
                raise
    return folder.result()


@contextmanager
def local_deployment(config: RunConfig, deadline: float, warm_apps: bool = True) -> Iterator[Path]:
    """Have a server and ``machines`` nodes run on this machine; all of it is gone afterwards.

    Gives the folder of all their files: ``hosts`` as init wrote it, ``logs``, ``processes.json`` with the process ids
    by host. It is also the FLWR_HOME of a command line that is connected to the server.

    Raises
    ------
    EngineError
        Where they do not start, or not in time.
    """
    home = temporary_home()
    try:
        port, *node_ports = free_ports(config.machines + 1)
        init(home / "hosts", [f"host-{number}" for number in range(config.machines)], f"localhost:{port}")
        write_connection(home, f"localhost:{port}", f'root-certificates = "{home}/hosts/server/ca.crt"')
        command = [sys.executable, loopback.__file__, str(home), ",".join(str(each) for each in node_ports)]
        environment = _environment(home, config, warm_apps)
    except BaseException:
        shutil.rmtree(home, ignore_errors=True)  # as yet there is no keeper to do it
        raise
    with kept(home, command, environment):
        _await_ready(home, deadline)
        yield home


def free_ports(count: int) -> list[int]:
    """Return different ports of the loopback that nobody listens at just now."""
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]


def _environment(home: Path, config: RunConfig, warm_apps: bool) -> dict[str, str]:
    """Return what all hosts inherit; each sets a FLWR_HOME of its own."""
    # Names that the folders' settings would set on real hosts must not come from this machine's user.
    inherited = {name: value for name, value in flower_environment(home, config).items() if name != "FEDJTT_LISTEN"}
    changes = {"FEDJTT_PYTHON": sys.executable, warm.SWITCH: str(int(warm_apps)), "TMPDIR": str(home)}
    inherited.pop(POLL_VARIABLE, None)  # the start commands have their own, sparing one
    return {**inherited, **changes}


def _await_ready(home: Path, deadline: float) -> None:
    while not (home / loopback.READY).exists():
        if (home / flower_keeper.STOPPED).exists():
            failed = home / loopback.FAILED
            reason = failed.read_text() if failed.exists() else last_line(home / flower_keeper.PROGRAM_LOG)
            raise EngineError(f"the deployment did not start: {reason}")
        if time.monotonic() > deadline:
            raise EngineError("the deployment did not start in time")
        time.sleep(loopback.LOOK_SECONDS)
