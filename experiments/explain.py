"""Why a run came out as it did: reading what it left, its facts, and what is odd about them. Nothing is trained."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.cautions import Caution, cautions_of
from experiments.findings import Facts, Result, facts_of
from experiments.results import run_folders
from experiments.rounds import Line
from fedjtt.errors import ConfigError, DataError

_NEEDED = {"config", "test", "validation", "identification", "selected-round", "seconds", "bytes", "notes"}
_NAMED = 5


@dataclass(frozen=True)
class Explanation:
    """A run explained.

    Attributes
    ----------
    facts : Facts
        What came out.
    warnings : tuple of Caution
        What is odd, each with what to try.
    notes : tuple of str
        The run's own notes, as far as no warning says the same.
    """

    facts: Facts
    warnings: tuple[Caution, ...]
    notes: tuple[str, ...]


def explain(result: Result, history: Sequence[Line]) -> Explanation:
    """Explain a run by its result and the lines of its ``metrics.jsonl``."""
    facts = facts_of(result, history)
    warnings = cautions_of(facts)
    covered = [caution.covers for caution in warnings if caution.covers is not None]
    return Explanation(facts, warnings, tuple(n for n in facts.notes if not any(words in n for words in covered)))


def read_run(folder: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return a finished run's result and the lines of its history, which may be none.

    Raises
    ------
    ConfigError
        Where the folder is not that of one finished run.
    DataError
        Where its files are damaged.
    """
    path, metrics = folder / "result.json", folder / "metrics.jsonl"
    if not folder.is_dir():
        raise ConfigError(f"{folder} is not a folder; name the folder that 'fedjtt run' wrote")
    if not path.is_file():
        raise ConfigError(_what_it_is(folder))
    result = _parsed(path, path.read_bytes())
    if missing := sorted(_NEEDED - result.keys()):
        raise DataError(f"{path} is no result of a run: it lacks {', '.join(missing)}; name another folder")
    lines = metrics.read_bytes().splitlines() if metrics.is_file() else []
    return result, [_parsed(metrics, line) for line in lines if line.strip()]


def _what_it_is(folder: Path) -> str:
    """Say what a folder without a result holds: a sweep, an unfinished run, or nothing of ours (which raises)."""
    if (folder / "config.json").is_file():
        return f"{folder} holds a run that has not finished; repeat its command, and it will"
    names = [run.name for run in run_folders(folder)]
    shown = ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
    return f"{folder} is a sweep with {len(names)} runs ({shown}); pick one: fedjtt explain {folder}/runs/{names[0]}"


def _parsed(path: Path, text: bytes) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:  # no JSON, or no UTF-8
        raise DataError(f"{path} cannot be read ({error}); delete the run's folder and repeat the run") from None
    if not isinstance(value, dict):
        raise DataError(f"{path} cannot be read (it holds no object); delete the run's folder and repeat the run")
    return value
