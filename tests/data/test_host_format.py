"""How one host's file says what the schema means."""

from pathlib import Path
from typing import Any

import pytest

from fedjtt.data.host_format import HostFormat, parse_host_format, read_host_format
from fedjtt.errors import ConfigError

TOML = """
delimiter = ";"
decimal = ","

[columns]
age = "Alter"
sex = "Geschlecht"

[values.sex]
w = "0"
m = 1
"""


def test_a_file_says_all_of_it(tmp_path: Path) -> None:
    path = tmp_path / "columns.toml"
    path.write_text(TOML)
    columns, values = {"age": "Alter", "sex": "Geschlecht"}, {"sex": {"w": "0", "m": "1"}}
    assert read_host_format(path) == HostFormat(columns, ";", ",", values)


def test_nothing_said_is_the_schemas_own_words() -> None:
    assert parse_host_format({}) == HostFormat({}, ",", ".", {})


@pytest.mark.parametrize(
    ("raw", "hint"),
    [
        ({"delimiter": ";;"}, "delimiter is ';;'; give one character"),
        ({"delimiter": "\n"}, "give one character"),
        ({"delimiter": '"'}, "give one character"),
        ({"decimal": ";"}, "decimal is ';'"),
        ({"decimal": ","}, "decimal is ',' and delimiter ','"),
        ({"columns": {"age": ["a"]}}, r"columns\.age is .*; write texts"),
        ({"values": {"sex": "m"}}, "sex is 'm'; write a table"),
        ({"values": "m"}, "values is 'm'; write a table"),
        ({"column": {}}, "unknown key 'column'; did you mean 'columns'"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_one_line(raw: dict[str, Any], hint: str) -> None:
    with pytest.raises(ConfigError, match=hint) as caught:
        parse_host_format(raw, "cleveland/columns.toml")
    assert str(caught.value).startswith("cleveland/columns.toml: ")
    assert "\n" not in str(caught.value)


def test_mappings_must_be_about_the_schemas_columns() -> None:
    HostFormat(columns={"age": "X1"}, values={"sex": {"m": "1"}}).check(("age", "sex"))
    with pytest.raises(ConfigError, match=r"\[columns\] .* names 'agee', .*did you mean 'age'"):
        HostFormat(columns={"agee": "X1"}).check(("age", "sex"))
    with pytest.raises(ConfigError, match=r"\[values\] .* names 'X2'.*its columns are age, sex"):
        HostFormat(values={"X2": {}}).check(("age", "sex"))
