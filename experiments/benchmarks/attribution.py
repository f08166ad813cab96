"""Projected gradients against bare matrix products, and whole scores against those of ``traker``, on LeNet."""

import logging
import tempfile
import time
from functools import partial
from importlib.util import find_spec

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
from fedjtt.attribution.kernel import solve
from fedjtt.attribution.projection import Projection
from fedjtt.attribution.trak import TrakSettings, gram_of, influences, projection_of, target_sums
from fedjtt.data.grouped import GroupedDataset
from fedjtt.data.sampling import blank, gather
from fedjtt.models import FlatModel, build_model
from fedjtt.seeding import torch_generator

TARGET, TRAKER_TARGET = 1.5, 0.5
EXAMPLES, QUICK_EXAMPLES = 4096, 512  # in chunks as all 48,004 would be
TARGETS, BATCH = 256, 512
RIDGE = 0.1
ALIKE = 0.8
"""Least correlation of two sets of scores that are of the same examples: each side draws a projection of its own."""


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


class Scores:
    """Scores of train examples for the mean of some targets, by us and by the TRAK authors' package."""

    def __init__(self, model: FlatModel, train: GroupedDataset, targets: GroupedDataset) -> None:
        self.model, self.train, self.targets = model, train, targets
        self.found: dict[str, torch.Tensor] = {}
        self.ridge = 0.0

    def ours(self, kind: str) -> float:
        """Return our CPU seconds."""
        start = time.process_time()
        rows, others = torch.arange(len(self.train)), torch.arange(len(self.targets))
        settings = TrakSettings(projection=kind, ridge=RIDGE)
        projection = projection_of(settings, self.model, blank(self.train.x))
        kernel = gram_of(projection, "trak", self.train, rows)
        sums, _ = target_sums(projection, self.targets, others, torch.zeros_like(others), 1)
        self.found[kind] = influences([projection], [solve(kernel, sums, RIDGE)], self.train, rows)[:, 0]
        self.ridge = RIDGE * float(kernel.diagonal().mean())
        return time.process_time() - start

    def theirs(self) -> float:
        """Return the package's CPU seconds, in float32; it draws its projection anew for every batch."""
        from trak import TRAKer

        start = time.process_time()
        with tempfile.TemporaryDirectory() as folder:
            trak = TRAKer(
                self.model.module, "image_classification", len(self.train), save_dir=folder, device="cpu",
                use_half_precision=False, proj_dim=2048, lambda_reg=self.ridge, logging_level=logging.ERROR,
            )  # fmt: skip
            state = self.model.module.state_dict()
            trak.load_checkpoint(state, model_id=0)
            for batch in _batches(self.train):
                trak.featurize(batch, num_samples=len(batch[1]))
            trak.finalize_features()
            trak.start_scoring_checkpoint("targets", state, model_id=0, num_targets=len(self.targets))
            for batch in _batches(self.targets):
                trak.score(batch, num_samples=len(batch[1]))
            self.found["traker"] = torch.from_numpy(trak.finalize_scores("targets").sum(axis=1)).double()
        return time.process_time() - start

    def alike(self, kind: str) -> float:
        """Return the correlation of our scores with the package's."""
        return float(torch.corrcoef(torch.stack([self.found[kind], self.found["traker"]]))[0, 1])

    def problem(self, kind: str) -> str:
        """Say that the scores are not of the same examples, if so."""
        return "" if self.alike(kind) >= ALIKE else "the two sets of scores are not alike"


def _batches(data: GroupedDataset) -> list[tuple[torch.Tensor, torch.Tensor]]:
    parts = torch.split(torch.arange(len(data)), BATCH)
    return [(gather(data.x, part), data.label[part]) for part in parts]


def run(setting: Setting) -> list[Row]:
    """Measure both projections, alone and up to scores."""
    if find_spec("trak") is None:
        raise SystemExit("traker is not installed, and scores are held against its own; install fedjtt[test]")
    one_thread()
    splits = spuco_mnist(setting.data_dir, QUICK_EXAMPLES if setting.quick else EXAMPLES)
    train = splits.train
    model = build_model("lenet", tuple(train.x.shape[1:]), train.num_labels, torch_generator(0, "weights"))
    targets = splits.validation.take(torch.arange(TARGETS))
    return [*_projected(model, train, setting.pairs), *_scored(Scores(model, train, targets), setting.pairs)]


def _projected(model: FlatModel, data: GroupedDataset, pairs: int) -> list[Row]:
    rows = torch.arange(len(data))

    def made(kind: str) -> Projection:
        return projection_of(TrakSettings(projection=kind), model, blank(data.x))

    dense = made("dense")
    size, width, chunk = dense.gradients.size, dense.width, dense.gradients.chunk
    sides: list[Side] = [
        partial(bare, len(data), size, width, chunk),
        lambda: features(made("dense"), data, rows),
        lambda: features(made("factored"), data, rows),
        lambda: kernel(made("factored"), data, rows),
    ]
    features(made("factored"), data, rows[:64])  # torch's first calls are nobody's
    figures = interleaved(sides, pairs)
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


def _scored(scores: Scores, pairs: int) -> list[Row]:
    kinds = ("factored", "dense")
    figures = interleaved([*(partial(scores.ours, kind) for kind in kinds), scores.theirs], pairs)
    seconds = medians_of(figures)
    return [
        Row(
            f"attribution: scores, {kind}, against traker",
            ratios_of(figures, place, len(kinds)),
            TRAKER_TARGET,
            f"{len(scores.train)} examples on {len(scores.targets)}: {seconds[place]:.2f} s against traker's "
            f"{seconds[-1]:.2f} s; the scores correlate {scores.alike(kind):.2f}",
            problem=scores.problem(kind),
        )
        for place, kind in enumerate(kinds)
    ]
