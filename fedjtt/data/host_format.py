"""How one host's file says what the schema means: its headers, its notation, its words."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fedjtt.data.toml_table import TomlTable, about, read_toml
from fedjtt.errors import ConfigError, nearest


@dataclass(frozen=True)
class HostFormat:
    """How one host's file says what the schema means. The defaults fit a file in the schema's own words.

    Attributes
    ----------
    columns : mapping
        The schema's name of a column -> the host's header; those that are equal can be left out.
    delimiter, decimal : str
        Between two cells, and in a number.
    values : mapping
        The schema's name of a column -> what the host writes -> what the schema calls it.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    delimiter: str = ","
    decimal: str = "."
    values: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse marks that cannot be told apart."""
        if len(self.delimiter) != 1 or self.delimiter in '\r\n"':
            raise ConfigError(f"delimiter is {self.delimiter!r}; give one character, such as ',' or ';' or a tab")
        if self.decimal not in (".", ",") or self.decimal == self.delimiter:
            raise ConfigError(
                f"decimal is {self.decimal!r} and delimiter {self.delimiter!r}; decimal is '.' or ',', delimiter not"
            )

    def check(self, columns: tuple[str, ...]) -> None:
        """Refuse mappings of columns that are none of the schema's."""
        for table, names in (("columns", self.columns), ("values", self.values)):
            for name in names:
                if name not in columns:
                    raise ConfigError(
                        f"[{table}] of the host's format names {name!r}, which the schema does not"
                        f"{nearest(name, columns)}; its columns are {', '.join(columns)}"
                    )


def parse_host_format(raw: Mapping[str, Any], where: str = "columns.toml") -> HostFormat:
    """Read a host's format: keys delimiter and decimal, tables [columns] and [values.COLUMN]."""
    with about(where):
        table = TomlTable(raw)
        words = table.table("values")
        values = TomlTable(words)
        host = HostFormat(
            columns=table.table_of_texts("columns"),
            delimiter=table.text("delimiter") or ",",
            decimal=table.text("decimal") or ".",
            values={name: values.table_of_texts(name) for name in words},
        )
        table.close()
    return host


def read_host_format(path: Path) -> HostFormat:
    """Read a host's format from a TOML file."""
    return parse_host_format(read_toml(path), str(path))
