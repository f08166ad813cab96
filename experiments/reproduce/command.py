"""What ``fedjtt reproduce`` does, once its options have been judged."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import rich.table
from rich.console import Console

from experiments.commands import refuse_failures, run_grid
from experiments.reproduce.comparison import compare, comparison_csv, comparison_table, reasons
from experiments.reproduce.plan import Planned, look_for_data, plan, whole_grid
from experiments.reproduce.tables import PublishedTable, read_table, table_names
from experiments.sweep import run_name
from experiments.table import as_markdown, as_text
from fedjtt.errors import ConfigError, DataError
from fedjtt.tracking import RunFolder, write_atomically

CSV_FILE, MARKDOWN_FILE = "reproduced.csv", "reproduced.md"


def list_command(console: Console) -> None:
    """List the tables."""
    listed = rich.table.Table("table", "what it shows", "cells", "needs")
    for table in map(read_table, table_names()):
        listed.add_row(table.name, table.title, str(len(table.cells)), table.needs)
    console.print(listed)
    _say(["Run one: fedjtt reproduce TABLE --data-dir FOLDER --out DIR; docs/reproduce.md says more."], console)


def reproduce_command(
    name: str,
    only: str | None,
    seeds: str | None,
    changes: Mapping[str, Any],
    out: Path,
    jobs: int,
    dry: bool,
    quiet: bool,
    console: Console,
    errors: Console,
) -> None:
    """Run what a table lacks and show it beside what was published.

    Raises
    ------
    DataError
        Where no cell can be run and none has been.
    RunError
        Where runs failed, after all others are through.
    """
    table = read_table(name) if only is None else read_table(name).only(only)
    planned = look_for_data(plan(table, changes, seeds))
    if dry:
        _show_plan(planned, out, console)
        return
    ready = [one for one in planned if one.lacking is None]
    if not ready and not any(_done(one, out) for one in planned):
        raise DataError(f"no cell of {name} can be run here: {planned[0].lacking}")
    grid = whole_grid(ready)
    failures = run_grid(grid, out, jobs, quiet, errors) if ready else {}
    _write(table, planned, failures, changes, out, console)
    refuse_failures(failures, grid, out)


def _write(
    table: PublishedTable,
    planned: Sequence[Planned],
    failures: Mapping[str, str],
    changes: Mapping[str, Any],
    out: Path,
    console: Console,
) -> None:
    """Print the comparison and write it into the folder, as a table for people and as one of numbers."""
    lines = compare(planned, out, failures)
    changed = ", ".join(f"{key} = {value}" for key, value in changes.items() if key != "data-dir")
    shown, notes = comparison_table(table.title, table.source, lines, changed), reasons(lines)
    write_atomically(out / CSV_FILE, comparison_csv(table.name, lines))
    write_atomically(out / MARKDOWN_FILE, "\n".join([as_markdown(shown), *(f"* {note}" for note in notes)]))
    _say([as_text(shown), *notes], console)
    _say([f"tables: {out / CSV_FILE}, {out / MARKDOWN_FILE}"], console)


def _say(lines: Iterable[str], console: Console) -> None:
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def _done(one: Planned, out: Path) -> int:
    return sum(RunFolder(out / "runs" / run_name(config), config).done for config in one.runs)


def _show_plan(planned: Sequence[Planned], out: Path, console: Console) -> None:
    """Say what would be run; nothing is written."""
    shown = rich.table.Table("method", "data", "runs", "done", "can be run here")
    for one in planned:
        here = "yes" if one.lacking is None else "no"
        shown.add_row(one.cell.row, one.cell.column, str(len(one.runs)), str(_done(one, out)), here)
    console.print(shown)
    _say(dict.fromkeys(f"{one.cell.column}: {one.lacking}" for one in planned if one.lacking), console)


def check_changes(changes: Mapping[str, Any]) -> None:
    """Refuse keys that choose the runs rather than change them."""
    for key, instead in (("seed", "--seeds"), ("seeds", "--seeds"), ("out", "--out"), ("data-dir", "--data-dir")):
        if key in changes:
            raise ConfigError(f"--set names {key}; give {instead} instead")
