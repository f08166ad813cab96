"""A run's state on the server's disk, written after every round: a run that was killed goes on from it.

A checkpoint is a small list of states, each a file that is named by its content's SHA-256; a state that has not changed
is not written again. The list is renamed into place last, so that a kill at any moment leaves the one before whole.
"""

import hashlib
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedjtt.config import RunConfig
from fedjtt.errors import ConfigError, RunError
from fedjtt.tracking import write_atomically

FOLDER = "checkpoint"
State = Mapping[str, NDArray[Any]]
KEPT = 2


class Checkpoints:
    """The last checkpoints of one run.

    Parameters
    ----------
    folder : Path
        Made on the first save.
    run_id : str
        Of the config: a checkpoint of another one is refused.
    """

    def __init__(self, folder: Path, run_id: str) -> None:
        self.folder, self.run_id = folder, run_id
        self._hashes: dict[str, str] = {}
        self._number = self.number

    @property
    def number(self) -> int:
        """The number of the last checkpoint on the disk; 0: there is none."""
        lists = self._lists()
        return int(lists[-1].stem) if lists else 0

    @classmethod
    def of_run(cls, folder: Path, config: RunConfig) -> "Checkpoints":
        """Return the checkpoints of a run's folder; where ``on-restart`` is ``anew``, old ones are removed."""
        made = cls(folder / FOLDER, config.run_id)
        if config.on_restart == "anew":
            made.clear()
        return made

    def save(self, changed: Mapping[str, State]) -> None:
        """Write the states that have changed, then the list of all, then drop what is older than two lists."""
        for name, state in changed.items():
            content = _packed(state)
            self._hashes[name] = hashlib.sha256(content).hexdigest()
            path = self._path(self._hashes[name])
            if not path.exists():
                write_atomically(path, content)
        self._number += 1
        listed = {"run-id": self.run_id, "states": self._hashes}
        write_atomically(self.folder / f"{self._number:08d}.json", json.dumps(listed, indent=2) + "\n")
        self._drop_old()

    def load(self) -> tuple[dict[str, dict[str, NDArray[Any]]], list[str]]:
        """Return the states of the last good checkpoint by name (none: empty), and a line for every damaged one.

        Raises
        ------
        ConfigError
            Where the folder holds another run's checkpoints.
        RunError
            Where there are checkpoints, and all are damaged.
        """
        damaged = []
        for path in reversed(self._lists()):
            try:
                listed = json.loads(path.read_text())
                run_id, hashes = str(listed["run-id"]), dict(listed["states"])
                if run_id != self.run_id:
                    raise ConfigError(
                        f"{self.folder} holds checkpoints of run {run_id}, not of {self.run_id}; resume with the "
                        "config that they were made with, or name another folder"
                    )
                states = {name: self._read(digest) for name, digest in hashes.items()}
            except (ValueError, KeyError, TypeError, OSError) as error:
                damaged.append(f"checkpoint {path.name} is damaged ({type(error).__name__}: {error}) and was left out")
                continue
            self._hashes = hashes
            return states, damaged
        if damaged:
            raise RunError(
                f"no checkpoint in {self.folder} is whole ({damaged[0]}); start the run anew in a new folder"
            )
        return {}, []

    def clear(self) -> None:
        """Remove all checkpoints: the run is done."""
        if self.folder.is_dir():
            for path in self.folder.iterdir():
                path.unlink()
            self.folder.rmdir()

    def _lists(self) -> list[Path]:
        return sorted(path for path in self.folder.glob("*.json") if path.stem.isdigit())

    def _path(self, digest: str) -> Path:
        return self.folder / f"{digest}.npz"

    def _read(self, digest: str) -> dict[str, NDArray[Any]]:
        content = self._path(digest).read_bytes()
        if hashlib.sha256(content).hexdigest() != digest:
            raise ValueError("its content is not what was written")
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            return dict(archive)

    def _drop_old(self) -> None:
        lists = self._lists()
        used: set[str] = set()
        for path in lists[-KEPT:]:
            try:
                used |= set(json.loads(path.read_text())["states"].values())
            except (ValueError, KeyError):  # damaged: nothing can be told of it
                continue
        for path in lists[:-KEPT]:
            path.unlink(missing_ok=True)
        for path in self.folder.glob("*.npz"):
            if path.stem not in used:
                path.unlink(missing_ok=True)


def _packed(state: State) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **dict(state))
    return buffer.getvalue()
