"""Rows that are made once: by what they are made from, in chunks, and said where what is kept is damaged."""

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from fedjtt.data.row_file import Purpose, RowFile, Rows
from fedjtt.errors import DataError

SHAPE, ROW = (10, 3), 12
WHOLE = np.arange(30, dtype=np.float32).reshape(SHAPE)
ALL = np.arange(10)
PURPOSE = Purpose("numbers", "number-cache", smaller=", or fewer", without=", or none")


def opened(folder: Path, stamps: NDArray[np.uint32] | None = None) -> RowFile:
    given = np.zeros(10, np.uint32) if stamps is None else stamps
    return RowFile(folder / "deep" / "numbers", SHAPE, np.float32, given, PURPOSE)


@pytest.fixture
def made() -> list[list[int]]:
    """What was asked to be made, call by call."""
    return []


@pytest.fixture
def make(made: list[list[int]]) -> Callable[[Rows], NDArray[np.float32]]:
    def making(rows: Rows) -> NDArray[np.float32]:
        made.append(rows.tolist())
        return WHOLE[rows]

    return making


def test_a_row_is_made_once_and_in_chunks(
    tmp_path: Path, made: list[list[int]], make: Callable[[Rows], NDArray[np.float32]]
) -> None:
    rows = opened(tmp_path)
    asked = np.array([7, 2, 7, 4, 0])
    np.testing.assert_array_equal(rows.read(asked, make, chunk=3), WHOLE[asked])
    assert made == [[0, 2, 4], [7]]
    np.testing.assert_array_equal(opened(tmp_path).read(ALL, make), WHOLE)
    assert sorted(row for call in made[2:] for row in call) == [1, 3, 5, 6, 8, 9]
    np.testing.assert_array_equal(rows.read(ALL, make), WHOLE)  # what another process wrote
    assert len(made) == 8


def test_another_stamp_is_another_row(
    tmp_path: Path, made: list[list[int]], make: Callable[[Rows], NDArray[np.float32]]
) -> None:
    opened(tmp_path).read(ALL, make)
    made.clear()
    opened(tmp_path, np.array([0, 0, 5, 0, 0, 0, 0, 0, 0, 9], np.uint32)).read(ALL, make, chunk=10)
    assert made == [[2, 9]]


@pytest.mark.parametrize("place", [4 * ROW + 1, 10 * ROW + 4 * 4])  # a byte of row 4, and one of its mark
def test_what_is_damaged_is_made_again_with_a_line(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    made: list[list[int]],
    make: Callable[[Rows], NDArray[np.float32]],
    place: int,
) -> None:
    rows = opened(tmp_path)
    rows.read(ALL, make)
    content = bytearray(rows.path.read_bytes())
    content[place] ^= 8
    rows.path.write_bytes(content)
    made.clear()
    with caplog.at_level(logging.WARNING):
        np.testing.assert_array_equal(opened(tmp_path).read(ALL, make), WHOLE)
    assert made == [[4]]
    assert caplog.messages == [f"{rows.path}: 1 rows are damaged, or of what has been replaced; they are made again"]


def test_rows_that_nobody_wrote_are_no_damage(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, make: Callable[[Rows], NDArray[np.float32]]
) -> None:
    with caplog.at_level(logging.WARNING):
        opened(tmp_path).read(ALL, make)
    assert caplog.messages == []


def test_what_cannot_be_made_stays_open(tmp_path: Path, make: Callable[[Rows], NDArray[np.float32]]) -> None:
    def broken(rows: Rows) -> NDArray[np.float32]:
        raise DataError(f"row {rows[0]}")

    rows = opened(tmp_path)
    with pytest.raises(DataError, match="row 3"):
        rows.read(np.array([3]), broken)
    np.testing.assert_array_equal(rows.read(ALL, make), WHOLE)


def test_errors_say_what_it_is_for(tmp_path: Path) -> None:
    (tmp_path / "deep").write_text("")
    with pytest.raises(DataError, match=r"numbers cannot be kept in .*; name another folder as number-cache, or none"):
        opened(tmp_path)
