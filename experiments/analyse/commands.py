"""``fedjtt analyse``: spectrum, scaling, mixture, choose, methods."""

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
