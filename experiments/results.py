"""Reading what runs left: every finished run's result, as nested dicts, as flat rows, as one CSV and by setting."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from fedjtt.config import METHODS, NOT_IN_ID, RunConfig
from fedjtt.errors import ConfigError, DataError
from fedjtt.tracking import write_atomically

Result = dict[str, Any]
Row = dict[str, Any]
"""A flattened result: nested keys joined by dots."""

CONFIG_KEYS = RunConfig.keys()
LEADING_COLUMNS = (
    *(f"config.{key}" for key in CONFIG_KEYS),
    "run-id", "digest",
    *(f"{split}.{name}" for split in ("test", "validation") for name in (
        "worst-group-accuracy", "worst-class-accuracy", "average-accuracy", "adjusted-average-accuracy",
    )),
    *(f"identification.{name}" for name in (
        "error-set-size", "precision", "recall", "minority", "upsample-factor", "nominal",
    )),
)  # fmt: skip
"""Always there and in this order, also where no run has a value: two sweeps' files can be put under each other."""

METHOD_NAMES = {"erm": "ERM", "jtt": "JTT", "group-balanced": "oracle (group-balanced)"}

_ALWAYS_SAID = ("method", "robust", "machines")
NAMES_FILE = "names.json"
_NEVER_USUAL = (*_ALWAYS_SAID, "dataset", "difficulty", "identify-schedule")
# What cannot matter on one machine: it holds all the data, takes all the steps, and its update is the whole update.
_ALIKE_ON_ONE_MACHINE = ("robust", "identify-schedule", "robust-schedule", "partition", "dirichlet-alpha")


def flatten(result: Mapping[str, Any]) -> Row:
    """Return a result as one row: nested keys joined by dots; lists (groups, machines, notes) are left out."""
    row: Row = {}
    for key, value in result.items():
        if isinstance(value, Mapping):
            row |= {f"{key}.{name}": inner for name, inner in flatten(value).items()}
        elif not isinstance(value, list) and not (key == "identification" and value is None):
            row[key] = value
    return row


def run_folders(folder: Path) -> list[Path]:
    """Return the folders of the finished runs, by name: ``runs/*`` of a sweep, or the folder itself.

    Raises
    ------
    ConfigError
        Where there is no finished run.
    """
    if (folder / "result.json").is_file():
        return [folder]
    found = sorted(marker.parent for marker in folder.glob("runs/*/done"))
    if not found:
        raise ConfigError(
            f"{folder} holds no finished run (neither result.json nor runs/*/done); "
            "name the folder that 'fedjtt run' or 'fedjtt sweep' wrote with --out"
        )
    return found


def read_runs(folder: Path) -> list[Result]:
    """Return the results of the finished runs: method by method, then by setting, machines and seed."""
    return sorted((_read_json(path / "result.json") for path in run_folders(folder)), key=_place)


