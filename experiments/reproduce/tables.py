"""Published tables: what was published in which cell, where that is from, and which runs fill the cell here.

A table is a file of :data:`TABLES`. Each ``[[cell]]`` names its row and column, a sweep's file of :data:`CONFIGS`, the
values (``where``) that choose the runs of that sweep, and under the name of a measure what was published of it.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from experiments.statistics import Estimate, mean_interval, t_quantile
from fedjtt.data.toml_table import TomlTable, about, read_toml
from fedjtt.errors import ConfigError, nearest

TABLES = Path(__file__).parents[1] / "published"
CONFIGS = Path(__file__).parents[1] / "configs"
MEASURES = ("worst-group", "average", "adjusted-average")
"""Accuracies on test, by the names that results give them."""


@dataclass(frozen=True)
class Cell:
    """A method on a dataset.

    Attributes
    ----------
    row, column : str
        Where it stands.
    config : str
        File of a sweep.
    where : dict
        Keys and values by which the cell's runs differ from the sweep's others.
    published : dict
        Measure to what was published of it, as shares of 1; None: nothing, and only ours is shown. ``n`` is 0 where
        nobody said over how many seeds.
    """

    row: str
    column: str
    config: str
    where: dict[str, Any]
    published: dict[str, Estimate | None]


@dataclass(frozen=True)
class PublishedTable:
    """A table, and what a reader has to know of it.

    Attributes
    ----------
    name : str
        What it is asked for by.
    title, source : str
        What it shows, and where the published figures are from.
    needs : str
        What must be there to run it.
    cells : tuple of Cell
        In the order in which they are shown.
    """

    name: str
    title: str
    source: str
    needs: str
    cells: tuple[Cell, ...]

    def only(self, names: str) -> "PublishedTable":
        """Return the table with the cells that one of the names, with commas between them, chooses.

        A name is a row, a column, or both as ``row/column``; capitals do not matter.
        """
        known = {name for cell in self.cells for name in _names_of(cell)}
        parts = [" ".join(part.split()) for part in names.casefold().split(",")]
        wanted = set()
        while parts:
            # The longest first: a name may have a comma of its own.
            length = next((n for n in range(len(parts), 0, -1) if ", ".join(parts[:n]) in known), 0)
            if not length:
                allowed = dict.fromkeys([*(cell.row for cell in self.cells), *(cell.column for cell in self.cells)])
                raise ConfigError(
                    f"--only names {parts[0]!r}, which is no row, column or row/column of {self.name}"
                    f"{nearest(parts[0], known)}; rows and columns are {'; '.join(allowed)}"
                )
            wanted.add(", ".join(parts[:length]))
            parts = parts[length:]
        return replace(self, cells=tuple(cell for cell in self.cells if wanted & _names_of(cell)))


def _names_of(cell: Cell) -> set[str]:
    row, column = cell.row.casefold(), cell.column.casefold()
    return {row, column, f"{row}/{column}"}


def table_names() -> list[str]:
    """Return the names of all tables."""
    return sorted(path.stem for path in TABLES.glob("*.toml"))


def read_table(name: str) -> PublishedTable:
    """Return a table by its name.

    Raises
    ------
    ConfigError
        Where there is none of that name, with the nearest, or its file says something that is not understood.
    """
    names = table_names()
    if name not in names:
        raise ConfigError(f"table is {name!r}; allowed are {', '.join(names)}{nearest(name, names)}")
    path = TABLES / f"{name}.toml"
    with about(path.name):
        raw = read_toml(path)
        cells = raw.pop("cell", [])
        if not isinstance(cells, list) or not cells:
            raise ConfigError("there is no cell; write [[cell]] above each")
        said = TomlTable(raw)
        texts = {key: _required(said, key) for key in ("title", "source", "needs")}
        said.close()
        return PublishedTable(name, **texts, cells=tuple(_cell(cell, place) for place, cell in enumerate(cells, 1)))


def _required(table: TomlTable, key: str) -> str:
    value = table.text(key)
    if value is None:
        raise ConfigError(f"{key} is missing; write a text")
    return value


def _cell(raw: Mapping[str, Any], place: int) -> Cell:
    with about(f"cell {place}"):
        published = {measure: raw[measure] for measure in MEASURES if measure in raw}
        if not published:
            raise ConfigError(f"no measure is named; write one of {', '.join(MEASURES)}")
        said = TomlTable({key: value for key, value in raw.items() if key not in published})
        texts = {key: _required(said, key) for key in ("row", "column", "config")}
        where = said.table("where")
        said.close()
        values = {measure: as_estimate(measure, value) for measure, value in published.items()}
        return Cell(**texts, where=where, published=values)


def as_estimate(measure: str, value: Any) -> Estimate | None:
    """Return what was published of a measure, in percent: a number, single runs as a list, or a table.

    A table has ``mean`` and, where it is known, ``seeds`` with ``half`` (of the 95 % interval) or ``deviation`` (the
    standard deviation over seeds); an empty one says that nothing was published.
    """
    if value == {}:
        return None
    if _is_number(value):
        return Estimate(value / 100, None, 0)
    if isinstance(value, list) and value and all(map(_is_number, value)):
        return mean_interval(each / 100 for each in value)
    if not isinstance(value, dict) or not all(map(_is_number, value.values())) or "mean" not in value:
        raise ConfigError(f"{measure} is {value!r}; write a number, a list of them, or {{ mean = 1.0, half = 1.0 }}")
    if other := value.keys() - {"mean", "half", "deviation", "seeds"}:
        raise ConfigError(f"{measure} has {min(other)!r}; allowed are mean, half, deviation, seeds")
    seeds = int(value.get("seeds", 0))
    if "deviation" in value and (seeds < 2 or "half" in value):
        raise ConfigError(f"{measure} has a deviation; it needs seeds from 2 to make an interval, and no half")
    half = value.get("half")
    if "deviation" in value:
        half = t_quantile(seeds) * value["deviation"] / math.sqrt(seeds)
    return Estimate(value["mean"] / 100, None if half is None else half / 100, seeds)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
