"""Features in the place of a dataset's inputs: a tensor's manners, and nothing is read before it is asked for."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from fedjtt.data.feature_rows import FeatureRows
from fedjtt.data.grouped import GroupedDataset
from fedjtt.data.sampling import blank, gather

INDEX = np.array([4, 0, 2])


class Source:
    """Six rows of two features that tell where they are from."""

    shape = (6, 2)

    def __init__(self) -> None:
        self.asked: list[int] = []

    def read(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        self.asked += rows.tolist()
        return np.stack([rows, -rows], axis=1).astype(np.float32)


@pytest.fixture
def source() -> Source:
    return Source()


def test_it_has_a_tensors_shape_and_batches_are_features_as_they_are(source: Source) -> None:
    x = FeatureRows(source, INDEX)
    assert (len(x), x.shape, x.dim()) == (3, (3, 2), 2)
    assert gather(x, torch.tensor([2, 0, 2])).tolist() == [[2, -2], [4, -4], [2, -2]]
    assert gather(x, torch.tensor([1])).dtype == torch.float32
    assert blank(x).tolist() == [[0.0, 0.0]]


def test_taking_rows_reads_nothing(source: Source) -> None:
    label = torch.tensor([0, 1, 0])
    whole = GroupedDataset(FeatureRows(source, INDEX), label, None, torch.arange(3), 2, 1)
    part = whole.take([2, 1])
    assert source.asked == []
    assert gather(part.x, torch.tensor([0, 1])).tolist() == [[2, -2], [0, 0]]
