"""Images that are read when a batch is made are, to whoever makes one, a tensor of the same images, standardised."""

import numpy as np
import pytest
import torch

from fedjtt.data.grouped import GroupedDataset
from fedjtt.data.image_files import Pixels
from fedjtt.data.image_rows import ImageRows
from fedjtt.data.recipes import IMAGENET_MEAN, IMAGENET_STD
from fedjtt.data.sampling import gather, stored

PIXELS = np.random.default_rng(0).integers(0, 256, (7, 5, 4, 3), dtype=np.uint8)
INDEX = np.array([6, 0, 2, 3])


class Source:
    """Pixels in memory, which notes what was asked for."""

    shape = (7, 5, 4, 3)

    def __init__(self) -> None:
        self.asked: list[int] = []

    def read(self, rows: np.ndarray) -> Pixels:
        self.asked += rows.tolist()
        return PIXELS[rows]


@pytest.fixture
def x() -> ImageRows:
    return ImageRows(Source(), INDEX, IMAGENET_MEAN, IMAGENET_STD)


def test_it_has_a_tensors_shape_and_stores_channels_last(x: ImageRows) -> None:
    expected = torch.from_numpy(PIXELS[INDEX]).permute(0, 3, 1, 2)
    assert (len(x), x.dim(), x.shape) == (4, 4, tuple(expected.shape))
    rows = torch.tensor([3, 0, 0])
    assert torch.equal(stored(x, rows), expected[rows])
    assert stored(x, rows).is_contiguous(memory_format=torch.channels_last)
    assert x.source.asked == [3, 6, 6] * 2  # type: ignore[attr-defined]


def test_a_batch_is_standardised_channel_by_channel(x: ImageRows) -> None:
    batch = gather(x, torch.tensor([1, 2]))
    assert batch.dtype == torch.float32
    for channel, (mean, std) in enumerate(zip(IMAGENET_MEAN, IMAGENET_STD, strict=True)):
        expected = (PIXELS[[0, 2], :, :, channel] / 255 - mean) / std
        np.testing.assert_allclose(batch[:, channel], expected, atol=2e-6)
    assert batch.is_contiguous(memory_format=torch.channels_last)
    assert gather(x, torch.tensor([], dtype=torch.int64)).shape == (0, 3, 5, 4)


def test_taking_rows_reads_nothing(x: ImageRows) -> None:
    dataset = GroupedDataset(x, torch.zeros(4).long(), None, torch.arange(4), 2, 1)
    some = dataset.take([1, 3])
    assert x.source.asked == []  # type: ignore[attr-defined]
    rows = torch.arange(2)
    assert torch.equal(gather(some.x, rows), gather(x, torch.tensor([1, 3])))
