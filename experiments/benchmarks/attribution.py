"""Projected gradients of every example against the bare matrix products of a dense projection: LeNet, 2,048 columns."""

import time
from functools import partial

import torch

from experiments.benchmarks.harness import (
    Row,
    Setting,
    Side,
    interleaved,
    medians_of,
    one_thread,
    ratios_of,
    spuco_mnist,
)
from fedjtt.attribution.projection import Projection
from fedjtt.attribution.trak import TrakSettings, gram_of, projection_of
from fedjtt.data.grouped import GroupedDataset
from fedjtt.models import build_model
from fedjtt.seeding import torch_generator

TARGET = 1.5
EXAMPLES, QUICK_EXAMPLES = 4096, 512  # in chunks as all 48,004 would be


def bare(examples: int, parameters: int, width: int, chunk: int) -> float:
    """Return the CPU seconds of the products of random gradients, chunk by chunk, with a matrix of signs in float32."""
    draw = torch_generator(0, "benchmark")
    found = torch.randn(chunk, parameters, generator=draw)
    signs = torch.randint(0, 2, (parameters, width), generator=draw).float().mul_(2).sub_(1)
    start = time.process_time()
    for _ in range(-(-examples // chunk)):
        found @ signs
    return time.process_time() - start


def features(projection: Projection, data: GroupedDataset, rows: torch.Tensor) -> float:
    """Return the CPU seconds of all examples' features, signs drawn included."""
    start = time.process_time()
    for x, label in projection.gradients.chunks(data, rows):
        projection.features(x, label)
    return time.process_time() - start


def kernel(projection: Projection, data: GroupedDataset, rows: torch.Tensor) -> float:
    """Return the CPU seconds of features and of the kernel between them."""
    start = time.process_time()
    gram_of(projection, "trak", data, rows)
    return time.process_time() - start


def run(setting: Setting) -> list[Row]:
    """Measure both projections."""
    one_thread()
    examples = QUICK_EXAMPLES if setting.quick else EXAMPLES
    data = spuco_mnist(setting.data_dir, examples).train
    rows, shape = torch.arange(len(data)), tuple(data.x.shape[1:])
    model = build_model("lenet", shape, data.num_labels, torch_generator(0, "weights"))

    def made(kind: str) -> Projection:
        return projection_of(TrakSettings(projection=kind), model, torch.zeros(1, *shape))

    dense = made("dense")
    size, width, chunk = dense.gradients.size, dense.width, dense.gradients.chunk
    sides: list[Side] = [
        partial(bare, len(data), size, width, chunk),
        lambda: features(made("dense"), data, rows),
        lambda: features(made("factored"), data, rows),
        lambda: kernel(made("factored"), data, rows),
    ]
    features(made("factored"), data, rows[:64])  # torch's first calls are nobody's
    figures = interleaved(sides, setting.pairs)
    seconds = medians_of(figures)
    named = ("dense projection", "factored projection", "factored projection and kernel")
    return [
        Row(
            f"attribution: {name}",
            ratios_of(figures, place, 0),
            TARGET,
            f"{len(data)} examples, LeNet's {size} weights to {width}: {seconds[place]:.2f} s against "
            f"{seconds[0]:.2f} s of bare products",
        )
        for place, name in enumerate(named, start=1)
    ]
