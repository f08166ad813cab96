"""Cells of a host's file in the schema's words, and draws of splits."""

import math
from pathlib import Path

import numpy as np
import pytest

from fedjtt.data.host_file import HostFile, drawn_split, split_of
from fedjtt.data.host_format import HostFormat
from fedjtt.data.host_schema import Coded
from fedjtt.errors import ConfigError, DataError
from tests.data.own_data import write

GERMAN = HostFormat(columns={"age": "Alter", "sex": "G"}, delimiter=";", decimal=",", values={"sex": {"w": "0"}})
SEX = Coded("sex", ("0", "1"), ("women", "men"))


def opened(path: Path, host: HostFormat | None = None) -> HostFile:
    return HostFile(path, host or HostFormat(), ("age", "sex"), lambda column, value: value in ("", "?"))  # noqa: ARG005


def refusal(path: Path, column: str, host: HostFormat | None = None) -> str:
    file = opened(path, host)
    with pytest.raises(DataError) as caught:
        file.number(0, column) if column == "age" else file.coded(0, SEX)
    assert "\n" not in str(caught.value)
    return str(caught.value).removeprefix(str(path))


def test_numbers_and_codes_in_the_schemas_notation(tmp_path: Path) -> None:
    file = opened(write(tmp_path, "63.0,1.0", ".7,0", "?,", header="age,sex"))
    assert [file.number(row, "age") for row in range(2)] == [63.0, 0.7]
    assert math.isnan(file.number(2, "age"))
    assert [file.coded(row, SEX) for row in range(3)] == [1, 0, -1]
    assert len(file) == 3


def test_another_header_notation_and_vocabulary(tmp_path: Path) -> None:
    file = opened(write(tmp_path, "w;63,5", "1,0;?", header="G;Alter"), GERMAN)
    assert file.number(0, "age") == 63.5
    assert [file.coded(row, SEX) for row in range(2)] == [0, 1]
    assert file.text(0, "sex") == "w"


@pytest.mark.parametrize(
    ("cell", "hint"),
    [
        ("old", "'old' is not a number; write one such as 63 or 0.7, or ? where it is not known"),
        ("63y", "'63y' is not a number"),
        ("inf", "'inf' is infinite"),
        ("-Infinity", "'-Infinity' is infinite"),
        ("1e999", "'1e999' is infinite or beyond 1e+100"),
        ("-2e100", "'-2e100' is infinite or beyond 1e+100"),
    ],
)
def test_what_is_no_finite_number_is_refused(tmp_path: Path, cell: str, hint: str) -> None:
    said = refusal(write(tmp_path, f"{cell},1", header="age,sex"), "age")
    assert said.startswith(f", row 2, column 'age': {hint}")


def test_a_point_in_a_file_with_a_decimal_comma_is_refused(tmp_path: Path) -> None:
    said = refusal(write(tmp_path, "1.234;w", header="Alter;G"), "age", GERMAN)
    assert said.startswith(", row 2, column 'Alter' (for 'age'): '1.234' is not a number; write one such as 63 or 0,7")


def test_a_value_that_the_schema_does_not_list_is_refused(tmp_path: Path) -> None:
    said = refusal(write(tmp_path, "1,2", header="age,sex"), "sex")
    assert said == (
        ", row 2, column 'sex': unknown value '2'; allowed are 0, 1; correct it, or translate it under [values.sex]"
    )


def test_an_unknown_text_comes_with_the_nearest(tmp_path: Path) -> None:
    file = opened(write(tmp_path, "1,femle", header="age,sex"))
    with pytest.raises(DataError, match="unknown value 'femle'; did you mean 'female'"):
        file.coded(0, Coded("sex", ("female", "male"), ("f", "m")))


def test_what_is_required_must_be_there(tmp_path: Path) -> None:
    file = opened(write(tmp_path, "1,?", header="age,sex"))
    with pytest.raises(DataError, match="row 2, column 'sex': the label is missing; allowed are 0, 1; fill it in"):
        file.required(0, SEX, "label")


def test_a_format_must_fit_the_columns(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="names 'agee'"):
        opened(write(tmp_path, "1,0", header="age,sex"), HostFormat(columns={"agee": "X1"}))


def test_ids_are_there_and_unique(tmp_path: Path) -> None:
    file = opened(write(tmp_path, "7,0", "07,0", "7,1", "?,1", header="age,sex"))
    check = file.unique("age")
    check(0)
    check(1)  # another text is another id
    with pytest.raises(DataError, match="row 4, column 'age': id '7' stands in row 2 already"):
        check(2)
    with pytest.raises(DataError, match="row 5, column 'age': the id is missing"):
        check(3)


def test_drawn_splits_meet_their_shares_and_depend_on_every_argument() -> None:
    shares = (0.6, 0.3, 0.1)
    drawn = np.array([drawn_split(row, shares, 0, 0) for row in range(4000)])
    # The share of each split is binomial: within four standard deviations of sqrt(p (1 - p) / n).
    for split, share in enumerate(shares):
        assert abs((drawn == split).mean() - share) < 4 * math.sqrt(share * (1 - share) / 4000)
    for seed, machine in ((1, 0), (0, 1)):
        other = np.array([drawn_split(row, shares, seed, machine) for row in range(400)])
        assert (other != drawn[:400]).any()
    assert [drawn_split(row, shares, 0, 0) for row in range(100)] == drawn[:100].tolist()


def test_a_share_of_nothing_gets_nothing() -> None:
    assert {drawn_split(row, (1.0, 0.0, 0.0), 0, 0) for row in range(1000)} == {0}
    assert {drawn_split(row, (0.5, 0.0, 0.5), 0, 0) for row in range(1000)} == {0, 2}


def test_a_column_says_the_split_where_there_is_one(tmp_path: Path) -> None:
    file = opened(write(tmp_path, "test,0", "train,0", "tset,0", header="age,sex"))
    split = Coded("age", ("train", "validation", "test"), ("train", "validation", "test"))
    assert [split_of(file, row, split, None, 0, 0) for row in range(2)] == [2, 0]
    with pytest.raises(DataError, match="row 4, column 'age': unknown value 'tset'; did you mean 'test'"):
        split_of(file, 2, split, None, 0, 0)
    assert split_of(file, 0, None, (0.5, 0.25, 0.25), 3, 2) == drawn_split(0, (0.5, 0.25, 0.25), 3, 2)
