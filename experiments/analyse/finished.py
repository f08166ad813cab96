"""The finished runs that an analysis is asked about: found, read and checked before anything is computed."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from experiments.explain import read_run
from experiments.results import Result, read_names, run_folders
from fedjtt.choices import DATA_KEYS
from fedjtt.config import RunConfig
from fedjtt.data.grouped import Splits
from fedjtt.errors import ConfigError, DataError, FedJTTError
from fedjtt.methods.base import Array
from fedjtt.models import FlatModel, build_model, digest
from fedjtt.provide import placed
from fedjtt.workspace import builder_of

OF_THE_DATA = (*DATA_KEYS, "train-on", "schema-file", "host-files")
"""Keys that say which data a run is about, whatever its seed."""


@dataclass(frozen=True)
class FinishedRun:
    """A finished run; `config` is its own, on a device that is here."""

    folder: Path
    result: Result
    config: RunConfig

    def weights(self) -> Array:
        """Return the selected model's weights.

        Raises
        ------
        DataError
            Where they are not there, or are not those that the result speaks of.
        """
        path = self.folder / "weights.npy"
        try:
            held: Array = np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise DataError(f"{path} cannot be read ({error}); repeat the run") from None
        if held.dtype != np.float32 or digest(torch.from_numpy(held)) != self.result["digest"]:
            raise DataError(f"{path} is not the model that result.json speaks of; repeat the run")
        return held

    def model(self, splits: Splits) -> FlatModel:
        """Return the selected model itself, over the run's data."""
        shape = tuple(splits.train.x.shape[1:])
        model = build_model(builder_of(self.config), shape, splits.train.num_labels, None, self.config.device)
        model.load(torch.from_numpy(self.weights()))
        return model


def finished_runs(folders: Sequence[Path], data_dir: Path | None = None) -> list[FinishedRun]:
    """Return the runs in folders of runs and of sweeps, each once, in the order of the folders.

    Parameters
    ----------
    data_dir : Path or None
        Where the data is now; None: where it was.

    Raises
    ------
    ConfigError
        Where a folder is none of these, a run has not finished, or the runs are not about the same data.
    """
    found: dict[str, FinishedRun] = {}
    for folder in folders:
        for path in _runs_in(folder):
            result, _ = read_run(path)
            for name in ("run-id", "digest"):
                if name not in result:
                    raise DataError(f"{path / 'result.json'} is no result of a run: it lacks {name}")
            found.setdefault(str(result["run-id"]), FinishedRun(path, result, _config_of(path, result, data_dir)))
    runs = list(found.values())
    _same_data(runs)
    return runs


def names_of(folders: Sequence[Path]) -> dict[str, dict[str, object]]:
    """Return what the tables of the sweeps' files call their values."""
    return {name: values for folder in folders for name, values in read_names(folder).items()}


def _runs_in(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise ConfigError(f"{folder} is not a folder; name one that 'fedjtt run' or 'fedjtt sweep' wrote")
    if (folder / "config.json").is_file() and not (folder / "done").is_file():
        raise ConfigError(f"{folder} holds a run that has not finished; repeat its command, and it will")
    return run_folders(folder)


def _config_of(folder: Path, result: Result, data_dir: Path | None) -> RunConfig:
    there = {"data-dir": str(data_dir)} if data_dir is not None else {}
    device = "cpu" if result["config"].get("device", "cpu") == "cpu" else "auto"  # the GPU is needed no more
    try:
        return placed(RunConfig.parse({**result["config"], "download": False, "device": device, **there}))
    except FedJTTError as error:
        raise ConfigError(f"{folder}: {error}") from None


def _same_data(runs: Sequence[FinishedRun]) -> None:
    first = runs[0]
    for run in runs[1:]:
        one, other = first.config.flat(), run.config.flat()
        for key in OF_THE_DATA:
            if one[key] != other[key]:
                raise ConfigError(
                    f"{key} is {one[key]!r} in {first.folder} and {other[key]!r} in {run.folder}; analyse runs on the "
                    "same data together, others on their own"
                )
