"""A host's file as arrays, and everything that can be wrong with it."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fedjtt.data.host_file import drawn_split
from fedjtt.data.host_format import HostFormat
from fedjtt.data.host_table import TEST, TRAIN, VALIDATION, HostTable, read_table
from fedjtt.errors import DataError
from tests.data.own_data import schema_of, write

ROWS = ("0,1,train,63.0,233,none", "2,0.0,test,?,.5,much", "1,1,validation,41,NA,?")


def refusal(path: Path, host: HostFormat | None = None, **changes: Any) -> str:
    with pytest.raises(DataError) as caught:
        read_table(path, schema_of(**changes), host)
    text = str(caught.value)
    assert text.startswith(str(path))
    assert "\n" not in text
    return text.removeprefix(str(path))


def test_a_file_as_arrays(tmp_path: Path) -> None:
    table = read_table(write(tmp_path, *ROWS), schema_of())
    np.testing.assert_array_equal(table.numeric, [[63.0, 233.0], [np.nan, 0.5], [41.0, np.nan]])
    assert table.categorical.tolist() == [[0], [2], [-1]]
    assert table.label.tolist() == [0, 1, 1]
    assert table.attribute is not None
    assert table.attribute.tolist() == [1, 0, 1]
    assert table.split.tolist() == [TRAIN, TEST, VALIDATION] == [0, 2, 1]
    assert table.row.tolist() == [0, 1, 2]
    assert table.line.tolist() == [2, 3, 4]
    assert table.numeric.dtype == np.float64
    assert {each.dtype for each in (table.categorical, table.label, table.split, table.row)} == {np.dtype(np.int64)}


def test_columns_may_stand_in_any_order_among_others(tmp_path: Path) -> None:
    path = write(tmp_path, "x,none,233,63,train,1,0", header="note,pain,chol,age,part,sex,target")
    table = read_table(path, schema_of())
    assert table.numeric.tolist() == [[63.0, 233.0]]
    assert (table.label.tolist(), table.categorical.tolist()) == ([0], [[0]])


def test_another_hosts_words(tmp_path: Path) -> None:
    path = write(tmp_path, "3,0;m;1;63,5;1e2;stark", header="X6;X5;X4;X3;X2;X1")
    host = HostFormat(
        columns={"target": "X6", "sex": "X5", "part": "X4", "age": "X3", "chol": "X2", "pain": "X1"},
        delimiter=";",
        decimal=",",
        values={"sex": {"m": "1"}, "part": {"1": "train"}, "pain": {"stark": "much"}},
    )
    table = read_table(path, schema_of(), host)
    assert table.numeric.tolist() == [[63.5, 100.0]]
    assert (table.label.tolist(), table.categorical.tolist(), table.split.tolist()) == ([1], [[2]], [0])


def test_without_an_attribute_and_without_categories(tmp_path: Path) -> None:
    path = write(tmp_path, "0,train,1", header="target,part,age")
    table = read_table(path, schema_of(attribute=None, attributes=None, categorical=None, numeric=["age"]))
    assert table.attribute is None
    assert table.categorical.shape == (1, 0)
    assert table.take(np.array([0, 0])).attribute is None


def test_without_numbers(tmp_path: Path) -> None:
    table = read_table(write(tmp_path, *ROWS), schema_of(numeric=None))
    assert table.numeric.shape == (3, 0)
    assert table.categorical.shape == (3, 1)


def test_splits_by_shares_are_drawn_by_seed_machine_and_row(tmp_path: Path) -> None:
    path = write(tmp_path, *[ROWS[0]] * 40)
    shares = (0.5, 0.25, 0.25)
    schema = schema_of(split=None, split_shares=list(shares))
    table = read_table(path, schema, seed=3, partition_id=2)
    assert table.split.tolist() == [drawn_split(row, shares, 3, 2) for row in range(40)]
    assert (read_table(path, schema, seed=4, partition_id=2).split != table.split).any()


def test_rows_that_are_left_out_change_no_other_rows_name_or_split(tmp_path: Path) -> None:
    ages = np.random.default_rng(0).integers(0, 90, 60).tolist()
    path = write(tmp_path, *(f"0,1,train,{age},1,none" for age in ages))
    shares = {"split": None, "split_shares": [0.5, 0.25, 0.25]}
    whole, kept = read_table(path, schema_of(**shares)), read_table(path, schema_of(keep=["age >= 18"], **shares))
    assert kept.row.tolist() == [row for row, age in enumerate(ages) if age >= 18]
    assert 0 < len(kept) < 60
    np.testing.assert_array_equal(kept.split, whole.split[kept.row])
    np.testing.assert_array_equal(kept.line, kept.row + 2)


def test_rows_that_are_left_out_may_hold_anything(tmp_path: Path) -> None:
    path = write(tmp_path, "?,9,never,5,lots,odd", "0,1,train,30,1,none", "0,1,train,?,1,none")
    assert read_table(path, schema_of(keep=["age >= 18", "sex != 9"])).row.tolist() == [1]


def test_all_rows_left_out(tmp_path: Path) -> None:
    said = refusal(write(tmp_path, *ROWS), keep=["age > 99", "sex == 1"])
    assert said == ": none of its 3 rows satisfies keep (age > 99 and sex == 1); check the rule or the file"


def test_a_text_where_keep_compares_numbers(tmp_path: Path) -> None:
    said = refusal(write(tmp_path, "0,1,train,old,1,none"), keep=["age > 18"])
    assert said.startswith(", row 2, column 'age': 'old' is not a number, and keep compares it (age > 18)")


@pytest.mark.parametrize(
    ("row", "column", "hint"),
    [
        ("?,1,train,1,1,none", "target", "the label is missing; allowed are numbers"),
        ("ill,1,train,1,1,none", "target", "unknown value 'ill'; allowed are numbers (for target > 0)"),
        ("0,,train,1,1,none", "sex", "the attribute is missing; allowed are 0, 1"),
        ("0,2,train,1,1,none", "sex", "unknown value '2'; allowed are 0, 1"),
        ("0,1,trian,1,1,none", "part", "unknown value 'trian'; did you mean 'train'"),
        ("0,1,,1,1,none", "part", "the split (train, validation, test) is missing"),
        ("0,1,train,old,1,none", "age", "'old' is not a number"),
        ("0,1,train,1,inf,none", "chol", "'inf' is infinite"),
        ("0,1,train,1,1,nonne", "pain", "unknown value 'nonne'; did you mean 'none'?; allowed are none, some, much"),
        ("0,1,train,1,1", "pain", "the row ends before it"),
    ],
)
def test_a_bad_cell_is_named_by_row_and_column(tmp_path: Path, row: str, column: str, hint: str) -> None:
    said = refusal(write(tmp_path, ROWS[0], "", row, ROWS[1]))
    assert said.startswith(f", row 4, column '{column}': {hint}")


def test_the_first_bad_row_is_named_whatever_the_column(tmp_path: Path) -> None:
    path = write(tmp_path, ROWS[0], "0,1,train,1,1,odd", "?,1,train,1,1,none")
    assert refusal(path).startswith(", row 3, column 'pain'")


def test_a_missing_column(tmp_path: Path) -> None:
    path = write(tmp_path, "0,1,train,1,none", header="target,sex,part,agee,pain")
    assert refusal(path, numeric=["age"]).startswith(
        ", row 1: column 'age' is missing; did you mean 'agee'?; the header"
    )


def test_duplicate_ids(tmp_path: Path) -> None:
    rows = [f"{row},{name}" for row, name in zip(ROWS, ("a", "b", "a"), strict=True)]
    path = write(tmp_path, *rows, header="target,sex,part,age,chol,pain,patient")
    assert refusal(path, id="patient").startswith(", row 4, column 'patient': id 'a' stands in row 2 already")


@pytest.mark.parametrize("content", [None, b"", b"a,b\n", b"a\n\xff\n"])
def test_files_that_are_none(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "host.csv"
    if content is not None:
        path.write_bytes(content)
    assert refusal(path)


def test_numbers_and_missing_values_as_pandas_reads_them(tmp_path: Path) -> None:
    """An oracle over 200 random rows in mixed notations."""
    chance = np.random.default_rng(1)
    shapes = (lambda x: f"{x:.3f}", lambda x: f"{x:e}", lambda x: f"{int(x)}", lambda x: f"{x:.2f}".replace("0.", "."))
    cells = [
        [
            str(chance.choice(["", "?", "NA", "nan"])) if chance.random() < 0.2 else shapes[chance.integers(4)](x)
            for x in chance.normal(0, 10, 2)
        ]
        for _ in range(200)
    ]
    path = write(tmp_path, *(f"0,1,train,{age},{chol},none" for age, chol in cells))
    texts = pd.read_csv(path, na_values=["?"], dtype=str)[["age", "chol"]]
    expected = texts.astype(float).to_numpy()
    table = read_table(path, schema_of())
    np.testing.assert_array_equal(table.numeric, expected)
    assert np.isnan(expected).sum() > 40


def test_parts_and_rows_of_a_table(tmp_path: Path) -> None:
    table = read_table(write(tmp_path, *ROWS), schema_of())
    test_rows = table.part(TEST)
    assert isinstance(test_rows, HostTable)
    assert (len(test_rows), test_rows.row.tolist(), test_rows.line.tolist()) == (1, [1], [3])
    assert table.take(np.array([2, 0])).row.tolist() == [2, 0]
    assert len(table.take(np.zeros(3, dtype=bool))) == 0
