"""What a source of data is asked for."""

import os
from dataclasses import dataclass
from pathlib import Path

from fedjtt.data.recipes import PUBLISHED_SIZE
from fedjtt.data.spurious import CORNERS, DIFFICULTIES
from fedjtt.errors import ConfigError, nearest

DATA_VARIABLE = "FEDJTT_DATA"
NO_CACHE = "none"
"""The value of ``image-cache`` that keeps nothing."""


def folder_of_names(data_dir: str) -> Path:
    """Return the folder that files' names start from: data-dir, FEDJTT_DATA or the current one."""
    return Path(data_dir or os.environ.get(DATA_VARIABLE, ""))


def cache_dir() -> Path:
    """Return where files are put and looked for when no data-dir is given: ``fedjtt`` in the user's cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fedjtt"


@dataclass(frozen=True)
class DataOptions:
    """One dataset, down to the last bit. What is about painting means nothing for a table.

    Attributes
    ----------
    dataset : str
        A name in :data:`fedjtt.data.sources.SOURCES`.
    data_dir : Path or None
        Where the files are: the folder that holds ``MNIST/raw``, ``adult``, ``sick`` or another dataset's folder.
        None: fedjtt's own folder in the user's cache.
    download : bool
        Whether files that are missing may be downloaded.
    difficulty : str
        Where the colour is painted, a name in :data:`fedjtt.data.spurious.DIFFICULTIES`.
    corner : str
        The corner of the painted box, ``top-left`` (the public generator) or ``top-right``.
    spurious_strength : float
        Share of each label's train examples that get the label's own colour, in (0, 1].
    class_imbalance : float
        Train examples of the first label over those of the last, from 1; 1: as many as there are.
    label_noise, core_noise : float
        Shares of the train examples with a wrong label and with a damaged digit, in [0, 1].
    image_size : int
        Side in pixels of photographs.
    image_cache : str
        Folder of decoded photographs; empty: in fedjtt's own; ``none``: they are not kept.
    max_length : int
        Tokens of a text that are read.
    text_model : str
        The pretrained model whose tokenizer cuts texts, a folder or a name; empty: words are hashed.
    seed : int
        The run's seed; the data depends on it and never on the method.
    """

    dataset: str
    data_dir: Path | None
    seed: int
    download: bool = False
    difficulty: str = "large"
    corner: str = "top-right"
    spurious_strength: float = 1.0
    class_imbalance: float = 1.0
    label_noise: float = 0.0
    core_noise: float = 0.0
    image_size: int = PUBLISHED_SIZE
    image_cache: str = ""
    max_length: int = 0
    text_model: str = ""

    @property
    def root(self) -> Path:
        """The folder that holds the datasets' files and folders."""
        return self.data_dir if self.data_dir is not None else cache_dir()

    def __post_init__(self) -> None:
        """Refuse unknown names and shares that are none."""
        for name, value, allowed in (
            ("difficulty", self.difficulty, DIFFICULTIES),
            ("corner", self.corner, CORNERS),
        ):
            if value not in allowed:
                raise ConfigError(f"{name} is {value!r}; allowed are {', '.join(allowed)}{nearest(value, allowed)}")
        if not 0 < self.spurious_strength <= 1:
            raise ConfigError(f"spurious-strength is {self.spurious_strength}; give a number above 0 and at most 1")
        if self.image_size < 1:
            raise ConfigError(f"image-size is {self.image_size}; give a whole number of pixels from 1")
        if not self.class_imbalance >= 1:
            raise ConfigError(f"class-imbalance is {self.class_imbalance}; give a number from 1")
        for name, share in (("label-noise", self.label_noise), ("core-noise", self.core_noise)):
            if not 0 <= share <= 1:
                raise ConfigError(f"{name} is {share}; give a number from 0 to 1")
