"""One run into its folder, on the engine that the config names."""

from collections.abc import Mapping
from typing import Any

import torch

from fedjtt.api import simulate
from fedjtt.cache import StageCache
from fedjtt.checkpoint import Checkpoints
from fedjtt.config import RunConfig
from fedjtt.provide import check_data, placed
from fedjtt.tracking import RunFolder
from strategies.staged import Observer


class _Both:
    """An observer that passes everything on to the run's folder and to whoever else watches."""

    def __init__(self, *observers: Observer | None) -> None:
        self._observers = [observer for observer in observers if observer is not None]

    def progress(self, stage: str, server_round: int, rounds: int, figures: Mapping[str, Any]) -> None:
        """Pass a round on."""
        for observer in self._observers:
            observer.progress(stage, server_round, rounds, figures)


def execute(config: RunConfig, folder: RunFolder, observer: Observer | None = None) -> dict[str, Any]:
    """Run a config into a folder and return its result; a folder that is done is only read.

    Whatever the user can correct is found before the folder is touched.
    """
    if folder.done:
        return folder.result()
    config = placed(config)
    torch.set_num_threads(config.threads)  # before any work: a pool of more threads would not survive workers' forks
    check_data(config)
    if config.engine == "flower":
        from experiments.flower_engine import run_on_flower

        return run_on_flower(config, folder, observer)
    folder.begin()
    checkpoints = Checkpoints.of_run(folder.path, config)
    both, cache = _Both(folder, observer), StageCache.from_environment()
    outcome = simulate(config, observer=both, cache=cache, checkpoints=checkpoints)
    folder.finish(outcome.result, outcome.weights, outcome.ledger)
    checkpoints.clear()
    return outcome.result
