"""Hyper-parameters from a tuning sweep: of every variant the values with the best mean on validation, never on test."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from experiments.config_keys import uses
from experiments.options import check_place
from experiments.results import CONFIG_KEYS, Row, flatten, read_runs
from experiments.settings import Setting, by_setting, said
from experiments.statistics import Estimate, estimate
from experiments.table import Table, as_rich
from fedjtt.errors import ConfigError, nearest
from fedjtt.methods.assess import SELECTION_SCORE
from fedjtt.tracking import write_atomically


@dataclass(frozen=True)
class Choice:
    """What a variant was tried with, and what came of it.

    Attributes
    ----------
    variant : Setting
        Without the tuned keys.
    tried : dict
        Values of the tuned keys, in their order, to the measure's mean over seeds; best first, earlier tried of equals.
    row : Row
        A run of the best values.
    """

    variant: Setting
    tried: dict[tuple[tuple[str, Any], ...], Estimate]
    row: Row

    @property
    def best(self) -> dict[str, Any]:
        """The chosen value of every tuned key that can have mattered."""
        return dict(next(iter(self.tried)))


def choose(rows: Sequence[Row], tuned: Sequence[str], by: str = "val-worst-group") -> list[Choice]:
    """Return one choice a variant, which is a setting without the tuned keys.

    Raises
    ------
    ConfigError
        For an unknown key or measure, where no run has the measure, and where a setting was not tried on the seeds of
        the others of its variant: then means are of different problems.
    """
    for key in tuned:
        if key not in CONFIG_KEYS:
            raise ConfigError(f"--tuned names {key!r}, which is no config key{nearest(key, CONFIG_KEYS)}")
    if by not in SELECTION_SCORE:
        raise ConfigError(f"--by is {by!r}; allowed: {', '.join(SELECTION_SCORE)}")
    measure = f"validation.{SELECTION_SCORE[by]}"
    tried: dict[Setting, list[tuple[tuple[tuple[str, Any], ...], Estimate, Row]]] = {}
    seeds: dict[Setting, set[tuple[int, ...]]] = {}
    for setting, own in by_setting(rows).items():
        value = estimate(own, measure)
        if value is None:
            raise ConfigError(f"{setting.label}: no run has {measure}; choose by another measure with --by")
        values = tuple((key, own[0][f"config.{key}"]) for key in tuned if uses(own[0], key))
        variant = setting.without(*tuned)
        tried.setdefault(variant, []).append((values, value, own[0]))
        seeds.setdefault(variant, set()).add(tuple(sorted(row["config.seed"] for row in own)))
    uneven = [variant.label for variant, found in seeds.items() if len(found) > 1]
    if uneven:
        raise ConfigError(f"{uneven[0]}: its values were not tried on the same seeds; run the sweep again to its end")
    return [_choice(variant, found) for variant, found in tried.items()]


def _choice(variant: Setting, found: list[tuple[tuple[tuple[str, Any], ...], Estimate, Row]]) -> Choice:
    ranked = sorted(found, key=lambda one: -one[1].mean)
    return Choice(variant, {values: value for values, value, _ in ranked}, ranked[0][2])


def choices_table(choices: Sequence[Choice], by: str) -> Table:
    """Return one row a variant: how many were tried, what was chosen, and what all came to."""
    rows = tuple(
        (choice.variant.label, str(len(choice.tried)), _said(next(iter(choice.tried))),
         "; ".join(f"{_said(values)}: {100 * value.mean:.1f}" for values, value in choice.tried.items()))
        for choice in choices
    )  # fmt: skip
    seeds = max(value.n for choice in choices for value in choice.tried.values())
    caption = (
        f"Chosen by the mean of {by} on validation over {seeds} seed{'s' if seeds > 1 else ''}; test was not looked "
        "at. Tried: best first, in percent."
    )
    return Table("Chosen settings", caption, ("variant", "tried", "chosen", "all tried"), rows)


def _said(values: Sequence[tuple[str, Any]]) -> str:
    return ", ".join(said(*item) for item in values)


def choices_toml(choices: Sequence[Choice], tuned: Sequence[str]) -> str:
    """Return the choices as ``[[sweep]]`` tables, to be put under a base with dataset and fresh seeds."""
    tables = []
    for choice in choices:
        keys = {key: choice.row[f"config.{key}"] for key, _ in choice.variant.items if key not in tuned}
        lines = [f"{key} = {json.dumps(value)}" for key, value in {**keys, **choice.best}.items() if value is not None]
        tables.append("\n".join(["[[sweep]]", *lines]))
    return "\n\n".join(tables) + "\n"


def choose_command(folder: Path, tuned: Sequence[str], by: str, to: Path | None, console: Console) -> None:
    """Show what to choose after a tuning sweep, and write it as a sweep's tables into a new file."""
    if to is not None:
        check_place(to.parent)
    if to is not None and to.exists():
        raise ConfigError(f"{to} is there already; name a new file with --to, or move it away")
    choices = choose([flatten(run) for run in read_runs(folder)], tuned, by)
    console.print(as_rich(choices_table(choices, by)))
    if to is not None:
        write_atomically(to, choices_toml(choices, tuned))
