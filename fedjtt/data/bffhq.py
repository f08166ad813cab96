"""BFFHQ: young or old faces, of which nearly all the young are women and nearly all the old men.

Kim et al., "BiaSwap" (2021), in the folders that Lee et al., "Learning Debiased Representation" (2021), publish, for
those who have them in ``bffhq`` of the data-dir: train images in ``0.5pct/align/LABEL`` and ``0.5pct/conflict/LABEL``
(``1pct``, ``2pct``, ``5pct`` where more conflict; ``spurious-strength`` says which), others in ``valid`` and ``test``,
each named ``NUMBER_LABEL_ATTRIBUTE.png``. Test has all images; what is published is the accuracy on conflicting ones.
"""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from fedjtt.data.grouped import GroupedDataset, Splits
from fedjtt.data.options import DataOptions
from fedjtt.data.spurious import noisy_labels
from fedjtt.errors import ConfigError, DataError
from fedjtt.seeding import numpy_generator

LABEL_NAMES, ATTRIBUTE_NAMES = ("young", "old"), ("women", "men")
TRAIN_FOLDERS = {0.995: "0.5pct", 0.99: "1pct", 0.98: "2pct", 0.95: "5pct"}
"""Folders of train images by the share that is aligned."""

SIDE = 128
"""Height and width of the published images; others are resized to it."""

_NAME = re.compile(r"[^_]+_([01])_([01])\.png", re.IGNORECASE)
_HELP = "set --data-dir or FEDJTT_DATA to the folder that holds bffhq"


def load_bffhq(options: DataOptions) -> Splits:
    """Return BFFHQ; an example's id is the place of its file among the part's, by name.

    Raises
    ------
    ConfigError
        For a ``spurious-strength`` that is not published.
    DataError
        A folder is missing or empty, or an image badly named or damaged; the text names it and says what to do.
    """
    if options.spurious_strength not in TRAIN_FOLDERS:
        allowed = ", ".join(f"{share:g}" for share in TRAIN_FOLDERS)
        raise ConfigError(f"spurious-strength is {options.spurious_strength:g}; bffhq is published with {allowed}")
    root = options.root / "bffhq"
    train = root / TRAIN_FOLDERS[options.spurious_strength]
    chance = numpy_generator(options.seed, "data/bffhq/train/label-noise")
    return Splits(
        train=_part((train / "align", train / "conflict"), "*/*", options.label_noise, chance),
        validation=_part((root / "valid",), "*", 0.0, chance),
        test=_part((root / "test",), "*", 0.0, chance),
        label_names=LABEL_NAMES,
        attribute_names=ATTRIBUTE_NAMES,
    )


def _part(folders: Sequence[Path], pattern: str, noise: float, chance: np.random.Generator) -> GroupedDataset:
    paths = [path for folder in folders for path in _images(folder, pattern)]
    codes = torch.tensor([_codes(path) for path in paths], dtype=torch.int64)
    label = noisy_labels(codes[:, 0], len(LABEL_NAMES), noise, chance)
    return GroupedDataset(_pixels(paths), label, codes[:, 1].clone(), torch.arange(len(paths)), 2, 2)


def _images(folder: Path, pattern: str) -> list[Path]:
    found = sorted(path for path in folder.glob(pattern) if path.suffix.lower() == ".png")
    if not found:
        raise DataError(f"BFFHQ's folder {folder} {'has no images' if folder.is_dir() else 'is missing'}; {_HELP}")
    return found


def _codes(path: Path) -> tuple[int, int]:
    named = _NAME.fullmatch(path.name)
    if named is None:
        raise DataError(f"BFFHQ's file {path} is not named NUMBER_LABEL_ATTRIBUTE.png; take it away or rename it")
    return int(named[1]), int(named[2])


def _pixels(paths: Sequence[Path]) -> Tensor:
    """Return uint8 ``[n, 3, 128, 128]``, one image read after the other into the layout that training wants."""
    rows = np.empty((len(paths), SIDE, SIDE, 3), dtype=np.uint8)  # a gigabyte of train images: no second copy
    for place, path in enumerate(paths):
        try:
            with Image.open(path) as image:
                rows[place] = np.asarray(image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BILINEAR))
        except (OSError, SyntaxError, ValueError) as error:
            raise DataError(f"BFFHQ's file {path} is damaged ({error}); {_HELP}") from None
    return torch.from_numpy(rows).permute(0, 3, 1, 2)
