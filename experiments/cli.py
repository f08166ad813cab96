"""``fedjtt``: run, sweep, reproduce, report, explain, analyse, attribute, data, deploy."""

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import click
import typer
from rich.console import Console

from experiments.analyse.commands import analyse
from experiments.data.commands import data
from experiments.deploy.commands import deploy
from experiments.options import merged, read_toml, with_config_options
from fedjtt.config import RunConfig
from fedjtt.errors import ConfigError, FedJTTError
from fedjtt.tracking import settings_of_run

app = typer.Typer(
    name="fedjtt",
    help="Find the minority over many machines and train for the worst group, centrally or federatedly.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(analyse, name="analyse")
app.add_typer(data, name="data")
app.add_typer(deploy, name="deploy")
ConfigFile = Annotated[Path | None, typer.Option("--config", help="TOML file with keys of the run configuration.")]
Settings = Annotated[list[str] | None, typer.Option("--set", help="key=value; may be given several times.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress; only the result or an error.")]


@app.command()
@with_config_options(many=False)
def run(
    config_file: ConfigFile = None,
    settings: Settings = None,
    resume: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Go on with the unfinished run in this folder, as it was set.")
    ] = None,
    quiet: Quiet = False,
    **options: Any,
) -> None:
    """Do one run and write its result into a folder."""
    given = merged(read_toml(config_file), settings or [], options)
    if resume is not None:
        if given:
            raise ConfigError("--resume takes the settings from the run's folder; leave out all others")
        given = settings_of_run(resume)
    config = RunConfig.parse(given)
    from experiments.commands import run_command

    run_command(config, quiet, Console(), Console(stderr=True))


@app.command()
@with_config_options(many=True, leave_out=("seed", "out"))
def sweep(
    config_file: ConfigFile = None,
    settings: Settings = None,
    seeds: Annotated[str | None, typer.Option(help="A number n (0 to n - 1), or a list such as 0,1,5.")] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Runs side by side.")] = max(1, os.cpu_count() or 1),
    out: Annotated[Path, typer.Option(help="Folder of the sweep.")] = Path("sweep"),
    report: Annotated[bool, typer.Option("--report/--no-report", help="Build tables and figures at the end.")] = True,
    quiet: Quiet = False,
    **options: Any,
) -> None:
    """Do a grid of runs: every option may be a comma-separated list."""
    given = merged(read_toml(config_file), settings or [], options)
    if seeds is not None:
        given["seeds"] = seeds
    from experiments.grid import build_grid

    grid = build_grid(given)
    from experiments.commands import sweep_command

    sweep_command(grid, out, jobs, report, quiet, Console(), Console(stderr=True))


@app.command()
def reproduce(
    table: Annotated[str | None, typer.Argument(help="Published table; none: list them all.")] = None,
    only: Annotated[
        str | None, typer.Option(metavar="NAMES", help="Rows, columns or row/column, with commas between them.")
    ] = None,
    seeds: Annotated[
        str | None, typer.Option(help="A number n (0 to n - 1), or a list such as 0,1,5; none: the table's own.")
    ] = None,
    settings: Settings = None,
    data_dir: Annotated[
        str, typer.Option(metavar="DIR", help="Folder that holds the datasets; empty: FEDJTT_DATA.")
    ] = "",
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder of the runs and the comparison; none: reproduced/TABLE.")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Runs side by side.")] = max(1, os.cpu_count() or 1),
    dry: Annotated[bool, typer.Option("--dry-run", help="Only say what would be run, and what is missing.")] = False,
    quiet: Quiet = False,
) -> None:
    """Run or resume a published table, and show ours beside what was published, cell by cell."""
    from experiments.reproduce.command import check_changes, list_command, reproduce_command

    if table is None:
        list_command(Console())
        return
    changes: dict[str, Any] = merged({}, settings or [], {})
    check_changes(changes)
    changes |= {"data-dir": data_dir} if data_dir else {}
    place = Path("reproduced") / table if out is None else out
    reproduce_command(table, only, seeds, changes, place, jobs, dry, quiet, Console(), Console(stderr=True))


@app.command()
def report(folder: Annotated[Path, typer.Argument(help="Folder of a sweep or of a run.")]) -> None:
    """Rebuild tables, figures and report.html from what a sweep left."""
    from experiments.commands import report_command

    report_command(folder, Console())


@app.command()
def explain(folder: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of one finished run.")]) -> None:
    """Say why a run came out as it did: groups, error set, upsampling, rounds, and what is odd, with what to try."""
    from experiments.commands import explain_command

    explain_command(folder, Console())


@app.command()
def attribute(
    folders: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Folders of finished runs over one dataset.")],
    to: Annotated[Path, typer.Option("--to", metavar="DIR", help="Where scores and pictures go.")],
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="key=value of how to attribute; may be given several times.")
    ] = None,
    auto: Annotated[bool, typer.Option("--auto", help="Find validation's groups, as auto-d3m does.")] = False,
    k: Annotated[int, typer.Option("-k", min=1, help="Pictures of the most harmful, and of the most helpful.")] = 16,
    data_dir: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where the data is now; none: where it was.")
    ] = None,
) -> None:
    """Score every train example by what it does to validation's groups, by the models of runs: who harms, who helps."""
    given = merged({}, settings or [], {})
    from experiments.commands import attribute_command

    attribute_command(folders, given, to, auto, k, data_dir, Console())


def main() -> None:
    """Run the command line; an error of the user's, or of a run, is one line and an exit code."""
    try:
        sys.exit(app(standalone_mode=False))
    except click.exceptions.NoArgsIsHelpError as error:
        print(error.ctx.get_help())
        sys.exit(error.exit_code)
    except click.ClickException as error:  # an unknown option or command
        print(f"fedjtt: {' '.join(error.format_message().split())}", file=sys.stderr)
        sys.exit(error.exit_code)
    except click.Abort:
        print("fedjtt: stopped", file=sys.stderr)
        sys.exit(130)
    except FedJTTError as error:
        print(f"fedjtt: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
