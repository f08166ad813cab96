"""A sweep's grid: from comma lists or a TOML file to the list of its runs."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fedjtt.config import NOT_IN_ID, RunConfig
from fedjtt.errors import ConfigError, nearest

OWN_KEYS = ("seeds", "sweep", "name")


@dataclass(frozen=True)
class Grid:
    """The runs of a sweep, each once, the keys that vary between them, and what named tables are called.

    Attributes
    ----------
    names : dict
        For every ``[[sweep]]`` table with a ``name``: the values that it sets beside the method, the robust mode and
        its axes, which tables and legends call by that name.
    """

    runs: tuple[RunConfig, ...]
    axes: tuple[str, ...]
    names: dict[str, dict[str, Any]]

    @property
    def shared(self) -> dict[str, Any]:
        """The keys that all runs have in common and that can change a result, with their values."""
        values = self.runs[0].flat()
        return {key: values[key] for key in values if key not in NOT_IN_ID and key not in (*self.axes, "seed")}


def parse_seeds(value: Any) -> list[int]:
    """Return the seeds: a number n means 0 to n - 1, a list (or ``"0,7"``) is taken as it is."""
    if isinstance(value, str) and "," in value:
        value = [part for part in value.split(",") if part.strip()]
    try:
        seeds = [int(item) for item in value] if isinstance(value, list) else list(range(int(value)))
    except (TypeError, ValueError, OverflowError):
        raise ConfigError(f"seeds is {value!r}; give a number of seeds such as 3, or a list such as 0,1,2") from None
    if not seeds or min(seeds) < 0:
        raise ConfigError(f"seeds is {value!r}; give at least one seed, none below 0")
    return seeds


def _seeds_of(values: Mapping[str, Any]) -> list[int] | None:
    """Return the seeds that a table names: ``seeds`` (a number or a list), or ``seed`` (one, or a list), or None."""
    if "seeds" in values:
        return parse_seeds(values["seeds"])
    return parse_seeds(_listed(values["seed"])) if "seed" in values else None


def _listed(value: Any) -> list[Any]:
    if isinstance(value, list):
        return value
    if isinstance(value, str) and "," in value:
        return [part.strip() for part in value.split(",") if part.strip()]
    return [value]


def build_grid(given: Mapping[str, Any]) -> Grid:
    """Return the runs of every ``[[sweep]]`` table (one, empty, if there is none) over the base's values and the seeds.

    A base value may be a list too: it is an axis of every table that does not name the key itself.

    Raises
    ------
    ConfigError
        For an unknown key or value, before anything is run.
    """
    tables = given.get("sweep", [{}])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise ConfigError("sweep must be an array of tables; write [[sweep]] above each block of axes")
    seeds = _seeds_of(given) or [0]
    base = {key: value for key, value in given.items() if key not in OWN_KEYS}
    runs: dict[str, RunConfig] = {}
    for table in tables:
        for config in _product({**base, **table}, _seeds_of(table) or seeds):
            runs.setdefault(config.run_id, config)
    if not runs:
        raise ConfigError("the sweep has no runs: an axis is an empty list, or there is no [[sweep]] table in it")
    flats = [config.flat() for config in runs.values()]
    axes = [key for key in flats[0] if key != "seed" and any(flat[key] != flats[0][key] for flat in flats)]
    names = {str(table["name"]): _own_values(table) for table in tables if "name" in table}
    return Grid(tuple(runs.values()), tuple(axes), names)


def _own_values(table: Mapping[str, Any]) -> dict[str, Any]:
    said_anyway = ("method", "robust", "machines", "seed", *OWN_KEYS)
    return {key: value for key, value in table.items() if key not in said_anyway and not isinstance(value, list)}


def _product(values: Mapping[str, Any], seeds: Sequence[int]) -> list[RunConfig]:
    known = (*RunConfig.keys(), *OWN_KEYS)
    for key in values:
        if key not in known:
            raise ConfigError(f"unknown key {key!r}{nearest(key, known)}; 'fedjtt sweep --help' lists all keys")
    axes = {key: _listed(value) for key, value in values.items() if key not in ("seed", *OWN_KEYS)}
    axes["seed"] = list(seeds)
    return [RunConfig.parse(dict(zip(axes, chosen, strict=True))) for chosen in itertools.product(*axes.values())]
