"""``fedjtt analyse``: choose, methods, spectrum, cam, scaling, mixture."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

analyse = typer.Typer(
    help="Look into what finished runs left: settings chosen on validation, methods side by side, spectra of the "
    "groups' features, where in images networks look, accuracy against a network's size or a mixture's ratio.",
    no_args_is_help=True,
)
Sweep = Annotated[Path, typer.Argument(metavar="SWEEP", help="Folder of a sweep, finished or not.")]
To = Annotated[Path | None, typer.Option(metavar="DIR", help="Folder for the results; none: one in SWEEP.")]


@analyse.command()
def choose(
    folder: Sweep,
    tuned: Annotated[str, typer.Option(help="Keys to choose, comma-separated; all others tell the variants apart.")],
    by: Annotated[
        str, typer.Option(help="What of validation: val-worst-group, val-worst-class, val-average, …")
    ] = "val-worst-group",
    to: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the choices as [[sweep]] tables into this new TOML file.")
    ] = None,
) -> None:
    """Choose every method's hyper-parameters by the validation split of a tuning sweep; test is not read."""
    from experiments.analyse.choose import choose_command

    choose_command(folder, [key.strip() for key in tuned.split(",") if key.strip()], by, to, Console())


@analyse.command()
def methods(folder: Sweep, to: To = None) -> None:
    """Put methods side by side: central and federated, their cost, and the gap that each closes."""
    from experiments.analyse.methods import methods_report

    methods_report(folder, to or folder / "methods", Console())


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


@analyse.command()
def cam(
    folders: Annotated[
        list[Path],
        typer.Argument(metavar="RUN…", help="Folders of finished runs, or of sweeps; of over four, one a method."),
    ],
    to: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder for the sheet; none: cam, in RUN or, of several, here.")
    ] = None,
    data_dir: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where the data is now; none: where it was.")
    ] = None,
) -> None:
    """Show where in an image networks saw their label (Grad-CAM), side by side on test images of every group."""
    from experiments.analyse.cam import cam_report

    cam_report(folders, to or (folders[0] / "cam" if len(folders) == 1 else Path("cam")), data_dir, Console())


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
