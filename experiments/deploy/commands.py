"""``fedjtt deploy``: init, check, run, local."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from experiments.options import merged, read_toml, split_texts, with_config_options
from fedjtt.config import RunConfig

deploy = typer.Typer(
    help="Run on real hosts: make keys and folders, find out what is wrong, or try it all on this machine.",
    no_args_is_help=True,
)
ConfigFile = Annotated[Path | None, typer.Option("--config", help="TOML file with keys of the run configuration.")]
Settings = Annotated[list[str] | None, typer.Option("--set", help="key=value; may be given several times.")]


@deploy.command()
def init(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Folder to write; new or empty.")],
    more: Annotated[list[str] | None, typer.Argument(hidden=True)] = None,
    hosts: Annotated[
        list[str] | None, typer.Option(metavar="NAME…", help="Names of the hosts, by blanks or commas.")
    ] = None,
    server: Annotated[
        str, typer.Option(metavar="ADDRESS", help="How the hosts reach the server: name or address, also :port.")
    ] = "localhost",
    days: Annotated[int, typer.Option(help="Days that the certificates are valid.")] = 825,
) -> None:
    """Write certificates, node keys, and a folder for the server and for every host."""
    from experiments.deploy import layout

    # An option takes one value: what follows it, as in --hosts a b c, arrives as arguments.
    names = [name for text in [*(hosts or []), *(more or [])] for name in text.split(",") if name]
    address = layout.init(directory, names, server, days)
    console = Console()
    console.print(f"{len(names)} hosts and the server: {directory / 'README.md'}", highlight=False, soft_wrap=True)
    if address.host in layout.LOOPBACK:
        console.print("note: the server is localhost, which only this machine reaches; see --server", highlight=False)


@deploy.command()
@with_config_options(many=False, leave_out=("machines", "engine", "workers", "out"))
def check(
    folder: Annotated[Path, typer.Argument(metavar="DIR/HOST", help="This host's folder.")],
    config_file: ConfigFile = None,
    settings: Settings = None,
    **options: Any,
) -> None:
    """Say what is wrong on this host before a run does: a line a check; exit code 2 if anything is."""
    from experiments.deploy.check import check as findings_of
    from experiments.deploy.check import read_place

    place = read_place(folder)
    values = {**merged(read_toml(config_file), settings or [], options), "machines": len(place.keys)}
    console = Console()
    good = True
    for finding in findings_of(place, RunConfig.parse(values)):
        console.print(str(finding), highlight=False, markup=False, soft_wrap=True)
        good = good and finding.good
    if not good:
        raise typer.Exit(2)


@deploy.command()
@with_config_options(many=False, leave_out=("machines", "engine", "workers"))
def run(
    folder: Annotated[Path, typer.Argument(metavar="DIR/server", help="The server's folder, on the server's host.")],
    texts: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE|FILE.toml]…", help="More keys; as --set and --config.")
    ] = None,
    config_file: ConfigFile = None,
    settings: Settings = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress; only the result or an error.")] = False,
    restarts: Annotated[
        int,
        typer.Option(
            min=0,
            help="With on-restart = resume: times in a row, without a new checkpoint, that a run whose server was "
            "killed or died is started again.",
        ),
    ] = 3,
    **options: Any,
) -> None:
    """Do one run over the deployment; by itself again from its checkpoint, with on-restart = resume."""
    from functools import partial

    from experiments.commands import run_command
    from experiments.deploy.check import read_place
    from experiments.deploy.start import execute_run

    place = read_place(folder)
    files, pairs = split_texts(texts or [])
    held = {key: value for file in [config_file, *files] for key, value in read_toml(file).items()}
    values = {"out": "results", **merged(held, [*pairs, *(settings or [])], options)}
    config = RunConfig.parse({**values, "machines": len(place.keys), "engine": "flower"})
    run_command(config, quiet, Console(), Console(stderr=True), partial(execute_run, server=place, restarts=restarts))


@deploy.command()
@with_config_options(many=False, leave_out=("engine", "workers"))
def local(
    config_file: ConfigFile = None,
    settings: Settings = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress; only the result or an error.")] = False,
    time_limit: Annotated[float, typer.Option(min=1, help="Seconds that all of it may take.")] = 3600.0,
    cold: Annotated[bool, typer.Option("--cold", help="Import torch for every message, as plain Flower does.")] = False,
    **options: Any,
) -> None:
    """Do one run over a server and nodes in processes of their own on this machine, with TLS and node keys."""
    config = RunConfig.parse({**merged(read_toml(config_file), settings or [], options), "engine": "flower"})
    from functools import partial

    from experiments.commands import run_command
    from experiments.deploy.local import execute_local

    run = partial(execute_local, seconds=time_limit, warm_apps=not cold)
    run_command(config, quiet, Console(), Console(stderr=True), run)
