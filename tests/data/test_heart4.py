"""The four hospitals: what the schema makes of their files, counted by pandas."""

from functools import reduce
from operator import add
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fedjtt.data.encoding import Encoding, encode, encode_splits
from fedjtt.data.heart4 import HEADER, HOSTS, heart4_file, heart4_schema, load_heart4_host
from fedjtt.data.host_table import TRAIN, HostTable
from fedjtt.data.moments import below_min_count, moments_of
from fedjtt.errors import ConfigError, DataError

SIZES = {"cleveland": 303, "hungarian": 294, "switzerland": 123, "va": 200}
# (healthy women, healthy men, ill women, ill men), from UCI's files; no healthy woman in Switzerland.
GROUPS = {
    "cleveland": [72, 92, 25, 114],
    "hungarian": [69, 119, 12, 94],
    "switzerland": [0, 8, 10, 105],
    "va": [3, 48, 3, 146],
}


@pytest.fixture(scope="module")
def folder(data_dir: Path) -> Path:
    if not (data_dir / "heart4").is_dir():
        pytest.skip("heart4 is not here: set FEDJTT_DATA to a folder that holds heart4")
    return data_dir


@pytest.fixture(scope="module")
def tables(folder: Path) -> dict[str, HostTable]:
    return {host: load_heart4_host(folder, host) for host in HOSTS}


def by_pandas(folder: Path, host: str) -> pd.DataFrame:
    frame = pd.read_csv(heart4_file(folder, host), na_values="?")
    frame.columns = pd.Index(HEADER)
    for column in ("chol", "trestbps", "thal"):
        frame[column] = frame[column].where(frame[column] != 0)
    return frame


def test_the_schema_is_about_sex_and_disease() -> None:
    schema = heart4_schema()
    assert sorted(schema.columns) == sorted(HEADER)
    assert schema.label.names == ("healthy", "disease")
    assert [schema.label.code(float(target)) for target in range(5)] == [0, 1, 1, 1, 1]
    assert schema.attribute is not None
    assert schema.attribute.names == ("women", "men")
    assert list(HOSTS) == ["cleveland", "hungarian", "switzerland", "va"]


def test_cleveland_has_headers_of_its_own() -> None:
    assert HOSTS["cleveland"].columns["age"] == "X1"
    assert HOSTS["cleveland"].columns["target"] == "X14"
    assert HOSTS["va"].columns == {}


@pytest.mark.parametrize("host", SIZES)
def test_sizes_and_groups(tables: dict[str, HostTable], host: str) -> None:
    table = tables[host]
    assert len(table) == SIZES[host]
    assert table.attribute is not None
    assert np.bincount(table.label * 2 + table.attribute, minlength=4).tolist() == GROUPS[host]
    assert table.row.tolist() == list(range(SIZES[host]))


@pytest.mark.parametrize("host", SIZES)
def test_columns_are_what_pandas_reads(tables: dict[str, HostTable], folder: Path, host: str) -> None:
    table, frame = tables[host], by_pandas(folder, host)
    np.testing.assert_array_equal(table.numeric, frame[list(table.schema.numeric)].to_numpy(float))
    for codes, coded in zip(table.categorical.T, table.schema.categorical, strict=True):
        expected = frame[coded.column].map({float(value): code for code, value in enumerate(coded.values)}).fillna(-1)
        np.testing.assert_array_equal(codes, expected, coded.column)
        assert (codes == -1).sum() == frame[coded.column].isna().sum()


def test_all_of_switzerlands_cholesterol_is_missing(tables: dict[str, HostTable]) -> None:
    assert np.isnan(tables["switzerland"].numeric[:, heart4_schema().numeric.index("chol")]).all()


def test_the_encoding_is_that_of_the_pooled_train_rows(tables: dict[str, HostTable], folder: Path) -> None:
    encoding = Encoding.from_moments(reduce(add, map(moments_of, tables.values())))
    frames = [by_pandas(folder, host).iloc[tables[host].split == TRAIN] for host in HOSTS]
    pooled = pd.concat(frames)[list(heart4_schema().numeric)].astype(float)
    np.testing.assert_allclose(encoding.mean, pooled.mean(), rtol=1e-12)
    np.testing.assert_allclose(encoding.std, pooled.std(ddof=0), rtol=1e-12)
    np.testing.assert_array_equal(encoding.has_missing, pooled.isna().any())
    # 5 numbers, a mark for each but age, and sex 3, cp 5, fbs 3, restecg 4, exang 3, slope 4, ca 5, thal 4.
    assert encoding.width == 5 + 4 + 31
    x = np.concatenate([encode(table.part(TRAIN), encoding).x.numpy() for table in tables.values()])
    np.testing.assert_allclose(x[:, :5].mean(axis=0), 0, atol=1e-6)  # a missing number is the mean
    np.testing.assert_array_equal(x[:, 9:].sum(axis=1), 8)  # one of each category


def test_every_sum_rests_on_five_rows_or_on_none(tables: dict[str, HostTable]) -> None:
    for table in tables.values():
        assert below_min_count(moments_of(table), table.schema, 5) == {}


def test_about_three_fifths_are_train_rows_and_another_seed_draws_others(
    tables: dict[str, HostTable], folder: Path
) -> None:
    shares = np.bincount(np.concatenate([table.split for table in tables.values()])) / 920
    np.testing.assert_allclose(shares, [0.6, 0.2, 0.2], atol=4 * np.sqrt(0.24 / 920))
    other = load_heart4_host(folder, "va", seed=1)
    assert (other.split != tables["va"].split).any()
    np.testing.assert_array_equal(load_heart4_host(folder, "va").split, tables["va"].split)


def test_hospitals_without_a_group_say_so_by_a_count_of_0(tables: dict[str, HostTable]) -> None:
    encoding = Encoding.from_moments(reduce(add, map(moments_of, tables.values())))
    splits = encode_splits(tables["switzerland"], encoding)
    assert [int(part.group_counts()[0]) for part in (splits.train, splits.validation, splits.test)] == [0, 0, 0]


def test_an_unknown_host_and_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no host 'hungary'; did you mean 'hungarian'"):
        heart4_file(tmp_path, "hungary")
    with pytest.raises(DataError, match=r"processed\.va\.data is missing"):
        load_heart4_host(tmp_path, "va")


def test_damage_is_named_in_the_hospitals_own_words(tmp_path: Path) -> None:
    """A file in Cleveland's notation, written here: the second patient's blood pressure is a text."""
    (tmp_path / "heart4").mkdir()
    header = ",".join(f"X{number}" for number in range(1, 15))
    row = "63.0,1.0,1.0,145.0,233.0,1.0,2.0,150.0,0.0,2.3,3.0,0.0,6.0,0"
    heart4_file(tmp_path, "cleveland").write_text(f"{header}\n{row}\n{row.replace('145.0', 'high')}\n")
    with pytest.raises(DataError, match=r"row 3, column 'X4' \(for 'trestbps'\): 'high' is not a number"):
        load_heart4_host(tmp_path, "cleveland")
    heart4_file(tmp_path, "cleveland").write_text(f"{header}\n{row}\n")
    table = load_heart4_host(tmp_path, "cleveland")
    assert table.numeric.tolist() == [[63.0, 145.0, 233.0, 150.0, 2.3]]
    assert table.categorical.tolist() == [[1, 0, 1, 2, 0, 2, 0, 1]]  # sex cp fbs restecg exang slope ca thal
