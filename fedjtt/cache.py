"""Results of finished stages on disk: a stage is a function of its key, so it is computed once."""

import json
import os
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedjtt.choices import DATA_KEYS

CACHE_VARIABLE = "FEDJTT_STAGE_CACHE"
STAGE_KEYS = (
    *DATA_KEYS, "train-on", "seed", "threads", "device", "model", "model-width", "model-depth", "pretrained",
    "features",
)  # fmt: skip
"""What every stage that trains depends on."""


class StageCache:
    """Arrays in one file a key, written beside and renamed into place: a killed run leaves no half file.

    Parameters
    ----------
    folder : Path
        Made on the first save.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def from_environment(cls) -> "StageCache | None":
        """Return the cache that FEDJTT_STAGE_CACHE names, or None: a machine may keep one on its own disk."""
        folder = os.environ.get(CACHE_VARIABLE)
        return cls(Path(folder)) if folder else None

    def load(self, key: str) -> dict[str, NDArray[Any]] | None:
        """Return what was saved under a key, or None. A damaged file counts as absent and is written anew."""
        path = self.folder / f"{key}.npz"
        try:
            with path.open("rb") as file, np.load(file) as archive:  # np.load(path) leaks a damaged file
                return dict(archive)
        except (FileNotFoundError, zipfile.BadZipFile, ValueError, EOFError):
            return None

    def save(self, key: str, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Save arrays under a key."""
        self.folder.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=self.folder, suffix=".part")
        with os.fdopen(handle, "wb") as file:
            np.savez(file, allow_pickle=False, **dict(arrays))
        Path(name).replace(self.folder / f"{key}.npz")


def pack_json(value: Any) -> NDArray[np.uint8]:
    """Return a JSON value as bytes in an array, to stand beside arrays in one file."""
    return np.frombuffer(json.dumps(value).encode(), dtype=np.uint8)


def unpack_json(array: NDArray[Any]) -> Any:
    """Return what :func:`pack_json` packed."""
    return json.loads(array.tobytes())
