"""Reading what runs left: every finished run's result, as nested dicts, as flat rows and as one CSV."""

import csv
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from fedjtt.choices import METHODS, REMOVING, WITH_GROUPS
from fedjtt.config import RunConfig
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

METHOD_NAMES = {
    "erm": "ERM", "jtt": "JTT", "group-balanced": "oracle (group-balanced)", "group-dro": "GroupDRO",
    "cvar-dro": "CVaR-DRO", "agnostic": "agnostic FL", "lff": "LfF", "dfr": "DFR",
    "d3m": "D3M", "auto-d3m": "Auto-D3M", "rest": "REST",
}  # fmt: skip
GROUP_NAMES = {"true": "true groups", "inferred": "inferred groups", "class": "classes"}

NAMES_FILE = "names.json"


def method_name(config: Mapping[str, Any]) -> str:
    """Return a method's short name from a config's keys, with what makes it several: ``subset (true groups)``."""
    method = str(config["method"])
    name = METHOD_NAMES.get(method, method)
    if method == "balance":
        name = config.get("balance", name)
    if method in REMOVING and config.get("d3m-remove-by", "score") != "score":
        name = f"{config['d3m-remove-by']} removal"
    groups = GROUP_NAMES.get(str(config.get("groups"))) if method in WITH_GROUPS else None
    return f"{name} ({groups})" if groups else name


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


def read_exchanges(folder: Path) -> dict[str, int]:
    """Return, by run id, how many messages the busiest machine was sent; 0 for a run that sent none."""
    exchanges = {}
    for path in run_folders(folder):
        sent: Counter[str] = Counter()
        if (path / "ledger.csv").is_file():
            with (path / "ledger.csv").open(newline="") as ledger:
                for line in csv.DictReader(ledger):
                    sent[line["machine"]] += int(line["messages"])
        exchanges[str(_read_json(path / "result.json")["run-id"])] = max(sent.values(), default=0)
    return exchanges


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


def read_names(folder: Path) -> dict[str, dict[str, Any]]:
    """Return what the tables of the sweep's file call their values; empty where none has a name."""
    path = folder / NAMES_FILE
    names: dict[str, dict[str, Any]] = json.loads(path.read_text()) if path.is_file() else {}
    return names


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
