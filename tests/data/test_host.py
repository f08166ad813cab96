"""A host: its ids, what it may tell, and the encoding that it keeps."""

import numpy as np
import torch

from fedjtt.data.encoding import Encoding
from fedjtt.data.grouped import GroupedDataset, Splits
from fedjtt.data.host import ROWS, ImageHost, TableHost, empty_splits, example_name, numbered
from fedjtt.data.moments import moments_of
from tests.data.own_data import table_of


def test_ids_name_host_and_row() -> None:
    table = table_of([[1.0, 2.0], [3.0, 5.0], [4.0, 4.0]])
    splits = TableHost(table, 3).encoded(Encoding.from_moments(moments_of(table)))
    assert splits.train.id.tolist() == [3 * 2**32, 3 * 2**32 + 1, 3 * 2**32 + 2]
    assert splits.train.id.dtype == torch.int64
    assert [example_name(each) for each in splits.train.id.tolist()] == ["3:0", "3:1", "3:2"]
    assert example_name(ROWS - 1) == f"0:{ROWS - 1}"


def test_the_last_encoding_is_kept() -> None:
    table = table_of([[1.0, 2.0], [3.0, 5.0]])
    host, encoding = TableHost(table, 0), Encoding.from_moments(moments_of(table))
    first = host.encoded(encoding)
    assert host.encoded(Encoding.from_moments(moments_of(table))) is first
    other = Encoding(encoding.mean + 1, encoding.std, encoding.has_missing, encoding.categories)
    assert not torch.equal(host.encoded(other).train.x, first.train.x)


def test_sums_over_few_rows_are_left_out() -> None:
    table = table_of([[1.0, np.nan], [3.0, 5.0], [4.0, np.nan]])
    host = TableHost(table, 0)
    assert host.moments(1).present.tolist() == [3, 1]
    assert host.moments(2).present.tolist() == [3, 0]
    assert host.moments(4).present.tolist() == [0, 0]
    assert host.moments(4).count == 3


def test_images_are_as_they_are() -> None:
    x, zeros = torch.zeros((2, 3, 4, 5), dtype=torch.uint8), torch.zeros(2, dtype=torch.int64)
    part = GroupedDataset(x, zeros, None, torch.arange(2), 2, 1)
    host = ImageHost(Splits(part, part, part, ("a", "b"), ("unknown",)), "00" * 32, 1)
    assert host.form.shape == (3, 4, 5)
    assert (host.form.labels, host.form.attributes) == (2, 0)
    encoding = Encoding.from_moments(host.moments(5))
    assert encoding.width == 0
    assert host.encoded(encoding).train.id.tolist() == [ROWS, ROWS + 1]
    assert host.encoded(encoding).train.x is x


def test_nothing_has_the_right_sizes() -> None:
    nothing = empty_splits((7,), 3, 2, images=False)
    assert nothing.train.x.shape == (0, 7)
    assert (nothing.train.num_labels, nothing.train.num_attributes) == (3, 2)
    assert empty_splits((1,), 2, 0, images=True).train.attribute is None
    assert len(numbered(nothing, 5).test) == 0
