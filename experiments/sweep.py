"""Run a grid over the cores: skips what is done, goes on after a kill, and goes through when a run fails."""

import json
import multiprocessing
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch

from experiments.execute import execute
from experiments.grid import Grid
from experiments.results import NAMES_FILE
from fedjtt.cache import CACHE_VARIABLE
from fedjtt.config import RunConfig, digest_of
from fedjtt.errors import ConfigError, FedJTTError
from fedjtt.methods.fit import CENTRAL_KEYS
from fedjtt.methods.identify_local import IDENTIFY_KEYS
from fedjtt.provide import check_data, placed
from fedjtt.tracking import RunFolder, write_atomically

Ended = Callable[[str, str | None, float], None]


def run_name(config: RunConfig) -> str:
    """Return a folder name that a person can read and that no other config has."""
    parts = (config.dataset, config.method, config.robust, f"m{config.machines}", f"s{config.seed}", config.run_id[:8])
    return "-".join(parts)


def claim_folder(out: Path, grid: Grid) -> None:
    """Mark a folder as this sweep's; a sweep may be extended along its axes.

    Raises
    ------
    ConfigError
        Where the folder holds something else, or a sweep over other settings.
    """
    marker = out / "sweep.json"
    if out.is_file() or (out.is_dir() and any(out.iterdir()) and not marker.exists()):
        raise ConfigError(f"out is {out}, which holds files that are no sweep of fedjtt; name a new or empty folder")
    held: dict[str, Any] = json.loads(marker.read_text()) if marker.exists() else grid.shared
    shared = {key: value for key, value in grid.shared.items() if key in held}
    other = sorted(key for key, value in shared.items() if held[key] != value)
    if other:
        shown = ", ".join(f"{key} {held[key]!r} there, {shared[key]!r} here" for key in other[:3])
        raise ConfigError(f"out is {out}, which holds another sweep's results ({shown}); name another folder")
    write_atomically(marker, json.dumps(shared, indent=2) + "\n")
    write_atomically(out / NAMES_FILE, json.dumps(grid.names, indent=2) + "\n")


def shared_stages(config: RunConfig) -> frozenset[str]:
    """Name the stages that other runs of a sweep may need too: two runs that share one do not run side by side."""
    stages = set()
    if config.identifies or config.selection == "val-bias-unsupervised":
        stages.add(digest_of(["identify", config.subset(IDENTIFY_KEYS)]))
    elif config.robust == "central":
        stages.add(digest_of(["fit", config.subset(CENTRAL_KEYS)]))
    return frozenset(stages)


@dataclass
class _Job:
    config: RunConfig
    process: BaseProcess
    pipe: Connection
    started: float


def prepare_sweep(grid: Grid, out: Path) -> None:
    """Refuse a missing device, missing data or somebody else's folder, then mark the folder as this sweep's."""
    for config in grid.runs:
        placed(config)
    torch.set_num_threads(1)  # a process that has used a pool of torch's threads must not fork: the runs would hang
    check_data(placed(grid.runs[0]))  # what is imported here the runs need not import
    claim_folder(out, grid)


def run_sweep(grid: Grid, out: Path, jobs: int, ended: Ended) -> dict[str, str]:
    """Run what is not done yet and return the failures by run name.

    Parameters
    ----------
    jobs : int
        Runs side by side, each in a process of its own.
    ended : callable
        Told of every run: its name, None or its error, its seconds.
    """
    prepare_sweep(grid, out)
    os.environ[CACHE_VARIABLE] = str((out / "cache").resolve())
    pending = deque(c for c in grid.runs if not RunFolder(out / "runs" / run_name(c), c).done)
    failures: dict[str, str] = {}
    running: list[_Job] = []
    lifeline = multiprocessing.Pipe(duplex=False)
    while pending or running:
        while len(running) < jobs and (config := _next(pending, running)) is not None:
            running.append(_start(config, out, lifeline))
        wait([job.process.sentinel for job in running])
        for job in [job for job in running if job.process.exitcode is not None]:
            running.remove(job)
            error = _error_of(job)
            if error is not None:
                failures[run_name(job.config)] = error
            ended(run_name(job.config), error, time.monotonic() - job.started)
    listed = [{"run": name, "error": text} for name, text in sorted(failures.items())]
    write_atomically(out / "failures.json", json.dumps(listed, indent=2) + "\n")
    return failures


def _next(pending: deque[RunConfig], running: Sequence[_Job]) -> RunConfig | None:
    """Take the first run that shares no stage with one under way: it finds the stage in the cache afterwards."""
    busy = frozenset[str]().union(*(shared_stages(job.config) for job in running))
    for config in pending:
        if not shared_stages(config) & busy:
            pending.remove(config)
            return config
    return None


def _start(config: RunConfig, out: Path, lifeline: tuple[Connection, Connection]) -> _Job:
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_run_one, args=(config, out, theirs, lifeline))
    process.start()
    theirs.close()
    return _Job(config, process, ours, time.monotonic())


def _run_one(config: RunConfig, out: Path, pipe: Connection, lifeline: tuple[Connection, Connection]) -> None:
    """Run one config in this process; the pipe carries its error, and closes without one if the process dies."""
    watched, held_by_parent = lifeline
    held_by_parent.close()
    threading.Thread(target=_die_with_parent, args=(watched,), daemon=True).start()
    try:
        execute(config, RunFolder(out / "runs" / run_name(config), config))
        pipe.send(None)
    except FedJTTError as error:
        pipe.send(str(error))


def _die_with_parent(watched: Connection) -> None:
    """End this process when the sweep's is gone, however it went: its end of the pipe closes even on kill -9."""
    wait([watched])
    os._exit(1)


def _error_of(job: _Job) -> str | None:
    job.process.join()
    try:
        error: str | None = job.pipe.recv()
    except EOFError:
        error = f"the process ended with exit code {job.process.exitcode} and said nothing more"
    job.pipe.close()
    return error
