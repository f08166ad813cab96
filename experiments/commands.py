"""What the commands do, once their options have been judged."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

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

if TYPE_CHECKING:
    from experiments.attribute import Attribution
    from fedjtt.data.grouped import Splits


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
    failures = run_grid(grid, out, jobs, quiet, errors)
    if report and len(failures) < len(grid.runs):
        report_command(out, console)
    refuse_failures(failures, grid, out)


def run_grid(grid: Grid, out: Path, jobs: int, quiet: bool, errors: Console) -> dict[str, str]:
    """Run what is not done yet and show how it goes; return the failures by run name."""
    prepare_sweep(grid, out)
    left = sum(not RunFolder(out / "runs" / run_name(config), config).done for config in grid.runs)
    if not quiet:
        errors.print(
            f"{len(grid.runs)} runs, {len(grid.runs) - left} done before, {jobs} side by side", highlight=False
        )
    with SweepProgress(errors, left, quiet) as progress:
        return run_sweep(grid, out, jobs, progress.ended)


def refuse_failures(failures: dict[str, str], grid: Grid, out: Path) -> None:
    """Raise RunError where runs of a grid failed."""
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


def attribute_command(
    folders: Sequence[Path],
    changes: dict[str, Any],
    to: Path,
    auto: bool,
    k: int,
    data_dir: Path | None,
    console: Console,
) -> None:
    """Score the train examples of finished runs, write the scores, and show who is among the most harmful."""
    from experiments.attribute import attribute, check_folder, removed_by_group, runs_of, write

    runs, config = runs_of(folders, changes, data_dir)
    check_folder(to)
    attribution, splits = attribute(runs, config, auto)
    write(attribution, splits, config, to)
    console.print(_targets_table(attribution))
    console.print(_removed_table(removed_by_group(attribution, splits.train), splits))
    if splits.train.x.dim() == 4:
        from experiments.attribution_figures import harm_sheet

        harm_sheet(attribution.alignment, splits, k, to / "harmful-helpful.png")
        console.print(f"pictures: {to / 'harmful-helpful.png'}", highlight=False, soft_wrap=True)
    console.print(f"scores: {to / 'scores.csv'}", highlight=False, soft_wrap=True)


def _targets_table(attribution: "Attribution") -> Table:
    """Return validation's groups, how badly they are served and what they count."""
    table = Table("validation group", "examples", "mean loss", "weight", title="measured on", title_justify="left")
    figures = (attribution.counts.tolist(), attribution.losses.tolist(), attribution.weights.tolist())
    for name, count, loss, weight in zip(attribution.names, *figures, strict=True):
        table.add_row(name, str(int(count)), f"{loss:.3f}" if count else "", f"{weight:.3f}")
    return table


def _removed_table(removed: Sequence[tuple[int, list[int]]], splits: "Splits") -> Table:
    """Return how many of each group are among the most harmful."""
    table = Table("train group", *(f"{k:,}" for k, _ in removed), title="of the most harmful", title_justify="left")
    table.columns[-1].header = f"all negative: {table.columns[-1].header}"
    attributes = splits.attribute_names if splits.train.attribute is not None else ("",)
    names = [f"{label} / {attribute}".rstrip(" /") for label in splits.label_names for attribute in attributes]
    for place, name in enumerate(names):
        table.add_row(name, *(str(counts[place]) for _, counts in removed))
    return table
