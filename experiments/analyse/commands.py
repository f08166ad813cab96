"""``fedjtt analyse``: spectrum, scaling, mixture."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

analyse = typer.Typer(
    help="Look into what finished runs left: spectra of the groups' features, accuracy against a network's size or a "
    "mixture's ratio.",
    no_args_is_help=True,
)


@analyse.callback()
def _group() -> None:
    """Keep the command's name necessary while there is only one (typer would drop it)."""


@analyse.command()
def spectrum(
    folders: Annotated[
        list[Path], typer.Argument(metavar="RUN…", help="Folders of finished runs, or of sweeps: all their runs.")
    ],
) -> None:
    """Show how the groups' features are spread: eigenvalues per group, and the imbalance inside each class."""
    from fedjtt.errors import ConfigError

    raise ConfigError(f"analyse spectrum {folders[0]}: not there yet")


Sweep = Annotated[Path, typer.Argument(metavar="SWEEP", help="Folder of a sweep, finished or not.")]
To = Annotated[Path | None, typer.Option(metavar="DIR", help="Folder for the results; none: one in SWEEP.")]


@analyse.command()
def scaling(folder: Sweep, to: To = None) -> None:
    """Say what a network's size does: accuracies by width or depth for every variant of a sweep."""
    from experiments.analyse.scaling import scaling_report

    scaling_report(folder, to or folder / "scaling", Console())


@analyse.command()
def mixture(folder: Sweep, to: To = None) -> None:
    """Say what a mixture's ratio does, with groups cut first and not."""
    from experiments.analyse.mixture import mixture_report

    mixture_report(folder, to or folder / "mixture", Console())
