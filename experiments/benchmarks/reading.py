"""Photographs: epochs from the cache against decoding each time, and the memory of an index of CelebA's size."""

import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from experiments.benchmarks.harness import Row, Setting, interleaved, medians_of, one_thread, ratios_of, timed
from fedjtt.data.feature_rows import Inputs
from fedjtt.data.grouped import Splits
from fedjtt.data.options import DataOptions
from fedjtt.data.sampling import gather, stored
from fedjtt.data.sources import load

Make = Callable[[Inputs, Tensor], Tensor]
CELEBA_ROWS, CELEBA_SIZE = 202_599, (178, 218)
PHOTOGRAPHS, QUICK_PHOTOGRAPHS = 400, 40
BATCH = 32
LIMIT_GB = 1.5
READ, QUICK_READ = 20_000, 2_000
SPLIT_EDGES = (0.8034, 0.9015)  # CelebA's shares of train, and of train and validation


def write_celeba(folder: Path, rows: int, files: int) -> None:
    """Write CelebA's lists for `rows` images, of which all but `files` are links to those."""
    place = folder / "celeba_v1.0"
    (place / "img_align_celeba").mkdir(parents=True)
    chance = np.random.default_rng(0)
    attributes, partition = ["image_id,Blond_Hair,Male" + ",Other" * 38], ["image_id,partition"]
    for row in range(rows):
        path = place / "img_align_celeba" / f"{row + 1:06}.jpg"
        if row < files:
            photograph(chance).save(path, quality=90)
        else:
            path.hardlink_to(place / "img_align_celeba" / f"{row % files + 1:06}.jpg")
        signs = [str(2 * int(row % 7 == 0) - 1), str(2 * (row % 2) - 1), *["-1"] * 38]
        attributes.append(",".join([path.name, *signs]))
        partition.append(f"{path.name},{sum(row >= edge * rows for edge in SPLIT_EDGES)}")
    (place / "list_attr_celeba.csv").write_text("\n".join(attributes) + "\n")
    (place / "list_eval_partition.csv").write_text("\n".join(partition) + "\n")


def photograph(chance: np.random.Generator) -> Image.Image:
    """Return an image of CelebA's size, smooth as photographs are, so that its file is about as long as one's."""
    width, height = CELEBA_SIZE
    coarse = Image.fromarray(chance.integers(0, 256, (height // 6, width // 6, 3), dtype=np.uint8))
    return coarse.resize(CELEBA_SIZE, Image.Resampling.BICUBIC)


def opened(folder: Path, cache: str, size: int = 224) -> Splits:
    """Return the dataset, its pixels kept in a folder or not at all."""
    return load(DataOptions("celeba", folder, 0, image_size=size, image_cache=cache))


def epoch(splits: Splits, make: Make = gather) -> None:
    """Make all batches of a shuffled pass over train: ready for a network or, by `stored`, as pixels."""
    order = torch.randperm(len(splits.train), generator=torch.Generator().manual_seed(1))
    for rows in torch.split(order, BATCH):
        make(splits.train.x, rows)


def speed(setting: Setting) -> list[Row]:
    """Measure epochs, kept and decoded anew: of pixels, and of batches, which both scale alike."""
    one_thread()
    folder = setting.scratch / "photographs"
    write_celeba(folder, *[QUICK_PHOTOGRAPHS if setting.quick else PHOTOGRAPHS] * 2)
    kept, anew = opened(folder, str(folder / "cache")), opened(folder, "none")
    first = timed(lambda: epoch(kept))
    rows = torch.arange(BATCH)
    same = torch.equal(gather(kept.train.x, rows), gather(anew.train.x, rows))
    problem = "" if same else "the cached images are not the decoded ones"
    found = []
    for name, make, target in (("reading", stored, 10.0), ("reading-batches", gather, None)):
        sides = [lambda make=make: timed(lambda: epoch(anew, make)), lambda make=make: timed(lambda: epoch(kept, make))]
        figures = interleaved(sides, setting.pairs)
        decoding, cached = medians_of(figures)
        how = (
            f"{len(kept.train)} images of 178 x 218 to {'uint8' if make is stored else 'float32'} batches of 224 px, "
            f"one thread; wall s of an epoch: decoded each time {decoding:.3f}, from the cache {cached:.3f} (the "
            f"first, which fills it, {first:.2f})"
        )
        found.append(Row(name, ratios_of(figures, 0, 1), target, how, at_least=True, problem=problem))
    return found


def peak_of_index(folder: Path, read: int) -> float:
    """Open CelebA's index in this process, make batches of `read` images twice, and return the peak memory in GB."""
    torch.set_num_threads(1)
    splits = opened(folder, str(folder / "cache"), 64)
    for _ in range(2):
        for rows in torch.split(torch.arange(min(read, len(splits.train))), BATCH):
            gather(splits.train.x, rows)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def memory(setting: Setting) -> Row:
    """Measure the peak of a process of its own, over the limit."""
    folder, read = setting.scratch / "index", QUICK_READ if setting.quick else READ
    rows = CELEBA_ROWS // (100 if setting.quick else 1)
    write_celeba(folder, rows, 200)
    code = f"from {__name__} import *; print(peak_of_index(Path({str(folder)!r}), {read}))"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    said = subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True)
    peak = float(said.stdout)
    how = (
        f"index of {rows:,} images (links), batches of {read:,} twice at 64 px; peak of the process {peak:.2f} GB of "
        f"{LIMIT_GB} GB"
    )
    return Row("reading-memory", (peak / LIMIT_GB,), 1.0, how)


def run(setting: Setting) -> list[Row]:
    """Measure both."""
    return [*speed(setting), memory(setting)]
