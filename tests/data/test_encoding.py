"""Columns as inputs: against closed forms, and the same on every host however the rows are spread."""

from functools import reduce
from itertools import permutations
from operator import add

import numpy as np
import pytest
import torch
from sklearn.preprocessing import StandardScaler

from fedjtt.data.encoding import Encoding, encode, encode_splits, input_names
from fedjtt.data.host_table import TEST, TRAIN, VALIDATION, HostTable
from fedjtt.data.moments import Moments, moments_of
from fedjtt.errors import DataError
from tests.data.own_data import schema_of, table_of

NAN = float("nan")


def encoding_of(*tables: HostTable) -> Encoding:
    return Encoding.from_moments(reduce(add, map(moments_of, tables)))


def numbers_with_gaps(seed: int, rows: int = 240, shift: float = 0.0) -> np.ndarray:
    chance = np.random.default_rng(seed)
    numbers = chance.normal(0, [1.0, 30.0], (rows, 2)) + shift
    numbers[chance.random((rows, 2)) < 0.25] = np.nan
    return numbers


def test_an_encoding_by_hand() -> None:
    """age: 1, 3 -> mean 2, std 1, nothing missing; chol: 10, missing -> mean 10, constant, a mark; pain: one of 3."""
    table = table_of([[1.0, 10.0], [3.0, NAN]], categorical=[[2], [-1]])
    encoding = encoding_of(table)
    assert encoding.mean.tolist() == [2.0, 10.0]
    assert encoding.std.tolist() == [1.0, 1.0]
    assert encoding.has_missing.tolist() == [False, True]
    assert encoding.categories == (3,)
    assert encoding.width == 2 + 1 + 4
    names = ("age", "chol", "chol missing", "pain = none", "pain = some", "pain = much", "pain missing")
    assert input_names(table.schema, encoding) == names
    encoded = encode(table, encoding)
    assert encoded.x.tolist() == [[-1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0], [1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]]
    assert encoded.x.dtype == torch.float32
    assert encoded.id.tolist() == [0, 1]
    assert (encoded.num_labels, encoded.num_attributes) == (2, 2)
    assert encoded.group_counts().tolist() == [1, 0, 1, 0]


def test_as_scikit_learns_scaler() -> None:
    numbers = numbers_with_gaps(0, shift=50.0)
    table = table_of(numbers)
    encoding = encoding_of(table)
    oracle = StandardScaler().fit(numbers)  # passes over missing numbers; divides by n
    np.testing.assert_allclose(encoding.mean, oracle.mean_, rtol=1e-13)
    np.testing.assert_allclose(encoding.std, oracle.scale_, rtol=1e-12)
    expected = np.nan_to_num(oracle.transform(numbers)).astype(np.float32)
    np.testing.assert_allclose(encode(table, encoding).x[:, :2].numpy(), expected, atol=1e-6)
    np.testing.assert_array_equal(encode(table, encoding).x[:, 2:4].numpy(), np.isnan(numbers))


