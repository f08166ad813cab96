"""``fedjtt analyse``: spectrum, choose, methods."""

from pathlib import Path
from typing import Annotated

import typer

analyse = typer.Typer(
    help="Look into what finished runs left: hyper-parameters, methods side by side, the spectra of groups' features.",
    no_args_is_help=True,
)


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
    from rich.console import Console

    from experiments.analyse.spectrum_report import spectrum_report

    place = to or (folders[0] / "spectrum" if len(folders) == 1 else Path("spectrum"))
    spectrum_report(folders, place, top, data_dir, quiet, Console(), Console(stderr=True))


@analyse.command(name="choose")
def choose_settings(
    folder: Annotated[Path, typer.Argument(metavar="SWEEP", help="Folder of a sweep over hyper-parameters.")],
    tuned: Annotated[str, typer.Option(help="Keys to choose, comma-separated; all others tell the variants apart.")],
    by: Annotated[
        str, typer.Option(help="What of validation: val-worst-group, val-worst-class, val-average, …")
    ] = "val-worst-group",
    to: Annotated[
        Path | None, typer.Option(help="Write the choices as [[sweep]] tables into this new TOML file.")
    ] = None,
) -> None:
    """Choose every method's hyper-parameters by the validation split of a tuning sweep; test is not read."""
    from rich.console import Console

    from experiments.analyse.choose import choices_table, choices_toml, choose
    from experiments.results import flatten, read_runs
    from experiments.tables import as_rich
    from fedjtt.errors import ConfigError
    from fedjtt.tracking import write_atomically

    if to is not None and to.exists():
        raise ConfigError(f"{to} is there already; name a new file with --to, or move it away")
    keys = [key.strip() for key in tuned.split(",") if key.strip()]
    choices = choose([flatten(run) for run in read_runs(folder)], keys, by)
    Console().print(as_rich(choices_table(choices, by)))
    if to is not None:
        write_atomically(to, choices_toml(choices, keys))


@analyse.command(name="methods")
def compare_methods(
    folder: Annotated[Path, typer.Argument(metavar="SWEEP", help="Folder of a sweep over methods.")],
    to: Annotated[Path, typer.Option(help="Folder for methods.md, methods.csv and methods.png.")] = Path("methods"),
) -> None:
    """Put methods side by side: central and federated, their cost, and the gap that each closes."""
    from rich.console import Console

    from experiments import drawing
    from experiments.analyse.methods import comparison
    from experiments.method_figures import wga_by_method
    from experiments.results import flatten, read_exchanges, read_names, read_runs
    from experiments.settings import by_setting
    from experiments.tables import as_csv, as_markdown, as_rich
    from fedjtt.tracking import write_atomically

    groups = by_setting([flatten(run) for run in read_runs(folder)], read_names(folder))
    table = comparison(groups, read_exchanges(folder))
    Console().print(as_rich(table))
    write_atomically(to / "methods.md", as_markdown(table))
    write_atomically(to / "methods.csv", as_csv([table]))
    figure = wga_by_method(groups)
    if figure is not None:
        drawing.save(figure, to / "methods.png")
    Console().print(f"written: {to}", soft_wrap=True)
