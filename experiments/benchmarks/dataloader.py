"""The training loop against the loop that one usually finds: a torchvision-like dataset, a DataLoader, torch.optim."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from experiments.benchmarks.data_path import BATCH, SETTINGS, Epoch, fresh_lenet
from experiments.benchmarks.harness import (
    Row,
    Setting,
    channels_last,
    interleaved,
    medians_of,
    one_thread,
    ratios_of,
    spuco_mnist,
    timed,
)
from fedjtt.data.grouped import GroupedDataset

SAMPLES = 12_000


class Pictures(Dataset[tuple[Tensor, int]]):
    """Images as torchvision's datasets give them: uint8 rows, made a picture and a tensor one by one."""

    def __init__(self, images: NDArray[np.uint8], labels: list[int]) -> None:
        from torchvision import transforms

        self._images, self._labels, self._transform = images, labels, transforms.ToTensor()

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self._labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        """Return an image as torchvision.datasets.CIFAR10 does: by way of PIL."""
        from PIL import Image

        picture: Tensor = self._transform(Image.fromarray(self._images[index]))
        return picture, self._labels[index]


def usual_epoch(pictures: Pictures, dataset: GroupedDataset) -> None:
    """Train for one shuffled pass in the usual way."""
    module = fresh_lenet(dataset).module
    optimiser = torch.optim.SGD(
        module.parameters(), SETTINGS.learning_rate, SETTINGS.momentum, weight_decay=SETTINGS.weight_decay
    )
    loader = DataLoader(pictures, BATCH, shuffle=True, num_workers=0, generator=torch.Generator().manual_seed(1))
    module.train()
    for x, label in loader:
        optimiser.zero_grad()
        loss = functional.cross_entropy(module(x), label)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()


def run(setting: Setting) -> list[Row]:
    """Measure the ratio."""
    one_thread()
    dataset = spuco_mnist(setting.data_dir, 2_000 if setting.quick else SAMPLES).train
    pictures = Pictures(channels_last(dataset).numpy(), dataset.label.tolist())
    small = spuco_mnist(setting.data_dir, 400).train
    usual_epoch(Pictures(channels_last(small).numpy(), small.label.tolist()), small)
    sides = [lambda: timed(lambda: Epoch(dataset).advance()), lambda: timed(lambda: usual_epoch(pictures, dataset))]
    figures = interleaved(sides, setting.pairs)
    ours, theirs = medians_of(figures)
    how = (
        f"LeNet, {len(dataset):,} samples, batch {BATCH}, one thread; wall s: fedjtt.training.train {ours:.2f}, "
        f"DataLoader(num_workers=0) over PIL and ToTensor with torch.optim.SGD {theirs:.2f}"
    )
    return [Row("dataloader", ratios_of(figures, 0, 1), None, how)]
