"""A run over a deployment on this machine that is there already, beside others or one after another."""

import math
from pathlib import Path
from typing import Any

from experiments.flower_engine import data_places, watch, write_app
from fedjtt.config import RunConfig
from fedjtt.tracking import RunFolder
from strategies.staged import Observer


def run_over(
    home: Path, config: RunConfig, folder: RunFolder, observer: Observer | None = None, deadline: float = math.inf
) -> dict[str, Any]:
    """Do a run and return its result.

    Parameters
    ----------
    home : Path
        What :func:`experiments.deploy.local.local_deployment` gives.
    folder : RunFolder
        The run's own; its name must be no other run's over this deployment.
    """
    folder.begin()
    placed = config.replace(out=str(folder.path.absolute()), **data_places(config))
    own = home / f"run-{folder.path.name}"  # for the app, and for Flower's log of it
    own.mkdir()
    watch(home, write_app(own / "app", placed), placed, folder, observer, deadline=deadline)
    return folder.result()