@pytest.mark.parametrize("shift", [0.0, 2000.0, 1e6, -1e9])
@pytest.mark.parametrize("seed", range(5))
def test_however_the_rows_are_spread_and_in_any_order_the_encoding_is_the_pooled_one(seed: int, shift: float) -> None:
    """Also where the mean is 1e9 standard deviations: plain float64 sums would have lost the variance altogether."""
    chance = np.random.default_rng(100 + seed)
    numbers = numbers_with_gaps(seed, shift=shift)
    table = table_of(numbers, categorical=chance.integers(-1, 3, (len(numbers), 1)))
    pooled = encoding_of(table)
    np.testing.assert_allclose(pooled.mean, np.nanmean(numbers, axis=0), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(pooled.std, np.nanstd(numbers - shift, axis=0), rtol=1e-12)
    owner = chance.integers(0, 4, len(numbers))
    hosts = [table.take(owner == host) for host in range(4)]
    for order in permutations(hosts):
        spread = encoding_of(*order)
        np.testing.assert_array_equal(spread.mean, pooled.mean)  # not close: equal
        np.testing.assert_array_equal(spread.std, pooled.std)
        np.testing.assert_array_equal(spread.has_missing, pooled.has_missing)
        assert spread.categories == pooled.categories
    together = torch.cat([encode(host, encoding_of(*hosts)).x for host in hosts])
    rows = torch.from_numpy(np.concatenate([host.row for host in hosts])).argsort()
    assert torch.equal(together[rows], encode(table, pooled).x)


@pytest.mark.parametrize("value", [0.0, 0.1, 1e-9, 123456.789, -1e50])
def test_a_constant_column_has_standard_deviation_1(value: float) -> None:
    """Spread over hosts of many sizes: no sum of roundings may look like a spread."""
    hosts = [table_of(np.full((rows, 2), value)) for rows in (1, 3, 7, 1000)]
    encoding = encoding_of(*hosts)
    assert encoding.std.tolist() == [1.0, 1.0]
    np.testing.assert_allclose(encoding.mean, value, rtol=1e-15)
    assert encode(hosts[1], encoding).x[:, :2].abs().max() < 1e-6 * max(1.0, abs(value) * 1e-9)


def test_a_small_spread_about_a_large_mean_is_a_spread() -> None:
    """1e9 + (-1, 1): variance exactly 1."""
    encoding = encoding_of(table_of([[1e9 - 1, 0.0], [1e9 + 1, 1.0]]))
    assert encoding.mean.tolist() == [1e9, 0.5]
    assert encoding.std.tolist() == [1.0, 0.5]


def test_a_column_that_nobody_has_is_0_with_a_mark() -> None:
    table = table_of([[1.0, NAN], [2.0, NAN]])
    encoding = encoding_of(table)
    assert (encoding.mean[1], encoding.std[1]) == (0.0, 1.0)
    assert encode(table, encoding).x[:, 1:3].tolist() == [[0.0, 1.0], [0.0, 1.0]]


def test_a_mark_stands_on_all_hosts_when_one_misses_a_number() -> None:
    full, gap = table_of([[1.0, 2.0], [3.0, 4.0]]), table_of([[5.0, NAN]])
    encoding = encoding_of(full, gap)
    assert encode(full, encoding).x.shape[1] == encode(gap, encoding).x.shape[1] == encoding.width == 7
    assert encode(full, encoding).x[:, 2].tolist() == [0.0, 0.0]
    assert encode(gap, encoding).x[:, 2].tolist() == [1.0]


def test_what_is_missing_in_test_rows_only_is_the_mean_without_a_mark() -> None:
    table = table_of([[1.0, 2.0], [3.0, 4.0], [NAN, 3.0]], split=[TRAIN, TRAIN, TEST])
    splits = encode_splits(table, encoding_of(table))
    assert splits.test.x.shape == (1, 6)
    assert splits.test.x[0, :2].tolist() == [0.0, 0.0]


def test_splits_are_encoded_by_the_train_rows_and_keep_their_names() -> None:
    table = table_of([[0.0, 0.0], [2.0, 2.0], [10.0, 10.0]], split=[TRAIN, TRAIN, VALIDATION])
    splits = encode_splits(table, encoding_of(table))
    assert [part.id.tolist() for part in (splits.train, splits.validation, splits.test)] == [[0, 1], [2], []]
    assert splits.validation.x[0, 0] == 9.0  # (10 - 1) / 1
    assert splits.test.x.shape == (0, 6)
    assert splits.label_names == ("target <= 0", "target > 0")
    assert splits.attribute_names == ("0", "1")


def test_without_an_attribute_there_are_no_groups() -> None:
    schema = schema_of(attribute=None, attributes=None)
    with_one = table_of([[0.0, 0.0], [1.0, 1.0]], schema=schema)
    table = HostTable(**{**with_one.__dict__, "attribute": None})
    splits = encode_splits(table, encoding_of(table))
    assert splits.train.attribute is None
    assert splits.train.num_attributes == 1
    assert splits.attribute_names == ("unknown",)
    with pytest.raises(DataError, match="no attribute"):
        splits.train.group_counts()


def test_no_train_row_anywhere() -> None:
    with pytest.raises(DataError, match="no host has a train row"):
        encoding_of(table_of([[1.0, 2.0]], split=[TEST]))


def test_an_encoding_of_another_schema_is_refused() -> None:
    table = table_of([[1.0, 2.0], [2.0, 3.0]])
    other = table_of([[1.0, 2.0]], schema=schema_of(categorical={"pain": ["none", "some"]}))
    with pytest.raises(DataError, match=r"categories of \[3\] values, the schema 2 and \[2\]; .*the same schema"):
        encode(other, encoding_of(table))


def test_a_number_that_no_input_can_hold_is_named() -> None:
    table = table_of([[0.0, 0.0], [1.0, 1.0], [0.0, 1e80]], split=[TRAIN, TRAIN, TEST])
    with pytest.raises(DataError, match=r"host\.csv, row 4, column 'chol': 1e\+80 is too far from the mean"):
        encode(table, encoding_of(table))


def test_moments_say_everything_that_an_encoding_needs() -> None:
    """It can be computed where there is no row: at the server."""
    moments = Moments(
        4,
        np.array([2]),
        np.array([[4.0, 0.0, 0.0]]),
        np.array([[10.0, 0.0, 0.0]]),
        (np.array([1, 2, 1]), np.array([4, 0, 0, 0])),
    )
    encoding = Encoding.from_moments(moments)
    assert (encoding.mean[0], encoding.std[0]) == (2.0, 1.0)  # 10 / 2 - 4 = 1
    assert encoding.categories == (2, 3)
    assert encoding.width == 1 + 1 + 3 + 4
