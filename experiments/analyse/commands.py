"""``fedjtt analyse``: spectrum."""

from pathlib import Path
from typing import Annotated

import typer

analyse = typer.Typer(
    help="Look into what finished runs left: the spectra of the groups' features.",
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