def read_histories(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Return the lines of every finished run's ``metrics.jsonl``, by run id; runs without one are left out."""
    histories = {}
    for path in run_folders(folder):
        metrics = path / "metrics.jsonl"
        if metrics.is_file():
            lines = [json.loads(line) for line in metrics.read_text().splitlines() if line.strip()]
            histories[str(_read_json(path / "result.json")["run-id"])] = lines
    return histories


def read_environments(folder: Path) -> dict[str, list[str]]:
    """Return what the runs ran on: for every name in their ``environment.json`` the values that occur."""
    values: dict[str, set[str]] = {}
    for path in run_folders(folder):
        if (path / "environment.json").is_file():
            for name, value in _read_json(path / "environment.json").items():
                values.setdefault(name, set()).add(str(value))
    return {name: sorted(found) for name, found in values.items()}


def read_failures(folder: Path) -> list[dict[str, str]]:
    """Return the runs that failed, each with ``run`` and ``error``; empty where nothing says so."""
    path = folder / "failures.json"
    if not path.is_file():
        return []
    failures: list[dict[str, str]] = json.loads(path.read_text())
    return failures


def frame(runs: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Return the runs as a table, one flat row each; whole numbers stay whole where some runs have none."""
    rows = [flatten(run) for run in runs]
    further = dict.fromkeys(key for row in rows for key in row if key not in LEADING_COLUMNS)
    table = pd.DataFrame(rows, columns=[*LEADING_COLUMNS, *further])
    for name in table.columns:
        values = [row[name] for row in rows if row.get(name) is not None]
        if values and all(type(value) is int for value in values):
            table[name] = pd.array([row.get(name) for row in rows], dtype="Int64")
    return table


def write_csv(folder: Path) -> Path:
    """Write ``results.csv`` of a run's or a sweep's folder and return its path; never seen half-written."""
    path = folder / "results.csv"
    text: str = frame(read_runs(folder)).to_csv(index=False, lineterminator="\n")
    write_atomically(path, text)
    return path


def _read_json(path: Path) -> Result:
    try:
        loaded: Result = json.loads(path.read_text())
    except (FileNotFoundError, json.JSONDecodeError) as error:
        raise DataError(f"{path} cannot be read ({error}); delete the run's folder and repeat the run") from None
    return loaded


def _place(result: Result) -> tuple[Any, ...]:
    """Order runs as tables show them; whatever else varies keeps the seeds of one setting together."""
    config = result["config"]
    method = METHODS.index(config["method"]) if config["method"] in METHODS else len(METHODS)
    rest = {key: value for key, value in config.items() if key not in ("machines", "seed")}
    first = (config["dataset"], method, config["robust"], config.get("identify-schedule", ""))
    return (*first, json.dumps(rest, sort_keys=True), config["machines"], config["seed"])


@dataclass(frozen=True)
class Setting:
    """The config of runs that differ in the seed only: method, robust, machines and the keys that vary.

    Attributes
    ----------
    items : tuple of (str, Any)
        Config key and value, in the order of the schema.
    usual : frozenset of (str, Any)
        Keys with the value that most runs have: a label does not say them.
    names : tuple of (str, frozenset)
        What a label calls keys that a table of the sweep's file sets together.
    """

    items: tuple[tuple[str, Any], ...]
    usual: frozenset[tuple[str, Any]] = field(default=frozenset(), compare=False)
    names: tuple[tuple[str, frozenset[tuple[str, Any]]], ...] = field(default=(), compare=False)

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value of a config key."""
        return dict(self.items).get(key, default)

    def without(self, *keys: str) -> "Setting":
        """Return what is left when some keys are not looked at."""
        return replace(self, items=tuple(item for item in self.items if item[0] not in keys))

    def but(self, **changes: Any) -> "Setting":
        """Return the setting with other values for keys of one word."""
        return replace(self, items=tuple((key, changes.get(key, value)) for key, value in self.items))

    @property
    def label(self) -> str:
        """How tables and legends call it, such as ``JTT, central, 10 machines``."""
        called = [(name, keys) for name, keys in self.names if keys <= set(self.items)]
        covered = self.usual.union(*(keys for _, keys in called))
        return ", ".join([*(_said(*item) for item in self.items if item not in covered), *(name for name, _ in called)])


Groups = dict[Setting, list[Row]]


def _said(key: str, value: Any) -> str:
    if key == "method":
        return METHOD_NAMES.get(value, str(value))
    if key == "machines":
        return "1 machine" if value == 1 else f"{value} machines"
    return str(value) if key in ("robust", "dataset", "identify-schedule", "difficulty") else f"{key} {value}"


def varied_keys(rows: Sequence[Row]) -> list[str]:
    """Return the config keys, apart from the seed, that can change a result and differ between the runs."""
    keys = [key for key in CONFIG_KEYS if key != "seed" and key not in NOT_IN_ID]
    return [key for key in keys if len({repr(row.get(f"config.{key}")) for row in rows}) > 1]


def shared_config(rows: Sequence[Row]) -> dict[str, Any]:
    """Return the config keys that can change a result and that all runs have in common, with their values."""
    keys = [key for key in CONFIG_KEYS if key not in NOT_IN_ID and key not in ("seed", *varied_keys(rows))]
    return {key: rows[0][f"config.{key}"] for key in keys if f"config.{key}" in rows[0]}


def usual_values(rows: Sequence[Row]) -> dict[str, Any]:
    """Return the varying keys for which more than half of the runs agree, with that value: labels leave it out."""
    usual = {}
    for key in varied_keys(rows):
        value, times = Counter(row.get(f"config.{key}") for row in rows).most_common(1)[0]
        if key not in _NEVER_USUAL and 2 * times > len(rows):
            usual[key] = value
    return usual


def read_names(folder: Path) -> dict[str, dict[str, Any]]:
    """Return what the tables of the sweep's file call their values; empty where none has a name."""
    path = folder / NAMES_FILE
    names: dict[str, dict[str, Any]] = json.loads(path.read_text()) if path.is_file() else {}
    return names


def by_setting(rows: Sequence[Row], names: Mapping[str, Mapping[str, Any]] | None = None) -> Groups:
    """Group rows that differ in the seed only; `names` as :func:`read_names` returns them.

    The keys of identification and upsampling are no part of a setting that did neither.
    """
    varied = varied_keys(rows)
    keys = [key for key in CONFIG_KEYS if key in varied and key not in _ALWAYS_SAID]
    usual = frozenset(usual_values(rows).items())
    called = tuple(
        (name, own_values)
        for name, values in (names or {}).items()
        if (own_values := frozenset((key, value) for key, value in values.items() if key in varied))
    )
    groups: Groups = {}
    for row in rows:
        identifies = "identification.error-set-size" in row
        own = [key for key in keys if identifies or not key.startswith(("identify", "upsample"))]
        items = tuple((key, row.get(f"config.{key}")) for key in (*_ALWAYS_SAID, *own))
        groups.setdefault(Setting(items, usual, called), []).append(row)
    return {setting: groups[setting] for setting in sorted(groups, key=lambda s: _rank(s, list(groups)))}


def _rank(setting: Setting, order: Sequence[Setting]) -> tuple[int, int]:
    """Keep the order of the rows, but all machine counts of a variant together, ascending."""
    variants = [other.without("machines") for other in order]
    return variants.index(setting.without("machines")), setting.get("machines")


def on_one_machine(setting: Setting, groups: Groups) -> Setting | None:
    """Return the same variant on one machine, or a setting that is the same computation there; None if neither ran."""
    wanted = setting.but(machines=1)
    if wanted in groups:
        return wanted
    core = wanted.without(*_ALIKE_ON_ONE_MACHINE)
    return next((other for other in groups if other.without(*_ALIKE_ON_ONE_MACHINE) == core), None)
