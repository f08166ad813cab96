"""A TOML table read key by key."""

from pathlib import Path
from typing import Any

import pytest

from fedjtt.data.toml_table import TomlTable, about, read_toml
from fedjtt.errors import ConfigError


def test_every_type_is_read_and_numbers_are_taken_as_texts() -> None:
    table = TomlTable(
        {
            "label": "target",
            "labels": [0, "1", 2.5],
            "shares": [1, 0.5],
            "columns": {"a": "X1", "b": 2},
            "categorical": {"c": ["x", 1]},
        }
    )
    assert table.text("label") == "target"
    assert table.texts("labels") == ("0", "1", "2.5")
    assert table.numbers("shares") == (1.0, 0.5)
    assert table.table_of_texts("columns") == {"a": "X1", "b": "2"}
    assert table.table_of_lists("categorical") == {"c": ("x", "1")}
    table.close()


def test_absent_keys_are_none_and_absent_tables_empty() -> None:
    table = TomlTable({})
    assert (table.text("a"), table.texts("a"), table.numbers("a"), table.table("a")) == (None, None, None, {})
    assert table.table_of_lists("a") == {}
    table.close()


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("text", 1),
        ("text", ["a"]),
        ("texts", "a"),
        ("texts", [True]),
        ("texts", [["a"]]),
        ("numbers", ["1"]),
        ("numbers", [True]),
        ("numbers", 0.5),
        ("table", "a"),
        ("table_of_texts", {"x": ["a"]}),
        ("table_of_lists", {"x": "a"}),
    ],
)
def test_another_type_is_refused_with_what_to_write(kind: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=r"^key.* is .*; write "):
        getattr(TomlTable({"key": value}), kind)("key")


def test_a_key_that_nobody_asked_for_is_refused_with_the_nearest() -> None:
    table = TomlTable({"lable": "target"})
    table.text("label")
    table.texts("numeric")
    with pytest.raises(ConfigError, match=r"unknown key 'lable'; did you mean 'label'\?; allowed are label, numeric"):
        table.close()


def test_about_puts_the_place_before_the_text() -> None:
    with pytest.raises(ConfigError, match=r"^schema\.toml: label is missing$"), about("schema.toml"):
        raise ConfigError("label is missing")


def test_a_file_is_read_also_with_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "schema.toml"
    path.write_bytes(b'\xef\xbb\xbflabel = "y"\n')
    assert read_toml(path) == {"label": "y"}


@pytest.mark.parametrize(
    ("content", "hint"),
    [(None, "is missing"), (b"label = ", "cannot be read as TOML"), (b'a = "\xe9"', "cannot be read as TOML")],
)
def test_a_file_that_cannot_be_read_is_one_line(tmp_path: Path, content: bytes | None, hint: str) -> None:
    path = tmp_path / "schema.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=hint) as caught:
        read_toml(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_a_folder_is_no_toml_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read as TOML"):
        read_toml(tmp_path)
