"""A run's folder: resolved config, environment, a line a round, result, weights and, last, a ``done`` marker.

Files are written beside and renamed into place: a reader never sees half a file, and a killed run leaves no result.
"""

import csv
import io
import json
import os
import platform
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedjtt import __version__
from fedjtt.config import NOT_IN_ID, RunConfig
from fedjtt.errors import ConfigError, FedJTTError, UserError, error_of

FAILURE_FILE = "failure.json"
PACKAGES = ("flwr", "torch", "torchvision", "numpy", "scikit-learn")


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file so that it is there in full or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    beside.write_bytes(content.encode() if isinstance(content, str) else content)
    beside.replace(path)


def environment() -> dict[str, Any]:
    """Return the versions that a result depends on; no path and no host name."""
    return {
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "fedjtt": __version__,  # a Flower App Bundle runs where fedjtt is not installed
        **{name: version(name) for name in PACKAGES},
    }


class RunFolder:
    """The folder of one run; also an observer that writes a line a round to ``metrics.jsonl``.

    Raises
    ------
    ConfigError
        Where the folder holds another config's results, or something else's files.
    """

    def __init__(self, path: Path, config: RunConfig) -> None:
        self.path = path
        self._config = config
        check_folder(path, config)

    def begin(self) -> None:
        """Write config and environment, and drop the rounds of an unfinished try.

        Under Flower both the launcher and the ServerApp call this: the second call finds nothing to drop.
        """
        for name in ("done", FAILURE_FILE):
            (self.path / name).unlink(missing_ok=True)
        write_atomically(self.path / "config.json", json.dumps(self._config.flat(), indent=2) + "\n")
        write_atomically(self.path / "environment.json", json.dumps(environment(), indent=2) + "\n")
        (self.path / "metrics.jsonl").write_text("")

    @contextmanager
    def begun(self) -> Iterator[None]:
        """Begin; where what follows finds something for the user to correct, a folder that was empty is gone again."""
        was_empty = not self.path.exists() or not any(self.path.iterdir())
        self.begin()
        try:
            yield
        except UserError:
            if was_empty:
                shutil.rmtree(self.path, ignore_errors=True)
            raise

    @property
    def done(self) -> bool:
        """Whether the run has finished."""
        return (self.path / "done").exists()

    def result(self) -> dict[str, Any]:
        """Return the finished run's result."""
        loaded: dict[str, Any] = json.loads((self.path / "result.json").read_text())
        return loaded

    def progress(self, stage: str, server_round: int, rounds: int, figures: Mapping[str, Any]) -> None:
        """Append a round to ``metrics.jsonl``; steps on the way, which have no figures, are not written."""
        if not figures:
            return
        line = {"stage": stage, "round": server_round, "rounds": rounds, **figures, "time": round(time.time(), 3)}
        with (self.path / "metrics.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")

    def finish(
        self, result: Mapping[str, Any], weights: NDArray[Any], ledger: Sequence[Mapping[str, Any]] = ()
    ) -> None:
        """Write result, weights and ledger, then the marker that says that all is there."""
        if ledger:
            text = io.StringIO()
            writer = csv.DictWriter(text, list(ledger[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(ledger)
            write_atomically(self.path / "ledger.csv", text.getvalue())
        beside = self.path / ".weights.npy.part"
        with beside.open("wb") as file:
            np.save(file, weights)
        beside.replace(self.path / "weights.npy")
        write_atomically(self.path / "result.json", json.dumps(result, indent=2) + "\n")
        write_atomically(self.path / "done", "")

    def fail(self, error: FedJTTError) -> None:
        """Write why the run ended, for a reader in another process."""
        failure = {"kind": type(error).__name__, "text": str(error)}
        write_atomically(self.path / FAILURE_FILE, json.dumps(failure, indent=2) + "\n")

    def failure(self) -> FedJTTError | None:
        """Return the error that the run ended with, if it did."""
        try:
            failure = json.loads((self.path / FAILURE_FILE).read_text())
        except FileNotFoundError:
            return None
        return error_of(failure["kind"], failure["text"])


def settings_of_run(path: Path) -> dict[str, Any]:
    """Return the settings with which the unfinished run in a folder goes on.

    Raises
    ------
    ConfigError
        Where the folder holds no run.
    """
    try:
        held: dict[str, Any] = json.loads((path / "config.json").read_text())
    except (OSError, ValueError):
        raise ConfigError(f"--resume {path}: there is no run of fedjtt (no readable config.json)") from None
    return {**held, "out": str(path), "on-restart": "resume"}


def check_folder(path: Path, config: RunConfig) -> None:
    """Refuse a folder that does not belong to this config; see :class:`RunFolder`."""
    for place in (path, *path.parents):
        if place.is_file():
            raise ConfigError(f"out is {path}, but {place} is a file; name a folder")
    if not path.is_dir() or not any(path.iterdir()):
        return
    try:
        held = json.loads((path / "config.json").read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        raise ConfigError(
            f"out is {path}, which holds files that are no run of fedjtt; name a new or empty folder"
        ) from None
    ours = config.flat()
    other = sorted(key for key in ours if key not in NOT_IN_ID and held.get(key) != ours[key])
    if other:
        shown = ", ".join(f"{key} {held.get(key)!r} there, {ours[key]!r} here" for key in other[:3])
        raise ConfigError(f"out is {path}, which holds another config's results ({shown}); name another folder")
