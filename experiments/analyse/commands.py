"""``fedjtt analyse``: spectrum."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

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
    to: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder for the results; none: spectrum, in RUN or, of several, here."),
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="Eigenvalues of each group to write and draw.")] = 10,
    data_dir: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where the data is now; none: where it was.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress; only the result or an error.")] = False,
) -> None:
    """Say how the groups' features are spread: eigenvalues per group, and the imbalance inside each class."""
    from experiments.analyse.spectrum_report import spectrum_report

    place = to or (folders[0] / "spectrum" if len(folders) == 1 else Path("spectrum"))
    spectrum_report(folders, place, top, data_dir, quiet, Console(), Console(stderr=True))
