"""What the benchmarks share: both sides side by side, medians of their ratios, and the data they run on."""

import os
import statistics
import struct
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from fedjtt.config import RunConfig
from fedjtt.data.grouped import GroupedDataset, Splits
from fedjtt.data.options import DATA_VARIABLE
from fedjtt.data.sampling import stored
from fedjtt.provide import fast_layout, splits_of

Side = Callable[[], float]
IMAGES = {"train": 60_000, "t10k": 10_000}


@dataclass(frozen=True)
class Setting:
    """How the benchmarks of one call are run.

    Attributes
    ----------
    pairs : int
        Times that both sides are run.
    quick : bool
        A fraction of the work: to see that a benchmark runs, not to quote its ratio.
    data_dir : Path
        Folder with MNIST's files, or with random ones of the same shape.
    scratch : Path
        Folder for the runs' results; removed afterwards.
    """

    pairs: int
    quick: bool
    data_dir: Path
    scratch: Path


@dataclass(frozen=True)
class Row:
    """A line of the table.

    Attributes
    ----------
    ratios : tuple of float
        One a pair.
    target : float or None
        What the median is held against: an upper bound, or a lower one where `at_least`. None: only reported.
    how : str
        How both sides were run, and their medians.
    problem : str
        Why the ratio means nothing, if so: the two sides did not compute the same. Empty: nothing is wrong.
    """

    name: str
    ratios: tuple[float, ...]
    target: float | None
    how: str
    at_least: bool = False
    problem: str = ""

    @property
    def ratio(self) -> float:
        """The median."""
        return statistics.median(self.ratios)

    @property
    def verdict(self) -> str:
        """``met``, ``MISSED``, ``INVALID`` or, without a target, ``reported``."""
        if self.problem:
            return "INVALID"
        if self.target is None:
            return "reported"
        good = self.ratio >= self.target if self.at_least else self.ratio <= self.target
        return "met" if good else "MISSED"


def interleaved(sides: Sequence[Side], pairs: int) -> list[tuple[float, ...]]:
    """Run all sides `pairs` times and return their figures, pair by pair, in the sides' order.

    Every other pair runs backwards: what slows down with time, or with what ran just before, hits all sides alike.
    """
    figures = []
    for pair in range(pairs):
        order = range(len(sides)) if pair % 2 == 0 else range(len(sides) - 1, -1, -1)
        done = {index: sides[index]() for index in order}
        figures.append(tuple(done[index] for index in range(len(sides))))
    return figures


def ratios_of(figures: Sequence[tuple[float, ...]], ours: int, theirs: int) -> tuple[float, ...]:
    """Return `ours` / `theirs` of every pair; both are positions in a pair."""
    return tuple(pair[ours] / pair[theirs] for pair in figures)


def medians_of(figures: Sequence[tuple[float, ...]]) -> tuple[float, ...]:
    """Return each side's median over the pairs."""
    return tuple(statistics.median(column) for column in zip(*figures, strict=True))


def timed(work: Callable[[], object]) -> float:
    """Return the wall seconds of some work."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def one_thread() -> None:
    """Set this process up as the engine sets up a machine: one thread, denormals flushed."""
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)


def images_folder(scratch: Path) -> tuple[Path, str]:
    """Return FEDJTT_DATA if it holds MNIST, or a folder with random images of the same shape, and which it is."""
    named = os.environ.get(DATA_VARIABLE)
    if named and (Path(named) / "MNIST" / "raw" / "train-images-idx3-ubyte").exists():
        return Path(named), "MNIST"
    raw = scratch / "random" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    chance = np.random.default_rng(0)
    for part, count in IMAGES.items():
        images = chance.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        digits = chance.permutation(np.arange(count) % 10).astype(np.uint8)
        image_header, label_header = struct.pack(">4I", 0x803, count, 28, 28), struct.pack(">2I", 0x801, count)
        (raw / f"{part}-images-idx3-ubyte").write_bytes(image_header + images.tobytes())
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(label_header + digits.tobytes())
    return raw.parents[1], f"random images in MNIST's shape ({DATA_VARIABLE} names no folder with MNIST)"


def channels_last(dataset: GroupedDataset) -> Tensor:
    """Return a dataset's images in memory, ``[n, height, width, channels]``."""
    return stored(dataset.x, torch.arange(len(dataset))).permute(0, 2, 3, 1).contiguous()


@lru_cache(maxsize=2)
def spuco_mnist(data_dir: Path, rows: int | None = None) -> Splits:
    """Return SpuCoMNIST in memory, or the first `rows` examples of every split."""
    splits = splits_of(RunConfig.parse({"dataset": "spuco-mnist", "data-dir": str(data_dir)}))
    if rows is None:
        return splits
    return replace(
        splits,
        train=_first(splits.train, rows),
        validation=_first(splits.validation, rows),
        test=_first(splits.test, rows),
    )


def _first(dataset: GroupedDataset, rows: int) -> GroupedDataset:
    return fast_layout(dataset.take(torch.arange(min(rows, len(dataset)))))
