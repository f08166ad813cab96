"""Which runs fill a table's cells, and which of them this machine has the data for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from experiments.grid import Grid, build_grid, parse_seeds
from experiments.options import read_toml
from experiments.reproduce.tables import CONFIGS, Cell, PublishedTable
from fedjtt.choices import DATA_KEYS
from fedjtt.config import RunConfig
from fedjtt.data.toml_table import about
from fedjtt.errors import ConfigError, DataError, UserError
from fedjtt.provide import check_data


@dataclass(frozen=True)
class Planned:
    """A cell with its runs.

    Attributes
    ----------
    cell : Cell
        Of the table.
    runs : tuple of RunConfig
        Its runs, which differ in the seed only.
    names : dict
        What the sweep's file calls its settings, for the sweep's own report.
    lacking : str or None
        Why it cannot be run here, in one line.
    """

    cell: Cell
    runs: tuple[RunConfig, ...]
    names: dict[str, dict[str, Any]]
    lacking: str | None = None


def plan(table: PublishedTable, changes: Mapping[str, Any], seeds: str | None = None) -> list[Planned]:
    """Return every cell with its runs, none of which is looked for yet.

    Parameters
    ----------
    changes : mapping
        Keys that all runs take another value of, ``data-dir`` among them.
    seeds : str or None
        A number of seeds or a list of them, in place of the sweeps' own.

    Raises
    ------
    ConfigError
        For an unknown key, model or value, with the file that names it; where a cell has no run, or runs that differ
        in more than their seeds.
    """
    chosen = None if seeds is None else parse_seeds(seeds)
    grids: dict[str, Grid] = {}
    planned = []
    for cell in table.cells:
        with about(cell.config):
            if cell.config not in grids:
                grids[cell.config] = _grid(cell.config, changes, chosen)
            planned.append(Planned(cell, _runs_of(cell, grids[cell.config]), grids[cell.config].names))
    return planned


def _grid(config: str, changes: Mapping[str, Any], seeds: list[int] | None) -> Grid:
    """Return the runs of a sweep's file with the changes in all of its tables."""
    replaced = {"seed", "seeds", *changes} if seeds is not None else set(changes)
    file = read_toml(CONFIGS / config)
    tables = [{key: value for key, value in one.items() if key not in replaced} for one in file.pop("sweep", [{}])]
    base = {key: value for key, value in file.items() if key not in replaced}
    return build_grid({**base, **changes, "sweep": tables, **({} if seeds is None else {"seeds": seeds})})


def _runs_of(cell: Cell, grid: Grid) -> tuple[RunConfig, ...]:
    """Return the runs that have a cell's values."""
    said = ", ".join(f"{key} {value}" for key, value in cell.where.items()) or "all runs"
    if unknown := cell.where.keys() - set(RunConfig.keys()):
        raise ConfigError(f"{cell.row}, {cell.column}: {min(unknown)!r} is no config key")
    flats = [(config, config.flat()) for config in grid.runs]
    chosen = [(config, flat) for config, flat in flats if all(flat[key] == cell.where[key] for key in cell.where)]
    if not chosen:
        raise ConfigError(f"{cell.row}, {cell.column}: no run has {said}")
    first = chosen[0][1]
    other = {key for _, flat in chosen for key in flat if flat[key] != first[key]} - {"seed"}
    if other:
        raise ConfigError(f"{cell.row}, {cell.column}: its runs ({said}) differ in {min(other)}; say which in where")
    return tuple(config for config, _ in chosen)


def look_for_data(planned: Sequence[Planned]) -> list[Planned]:
    """Return the cells with what each lacks: every dataset is loaded once, as a run would load it."""
    found: dict[tuple[Any, ...], str | None] = {}
    looked = []
    for one in planned:
        config = one.runs[0]
        key = tuple(config.subset((*DATA_KEYS, "data-dir", "model", "machines", "partition")).values())
        if key not in found:
            found[key] = _lacking(config)
        looked.append(Planned(one.cell, one.runs, one.names, found[key]))
    return looked


def _lacking(config: RunConfig) -> str | None:
    try:
        check_data(config)
    except UserError as error:  # a file that is missing or damaged, a package that is not installed
        where = f"'fedjtt data where {config.dataset}'"
        more = "" if where in str(error) or not isinstance(error, DataError) else f"; {where} says where to get it"
        return f"{error}{more}"
    return None


def whole_grid(planned: Sequence[Planned]) -> Grid:
    """Return the runs of all cells, each once.

    Every key is an axis: whoever asks for other cells, seeds or values of a table later finds the folder's runs and
    adds to them, each run in a folder named by what it is.
    """
    runs = {config.run_id: config for one in planned for config in one.runs}
    return Grid(tuple(runs.values()), RunConfig.keys(), {name: v for one in planned for name, v in one.names.items()})
