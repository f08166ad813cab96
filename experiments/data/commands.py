"""``fedjtt data``: show (also without the word), where, check."""

from pathlib import Path
from typing import Annotated, Any

import click
import typer
from rich.console import Console
from typer.core import TyperGroup

from experiments.options import merged, read_toml, with_config_options
from fedjtt.config import RunConfig

SHOW = "show"


class _ShowUnlessSaid(TyperGroup):
    """A group whose command may be left out: ``fedjtt data digits`` shows the digits, ``fedjtt data`` lists all."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the left-out command in."""
        said = args[:1] and (args[0] in self.commands or args[0] in ctx.help_option_names)
        return super().parse_args(ctx, args if said else [SHOW, *args])


data = typer.Typer(
    cls=_ShowUnlessSaid,
    help="List the datasets, show one, say where to get it, or check its files. 'fedjtt data NAME' shows it.",
)
Name = Annotated[str, typer.Argument(help="Dataset.")]


@data.command(SHOW)
@with_config_options(many=False, leave_out=("dataset",))
def show(
    name: Annotated[str | None, typer.Argument(help="Dataset; none: list all.")] = None,
    sheet: Annotated[Path | None, typer.Option(help="Write a PNG with samples of every group.")] = None,
    config_file: Annotated[
        Path | None, typer.Option("--config", help="TOML file with keys of the run configuration.")
    ] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", help="key=value; may be given several times.")] = None,
    **options: Any,
) -> None:
    """List the datasets, or show one: its groups in every split and over the machines, and a sample sheet."""
    given = merged(read_toml(config_file), settings or [], options)
    from experiments.data.show import list_datasets, show_dataset

    if name is None:
        list_datasets(Console())
    else:
        show_dataset(RunConfig.parse({**given, "dataset": name}), sheet, Console())


@data.command()
def where(name: Name) -> None:
    """Say where to get a dataset and how its files lie in the data-dir."""
    from experiments.data.check import where_command

    where_command(name, Console())


@data.command()
def check(
    name: Name,
    data_dir: Annotated[
        str, typer.Option(metavar="DIR", help="Folder that holds the dataset's files; empty: FEDJTT_DATA.")
    ] = "",
) -> None:
    """Look at all of a dataset's files: damage (exit code 2), and its groups' sizes against the published ones."""
    from experiments.data.check import check_command

    check_command(name, data_dir, Console(), Console(stderr=True))
