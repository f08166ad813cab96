"""What the commands do, once their options have been judged."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from experiments.execute import execute
from experiments.explain import explain, read_run
from experiments.explanation import show
from experiments.grid import Grid
from experiments.progress import RunProgress, SweepProgress
from experiments.sweep import prepare_sweep, run_name, run_sweep
from fedjtt.config import RunConfig
from fedjtt.errors import ConfigError, RunError
from fedjtt.tracking import RunFolder


def run_command(
    config: RunConfig, quiet: bool, console: Console, errors: Console, run: Callable[..., dict[str, Any]] = execute
) -> None:
    """Do one run, show its result and say where it is.

    Parameters
    ----------
    run : callable
        Does it: takes config, folder and observer, returns the result.
    """
    path = Path(config.out) if config.out else Path("runs") / run_name(config)
    folder = RunFolder(path, config)
    was_done = folder.done
    with RunProgress(errors, quiet) as progress:
        result = run(config, folder, progress)
    _show_result(result, console)
    console.print(f"{'was done before' if was_done else 'result'}: {path / 'result.json'}", soft_wrap=True)


def _show_result(result: dict[str, Any], console: Console) -> None:
    table = Table("split", "worst group", "average", "adjusted average", title="accuracy", title_justify="left")
    keys = ("worst-group-accuracy", "average-accuracy", "adjusted-average-accuracy")
    for split in ("validation", "test"):
        table.add_row(split, *(_number(result[split][key]) for key in keys))
    console.print(table)
    found = result["identification"]
    if found:
        factor = f", upsampling factor {found['upsample-factor']}" if "upsample-factor" in found else ""
        console.print(
            f"error set {found['error-set-size']}, precision {_number(found['precision'])}, "
            f"recall {_number(found['recall'])}{factor}",
            highlight=False,
        )
    for note in result["notes"]:
        console.print(f"note: {note}", highlight=False, markup=False, soft_wrap=True)
    console.print(
        f"round {result['selected-round']} selected by {result['config']['selection']}; "
        f"{result['seconds']['total']:.1f} CPU seconds along the slowest machines; digest {result['digest'][:16]}",
        highlight=False,
        soft_wrap=True,
    )


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3f}"


def sweep_command(
    grid: Grid, out: Path, jobs: int, report: bool, quiet: bool, console: Console, errors: Console
) -> None:
    """Run a grid, then build its report; a failed run ends in exit code 1 after all others are through."""
    prepare_sweep(grid, out)
    left = sum(not RunFolder(out / "runs" / run_name(config), config).done for config in grid.runs)
    if not quiet:
        errors.print(
            f"{len(grid.runs)} runs, {len(grid.runs) - left} done before, {jobs} side by side", highlight=False
        )
    with SweepProgress(errors, left, quiet) as progress:
        failures = run_sweep(grid, out, jobs, progress.ended)
    if report and len(failures) < len(grid.runs):
        report_command(out, console)
    if failures:
        names = ", ".join(sorted(failures)[:3])
        raise RunError(f"{len(failures)} of {len(grid.runs)} runs failed ({names}); see {out / 'failures.json'}")


def report_command(folder: Path, console: Console) -> None:
    """Build the report of a folder and say where it is."""
    if not folder.is_dir():
        raise ConfigError(f"{folder} is not a folder; name the folder of a sweep or of a run")
    from experiments.report import build_report

    path = build_report(folder)
    console.print((folder / "summary.txt").read_text(), highlight=False, markup=False, soft_wrap=True)
    console.print(f"figures: {folder / 'figures'}\nreport:  {path}", highlight=False, soft_wrap=True)


def explain_command(folder: Path, console: Console) -> None:
    """Say why a finished run came out as it did, and what to try."""
    show(explain(*read_run(folder)), console)
