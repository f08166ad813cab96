"""Sums over hosts: what they are, that they add up whatever the order, and how precise they are."""

from fractions import Fraction
from functools import reduce
from operator import add
from pathlib import Path

import numpy as np
import pytest

from fedjtt.data.host_schema import Schema
from fedjtt.data.host_table import TEST, TRAIN, HostTable, read_table
from fedjtt.data.moments import Moments, below_min_count, moments_of
from fedjtt.errors import DataError
from tests.data.own_data import schema_of, table_of, write


def exact(parts: np.ndarray) -> list[Fraction]:
    return [sum(map(Fraction, each), Fraction()) for each in parts.tolist()]


def test_moments_by_hand(tmp_path: Path) -> None:
    rows = ("0,1,train,63,2,none", "1,0,train,?,4,much", "1,1,train,41,NA,?", "1,1,test,1000,1000,some")
    moments = moments_of(read_table(write(tmp_path, *rows), schema_of()))
    assert moments.count == 3  # the test row is not looked at
    assert moments.present.tolist() == [2, 2]
    assert moments.total.tolist() == [[104.0, 0.0, 0.0], [6.0, 0.0, 0.0]]
    assert moments.squares.tolist() == [[63.0**2 + 41.0**2, 0.0, 0.0], [20.0, 0.0, 0.0]]
    assert [counts.tolist() for counts in moments.categories] == [[1, 0, 1, 1]]


@pytest.mark.parametrize("scale", [1.0, 1e-8, 1e8, 1e90])
@pytest.mark.parametrize("shift", [0.0, 2000.0, -1e9])
def test_sums_are_exact_to_a_hundred_and_fifty_bits(scale: float, shift: float) -> None:
    """The oracle adds and squares fractions."""
    numbers = (np.random.default_rng(0).normal(0, 5, (300, 2)) + shift) * scale
    moments = moments_of(table_of(numbers))
    for column in range(2):
        fractions = [Fraction(number) for number in numbers[:, column].tolist()]
        for parts, expected in ((moments.total, sum(fractions)), (moments.squares, sum(x * x for x in fractions))):
            assert abs(exact(parts)[column] - expected) <= abs(expected) * Fraction(1, 2**150)
            # The value alone is the sum rounded once, and the rest is below half a unit in its last place.
            assert parts[column, 0] == float(expected)
            assert abs(parts[column, 1]) <= np.spacing(abs(parts[column, 0]))


def test_one_host_is_the_pooled_one_and_the_order_does_not_matter() -> None:
    chance = np.random.default_rng(1)
    numbers = chance.normal(2000, 5, (200, 2))
    numbers[chance.random((200, 2)) < 0.3] = np.nan
    table = table_of(numbers, categorical=chance.integers(-1, 3, (200, 1)))
    pooled = moments_of(table)
    for hosts in (2, 3, 7):
        owner = chance.integers(0, hosts, 200)
        told = [moments_of(table.take(owner == host)) for host in range(hosts)]
        for order in (told, told[::-1]):
            assert_close(reduce(add, order), pooled)


def assert_close(one: Moments, two: Moments) -> None:
    assert one.count == two.count
    np.testing.assert_array_equal(one.present, two.present)
    for a, b in zip(one.categories, two.categories, strict=True):
        np.testing.assert_array_equal(a, b)
    for parts, others in ((one.total, two.total), (one.squares, two.squares)):
        for a, b in zip(exact(parts), exact(others), strict=True):
            assert abs(a - b) <= abs(b) * Fraction(1, 2**150)


def test_a_host_without_train_rows_adds_nothing() -> None:
    some, none = table_of([[1.0, 2.0], [3.0, np.nan]]), table_of([[5.0, 6.0]], split=[TEST])
    assert_close(moments_of(some) + moments_of(none), moments_of(some))
    assert moments_of(none).count == 0
    assert moments_of(none).categories[0].tolist() == [0, 0, 0, 0]


def test_moments_without_columns() -> None:
    schema = schema_of(numeric=None)
    table = HostTable(
        "t",
        schema,
        np.zeros((2, 0)),
        np.array([[0], [-1]]),
        np.zeros(2, int),
        None,
        np.full(2, TRAIN),
        np.arange(2),
        np.arange(2) + 2,
    )
    moments = moments_of(table) + moments_of(table)
    assert moments.total.shape == moments.squares.shape == (0, 3)
    assert moments.categories[0].tolist() == [2, 0, 0, 2]


def test_moments_of_another_schema_do_not_add_up() -> None:
    one = moments_of(table_of([[1.0, 2.0]]))
    other = Moments(1, one.present[:1], one.total[:1], one.squares[:1], one.categories)
    with pytest.raises(DataError, match=r"2 numeric columns .* do not fit those of 1 .*the same schema"):
        one + other
    fewer = Moments(1, one.present, one.total, one.squares, (one.categories[0][:2],))
    with pytest.raises(DataError, match="the same schema"):
        one + fewer


def rows_with(age: int, chol: int) -> tuple[Moments, Schema]:
    numbers = np.full((10, 2), np.nan)
    numbers[:age, 0], numbers[:chol, 1] = 1.0, 2.0
    table = table_of(numbers)
    return moments_of(table), table.schema


@pytest.mark.parametrize(
    ("age", "chol", "below"),
    [(10, 10, {}), (5, 5, {}), (4, 5, {"age": 4}), (1, 4, {"age": 1, "chol": 4}), (0, 10, {}), (0, 1, {"chol": 1})],
)
def test_sums_over_few_numbers_are_named(age: int, chol: int, below: dict[str, int]) -> None:
    """A sum over nothing is 0 and tells nothing."""
    assert below_min_count(*rows_with(age, chol), 5) == below


def test_what_is_withheld_counts_as_missing() -> None:
    moments, schema = rows_with(age=3, chol=9)
    told = moments.without(below_min_count(moments, schema, 5), schema)
    assert told.present.tolist() == [0, 9]
    assert told.count == 10
    assert told.total.tolist() == [[0.0, 0.0, 0.0], [18.0, 0.0, 0.0]]
    assert told.squares.tolist() == [[0.0, 0.0, 0.0], [36.0, 0.0, 0.0]]
    assert below_min_count(told, schema, 5) == {}
    assert_close(moments.without((), schema), moments)
