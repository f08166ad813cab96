"""What sparsity costs and saves on a CPU: training with a mask that changes, and inference by sparse kernels."""

from functools import partial

import torch
from torch import Tensor, nn

from experiments.benchmarks.harness import Row, Setting, interleaved, medians_of, one_thread, ratios_of, timed
from fedjtt.data.grouped import GroupedDataset
from fedjtt.data.sampling import gather
from fedjtt.models import FlatModel, SizedModel, build_model
from fedjtt.seeding import numpy_generator
from fedjtt.sparse.density import live_counts
from fedjtt.sparse.kernels import compressed
from fedjtt.sparse.layout import Layout
from fedjtt.sparse.live import LiveWeights
from fedjtt.sparse.mask import Mask, changed, changing, first_mask
from fedjtt.training import Span, TrainSettings, gradient_of, train

TARGET = 1.1
BATCH, STEPS, QUICK_STEPS = 64, 200, 4
PERIOD, RATE = 100, 0.3
PASSES, QUICK_PASSES, IMAGES = 50, 2, 500
SHAPE, LABELS = (3, 28, 28), 10
SETTINGS = TrainSettings(learning_rate=0.01, momentum=0.9, weight_decay=0.001, averaging="ema", clip_norm=2.0)
TRAINED = {"LeNet": SizedModel("lenet"), "CMNIST CNN": SizedModel("cmnist-cnn", 0.25)}
JUDGED = {"MLP, 512 units": SizedModel("mlp", 4.0), "LeNet": SizedModel("lenet")}


def sparse_model(builder: SizedModel, density: float) -> tuple[FlatModel, Tensor]:
    """Return a network of which a share of the weights lives, and its mask."""
    model = build_model(builder, SHAPE, LABELS, torch.Generator().manual_seed(0))
    layout = Layout.of(model.module)
    counts = live_counts(layout.sparse, density, "erk")
    mask = torch.from_numpy(first_mask(layout, counts, numpy_generator(0, "benchmark/mask")))
    model.vector.mul_(mask)
    return model, mask


def images(count: int) -> GroupedDataset:
    """Return random images with random labels."""
    chance = torch.Generator().manual_seed(0)
    x = torch.randint(256, (count, *SHAPE), generator=chance).to(torch.uint8)
    label = torch.randint(LABELS, (count,), generator=chance)
    return GroupedDataset(x.contiguous(memory_format=torch.channels_last), label, None, torch.arange(count), LABELS, 1)


def steps_of(builder: SizedModel, masked: bool, steps: int, dataset: GroupedDataset) -> float:
    """Return the seconds of so many steps of training, with a mask also of its change in every period."""
    model, mask = sparse_model(builder, 0.05)
    batches = torch.arange(steps * BATCH).view(steps, BATCH) % len(dataset)

    def work() -> None:
        now, layout = mask.numpy(), Layout.of(model.module)
        for first in range(0, steps, PERIOD):
            span = Span(first, min(first + PERIOD, steps), steps)
            if masked:
                now = grown(model, layout, now, dataset, batches[first])
            live = LiveWeights(torch.from_numpy(now)) if masked else None
            train(model, dataset, batches[span.first : span.last], SETTINGS, span, live=live)

    return timed(work)


def grown(model: FlatModel, layout: Layout, mask: Mask, dataset: GroupedDataset, rows: Tensor) -> Mask:
    """Return a mask after a change by the gradient of a batch, of which the network then has the weights."""
    gradient = gradient_of(model, dataset, rows, None, rows)
    new = changed(layout, mask, model.vector.numpy(), gradient.numpy(), changing(layout, mask, RATE))
    model.vector.mul_(torch.from_numpy(new & mask))
    return new


def passes_of(module: nn.Module, passes: int, x: Tensor) -> float:
    """Return the seconds of so many evaluations of a batch."""

    @torch.no_grad()
    def work() -> None:
        for _ in range(passes):
            module(x)

    return timed(work)


def run(setting: Setting) -> list[Row]:
    """Measure both."""
    one_thread()
    dataset = images(2_000)
    steps, passes = (QUICK_STEPS, QUICK_PASSES) if setting.quick else (STEPS, PASSES)
    rows = []
    for name, builder in TRAINED.items():
        steps_of(builder, True, QUICK_STEPS, dataset)  # first calls are nobody's
        sides = [partial(steps_of, builder, masked, steps, dataset) for masked in (True, False)]
        figures = interleaved(sides, setting.pairs)
        ours, theirs = medians_of(figures)
        changes = f"a change in {PERIOD}"
        how = f"density .05, {steps} steps of {BATCH}, {changes}: {ours:.3f} s, without a mask {theirs:.3f} s"
        rows.append(Row(f"sparse step: {name}", ratios_of(figures, 0, 1), TARGET, how))
    x = gather(dataset.x, torch.arange(IMAGES))
    for name, builder in JUDGED.items():
        dense = sparse_model(builder, 0.01)[0].module.eval()
        small = compressed(dense)
        passes_of(small, QUICK_PASSES, x)
        figures = interleaved([partial(passes_of, module, passes, x) for module in (small, dense)], setting.pairs)
        ours, theirs = medians_of(figures)
        how = f"density .01, {passes} batches of {IMAGES}: {ours:.3f} s, with dense kernels {theirs:.3f} s"
        rows.append(Row(f"sparse inference: {name}", ratios_of(figures, 0, 1), None, how))
    return rows
