"""ResNet-50 on photographs of 224 pixels: our training loop against a bare one in torch, in images a second.

Where there is no GPU a few small images go through it on the CPU: that both sides run and compute the same is all that
such a ratio says.
"""

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from experiments.benchmarks.harness import Row, Setting, interleaved, medians_of, one_thread
from fedjtt.data.grouped import GroupedDataset
from fedjtt.data.sampling import shuffled_passes
from fedjtt.models import FlatModel
from fedjtt.provide import fast_layout
from fedjtt.training import Span, TrainSettings, train

LABELS, TARGET = 2, 0.95
RATE, MOMENTUM, DECAY = 1e-3, 0.9, 1e-4
TOLERANCE = 0.02


@dataclass(frozen=True)
class Size:
    """How much is trained, where, and in what precision."""

    device: str
    precision: str
    side: int
    batch: int
    steps: int

    @property
    def images(self) -> int:
        """Images that are drawn from: a few batches."""
        return 8 * self.batch


Loop = Callable[[nn.Module, GroupedDataset, Tensor, Size], float]
ON_GPU = Size("cuda", "bfloat16", 224, 64, 60)
ON_CPU = Size("cpu", "float32", 64, 8, 2)


def resnet50() -> nn.Module:
    """Return torchvision's network; its batch norms keep no running statistics, which no training step reads."""
    from torchvision.models import resnet50 as build

    module: nn.Module = build(num_classes=LABELS, norm_layer=partial(nn.BatchNorm2d, track_running_stats=False))
    return module


def photographs(size: Size) -> GroupedDataset:
    """Return random pixels, as photographs that are in memory."""
    chance = torch.Generator().manual_seed(0)
    x = torch.randint(0, 256, (size.images, 3, size.side, size.side), dtype=torch.uint8, generator=chance)
    label = torch.arange(size.images) % LABELS
    return fast_layout(GroupedDataset(x, label, None, torch.arange(size.images), LABELS, 1))


def ours(module: nn.Module, data: GroupedDataset, batches: Tensor, size: Size) -> float:
    """Train with the project's own loop; return the mean loss."""
    settings = TrainSettings(RATE, MOMENTUM, DECAY, precision=size.precision)
    model = FlatModel(copy.deepcopy(module).to(size.device))
    return train(model, data, batches, settings, Span(0, len(batches), len(batches))).mean_loss


def bare(module: nn.Module, data: GroupedDataset, batches: Tensor, size: Size) -> float:
    """Train as one writes it down in torch; return the mean loss, which is asked for once, at the end."""
    own = copy.deepcopy(module).to(size.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = torch.optim.SGD(own.parameters(), RATE, MOMENTUM, weight_decay=DECAY)
    assert isinstance(data.x, Tensor)
    pixels, total = data.x.permute(0, 2, 3, 1), torch.zeros((), device=size.device)
    own.train()
    for rows in batches:
        x = pixels[rows].to(size.device).permute(0, 3, 1, 2).float().div_(255)
        label = data.label[rows].to(size.device)
        optimiser.zero_grad()
        with torch.autocast(size.device, torch.bfloat16, enabled=size.precision == "bfloat16"):
            loss = functional.cross_entropy(own(x), label)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        total += loss.detach()
    return float(total) / len(batches)


def run(setting: Setting) -> list[Row]:
    """Measure the ratio, on the GPU where there is one."""
    found = torch.cuda.is_available()
    size = ON_GPU if found else ON_CPU
    if not found:
        one_thread()
    module, data = resnet50(), photographs(size)
    steps = 2 if setting.quick else size.steps
    copies = torch.ones(size.images, dtype=torch.int64)
    batches = shuffled_passes(copies, size.batch, steps, torch.Generator().manual_seed(1))
    losses = {side: side(module, data, batches[:2], size) for side in (ours, bare)}  # warms up, too
    apart = abs(losses[ours] / losses[bare] - 1)

    def speed(side: Loop) -> float:
        start = time.perf_counter()
        side(module, data, batches, size)  # ends with a loss that is read, and so with the GPU's work done
        return batches.numel() / (time.perf_counter() - start)

    figures = interleaved([lambda: speed(ours), lambda: speed(bare)], setting.pairs)
    mine, theirs = medians_of(figures)
    where = torch.cuda.get_device_name() if found else "the CPU, one thread, small images: NOT a GPU's figure"
    how = (
        f"ResNet-50 on {where}; {size.side} px, batch {size.batch}, {steps} steps, {size.precision}; images/s: "
        f"fedjtt.training.train {mine:.1f}, bare loop {theirs:.1f}"
    )
    problem = "" if apart < TOLERANCE else f"the mean losses are {apart:.1%} apart"
    name = "gpu" if found else "gpu (on the CPU)"
    ratios = tuple(one / other for one, other in figures)
    return [Row(name, ratios, TARGET if found else None, how, at_least=True, problem=problem)]
