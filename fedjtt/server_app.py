"""The Flower ServerApp and what it does: run a method over a Grid and say what came out. The same in every engine."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from logging import INFO
from pathlib import Path
from typing import Any

import torch
from flwr.app import Context
from flwr.common.logger import log
from flwr.serverapp import Grid, ServerApp

from fedjtt import run_lock
from fedjtt.cache import StageCache
from fedjtt.checkpoint import Checkpoints
from fedjtt.client_app import make_client_app
from fedjtt.config import RunConfig
from fedjtt.errors import FedJTTError
from fedjtt.frozen import said_of
from fedjtt.methods.assess import assess_weights
from fedjtt.methods.base import Array, Trained
from fedjtt.methods.census import count_population
from fedjtt.models import ModelBuilder, digest
from fedjtt.provide import Provider, notes_of, owner_from_config, provide_server_data
from fedjtt.simulation import InProcessGrid
from fedjtt.tracking import RunFolder
from strategies.known import Owner, nobody
from strategies.polling import PollingGrid
from strategies.staged import Observer, StagedStrategy


@dataclass(frozen=True)
class Outcome:
    """A finished run.

    Attributes
    ----------
    result : dict
        What ``result.json`` holds; docs/results.md names every key.
    weights : ndarray
        float32 ``[num_parameters]`` of the selected model.
    history : list of dict
        A line a round.
    ledger : list of dict
        Messages and bytes for every stage, round and machine.
    """

    result: dict[str, Any]
    weights: Array
    history: list[dict[str, Any]]
    ledger: list[dict[str, Any]]


def run_method(
    config: RunConfig,
    grid: Grid,
    server_data: Provider = provide_server_data,
    observer: Observer | None = None,
    cache: StageCache | None = None,
    model_builder: ModelBuilder | None = None,
    owner: Owner = nobody,
    checkpoints: Checkpoints | None = None,
    notes: Sequence[str] = (),
) -> Outcome:
    """Run a config's method over the machines of a Grid.

    Parameters
    ----------
    grid : Grid
        The machines; asked only by stages that need them.
    server_data : callable
        Provides what the server itself holds.
    owner : callable
        Gives the ids of a machine's train examples, where the server can know them: no machine may name others.
    checkpoints : Checkpoints or None
        Where the run's state is written after every round, and gone on from where it holds one.
    notes : sequence of str
        What the result says of the data.
    """
    started, run_id = time.monotonic(), config.run_id
    torch.set_num_threads(config.threads)
    own = config.replace(secure_aggregation=False)  # the server hides nothing from itself
    server_node = InProcessGrid(make_client_app(server_data, cache, model_builder), own, machines=1)
    # Nobody knows whether the hosts' files are what they were when a stage was kept.
    strategy = StagedStrategy(config, server_node, observer, None if config.own_data else cache, owner, checkpoints)
    for text in (*notes, *said_of(config)):
        strategy.note(text)
    trained = strategy.run(grid)
    config = strategy.config
    figures = _figures(strategy, trained)
    result = {
        "config": config.flat(),
        "run-id": run_id,
        "digest": digest(torch.from_numpy(trained.weights)),
        **_sizes(strategy, trained),
        **figures,
        "identification": trained.identification,
        "head": trained.head,
        "removal": trained.removal,
        "sparse": trained.sparse,
        "selected-round": trained.selected_round,
        "seconds": _seconds(trained, time.monotonic() - started),
        "bytes": _bytes(strategy),
        "notes": strategy.notes,
        "missing": strategy.talk.register.missing(),
        "privacy": strategy.noise.spent(),
    }
    return Outcome(result, trained.weights, trained.history, strategy.talk.register.ledger())


def _sizes(strategy: StagedStrategy, trained: Trained) -> dict[str, int]:
    """Count what of the selected model was trained, and what followed the batches."""
    return {"parameters": int(trained.weights.size) - strategy.running, "running-statistics": strategy.running}


def _figures(strategy: StagedStrategy, trained: Trained) -> dict[str, Any]:
    """Evaluate the selected model on both held-out splits, and note what is odd about that."""
    config = strategy.config
    if config.train_on == "validation":
        strategy.note("train-on is validation: its accuracies on validation are those of what it was trained on")
    counts = count_population(strategy, "machines" if config.evaluation_at == "machines" else "server").group_counts
    figures = {
        split: assess_weights(strategy, trained.weights, split, counts, by_machine=True)
        for split in ("validation", "test")
    }
    for split, values in figures.items():
        if values["empty-groups"]:
            strategy.note(f"{split}: {values['empty-groups']} groups have no example; they have no accuracy")
    return figures


def _seconds(trained: Trained, wall: float) -> dict[str, Any]:
    """CPU seconds of the stages; ``total`` is the way along the slowest machines."""
    identify = trained.seconds.get("identify") or {"sum": 0.0, "slowest": 0.0}
    robust = trained.seconds["robust"]
    return {
        "identify": identify,
        "robust": robust,
        "robust-sum": trained.seconds["robust-sum"],
        "total": identify["slowest"] + robust,
        "wall": wall,
    }


def _bytes(strategy: StagedStrategy) -> dict[str, Any]:
    stages = {name: {"sent": t.sent, "received": t.received} for name, t in strategy.traffic.items()}
    sums = {way: sum(stage[way] for stage in stages.values()) for way in ("sent", "received")}
    return {**sums, **stages}


app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run what Flower's run config says; write the result where ``out`` says, or log it."""
    config = RunConfig.parse(dict(context.run_config))
    grid = PollingGrid(grid)
    cache = StageCache.from_environment()
    if not config.out:
        log_summary(
            run_method(config, grid, cache=cache, owner=owner_from_config(config), notes=notes_of(config)).result
        )
        return
    folder = RunFolder(Path(config.out), config)
    with run_lock.held(folder.path):
        _run_into(folder, config, grid, cache)


def _run_into(folder: RunFolder, config: RunConfig, grid: Grid, cache: StageCache | None) -> None:
    folder.begin()
    try:
        checkpoints = Checkpoints.of_run(folder.path, config)
        outcome = run_method(
            config,
            grid,
            observer=folder,
            cache=cache,
            owner=owner_from_config(config),
            checkpoints=checkpoints,
            notes=notes_of(config),
        )
    except FedJTTError as error:
        folder.fail(error)
        raise
    folder.finish(outcome.result, outcome.weights, outcome.ledger)
    checkpoints.clear()


def log_summary(result: Mapping[str, Any]) -> None:
    """Say through Flower's logger what came out."""
    for split in ("validation", "test"):
        shown = ", ".join(
            f"{name} {_shown(result[split][f'{name}-accuracy'])}"
            for name in ("worst-group", "average", "adjusted-average")
        )
        log(INFO, "%s accuracy: %s", split, shown)
    if (found := result["identification"]) is not None:
        log(
            INFO,
            "error set: %s examples, precision %s, recall %s, upsampling factor %s",
            found["error-set-size"], _shown(found["precision"]), _shown(found["recall"]),
            found.get("upsample-factor", "none"),
        )  # fmt: skip
    log(INFO, "digest of the weights of round %s: %s", result["selected-round"], result["digest"])


def _shown(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3f}"
