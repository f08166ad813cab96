"""``fedjtt deploy run``: a run over a deployment, started and watched on the server's own host."""

import math
import shutil
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from experiments.deploy.check import Place
from experiments.deploy.connection import check_server
from experiments.deploy.recovery import RESTARTS, Recovery
from experiments.flower_engine import LOG_NAME, flower_environment, watch, write_app
from experiments.flower_process import write_connection
from experiments.flower_status import stop
from fedjtt.config import RunConfig
from fedjtt.errors import EngineError
from fedjtt.tracking import RunFolder
from strategies.staged import Observer

STATE = "state"


def execute_run(
    config: RunConfig, folder: RunFolder, observer: Observer | None, server: Place, restarts: int = RESTARTS
) -> dict[str, Any]:
    """Make a run over the deployment of this server and return its result; a folder that is done is only read.

    Parameters
    ----------
    server : Place
        The server's folder.
    restarts : int
        Starts from the checkpoint, in a row that gets no further, after which the run is given up.

    Raises
    ------
    FedJTTError
        What the ServerApp raised, a machine's own error included; EngineError where Flower failed.
    """
    if folder.done:
        return folder.result()
    for finding in check_server(server.server, server.folder / "ca.crt", at_home=True):
        if not finding.good:
            raise EngineError(str(finding))
    (server.folder / STATE).mkdir(exist_ok=True)
    home = Path(tempfile.mkdtemp(prefix="run-", dir=server.folder / STATE)).absolute()
    try:
        authority = (server.folder / "ca.crt").absolute()
        write_connection(home, f"localhost:{server.server.port}", f'root-certificates = "{authority}"')
        with folder.begun():
            # data-dir is what it is on every host, and says nothing of this one.
            run_config = config.replace(out=str(folder.path.absolute()))
            run_and_recover(home, server, run_config, folder, observer, restarts)
    finally:
        shutil.rmtree(home, ignore_errors=True)
    return folder.result()


def run_and_recover(
    home: Path,
    server: Place,
    config: RunConfig,
    folder: RunFolder,
    observer: Observer | None,
    restarts: int = RESTARTS,
    deadline: float = math.inf,
) -> None:
    """Make a run over a server that answers; from the checkpoint again where the server was lost.

    Parameters
    ----------
    home : Path
        FLWR_HOME of Flower's command line: names the connection, takes the app and the log.
    """
    app = write_app(home / "app", config)
    stop_it = partial(stop, home / LOG_NAME, flower_environment(home, config))
    recovery = Recovery(server.server, server.folder / "ca.crt", stop_it, restarts, deadline)
    recovery.run(partial(watch, home, app, config, folder, observer, deadline=deadline), config, folder)
