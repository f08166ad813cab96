"""What the way of the data into the batches costs: an epoch against the same steps on one batch that lies ready."""

import torch
from torch.nn import functional

from experiments.benchmarks.harness import (
    Row,
    Setting,
    interleaved,
    medians_of,
    one_thread,
    ratios_of,
    spuco_mnist,
    timed,
)
from fedjtt.data.grouped import GroupedDataset
from fedjtt.data.sampling import gather, shuffled_passes
from fedjtt.models import FlatModel, build_model
from fedjtt.optimisers import MomentumSGD
from fedjtt.training import Span, TrainSettings, train

BATCH = 32
SLICES = 10
SETTINGS = TrainSettings(learning_rate=0.01, momentum=0.9, weight_decay=0.001)


def fresh_lenet(dataset: GroupedDataset) -> FlatModel:
    """Return the same network every time."""
    shape = tuple(dataset.x.shape[1:])
    return build_model("lenet", shape, dataset.num_labels, torch.Generator().manual_seed(0))


class Epoch:
    """One shuffled pass with the project's own loop, a slice at a time."""

    def __init__(self, dataset: GroupedDataset, slices: int = 1) -> None:
        self._dataset, self._model = dataset, fresh_lenet(dataset)
        self.steps = -(-len(dataset) // BATCH)
        copies = torch.ones(len(dataset), dtype=torch.int64)
        batches = shuffled_passes(copies, BATCH, self.steps, torch.Generator().manual_seed(1))
        self._slices = list(batches.tensor_split(slices))
        self._first = 0

    def advance(self) -> None:
        """Train on the next slice."""
        batches = self._slices.pop(0)
        last = self._first + len(batches)
        train(self._model, self._dataset, batches, SETTINGS, Span(self._first, last, self.steps))
        self._first = last


class OneBatch:
    """Steps with the same optimiser on a batch that was made before."""

    def __init__(self, dataset: GroupedDataset) -> None:
        self._model = fresh_lenet(dataset)
        rows = torch.arange(BATCH)
        self._x, self._label = gather(dataset.x, rows), dataset.label[rows]

    def advance(self, steps: int) -> None:
        """Take some steps."""
        model = self._model
        optimiser = MomentumSGD(model.vector, SETTINGS.momentum, SETTINGS.weight_decay)
        model.module.train()
        for _ in range(steps):
            model.gradient.zero_()
            loss = functional.cross_entropy(model.module(self._x), self._label)
            loss.backward()  # type: ignore[no-untyped-call]
            float(loss.detach())
            optimiser.step(model.gradient, SETTINGS.learning_rate)


def one_pair(dataset: GroupedDataset) -> tuple[float, float]:
    """Return the seconds of an epoch and of as many steps on one batch, run in alternating slices.

    The two differ by less than this machine does from one second to the next.
    """
    epoch, one_batch = Epoch(dataset, SLICES), OneBatch(dataset)
    steps = epoch.steps // SLICES
    sides = [lambda: timed(epoch.advance), lambda: timed(lambda: one_batch.advance(steps))]
    ours, theirs = zip(*interleaved(sides, SLICES), strict=True)
    return sum(ours), sum(theirs) * epoch.steps / (steps * SLICES)


def run(setting: Setting) -> list[Row]:
    """Measure the ratio."""
    one_thread()
    dataset = spuco_mnist(setting.data_dir, 4_000 if setting.quick else None).train
    OneBatch(dataset).advance(20)  # first calls are nobody's
    figures = [one_pair(dataset) for _ in range(setting.pairs)]
    ours, theirs = medians_of(figures)
    how = (
        f"LeNet, {len(dataset):,} samples, batch {BATCH}, one thread; wall s: an epoch {ours:.2f}, as many steps on "
        f"one fixed batch {theirs:.2f}; both in {SLICES} alternating slices"
    )
    return [Row("data-path", ratios_of(figures, 0, 1), 1.05, how)]
