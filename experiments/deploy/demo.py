"""``make deploy-demo``: four hosts with rows of their own, TLS and node keys; JTT beside ERM, by group and host.

Both runs go over one deployment and side by side: a node that waits for one run's next message works for the other.
"""

import argparse
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from rich.console import Console

from experiments.deploy import loopback
from experiments.deploy.demo_data import DemoData, demo_data
from experiments.deploy.group_table import Names, csv_of, lines_of, table_of
from experiments.deploy.local import local_deployment
from experiments.deploy.visit import run_over
from experiments.options import merged, read_toml
from fedjtt.config import RunConfig
from fedjtt.errors import ConfigError, EngineError, UserError
from fedjtt.tracking import RunFolder, write_atomically

CONFIG = Path(__file__).parents[1] / "configs" / "deploy-demo.toml"
METHODS = {"ERM": "erm", "JTT": "jtt"}
WRITTEN = ("data", *METHODS.values(), loopback.LOGS, "groups.txt", "groups.csv")
WIDTH = 132
SECONDS = 900.0


class _Rounds:
    """Prints a line a round; what a terminal and a log can both show of two runs at once."""

    def __init__(self, name: str, console: Console) -> None:
        self._name, self._console = name, console

    def progress(self, stage: str, server_round: int, rounds: int, figures: Mapping[str, Any]) -> None:
        """Say that a round has ended."""
        worst = figures.get("validation.worst-group-accuracy")
        said = "" if worst is None else f", worst group on validation {worst:.2f}"
        self._console.print(f"{self._name}: {stage} {server_round}/{rounds}{said}", highlight=False)


def run_side_by_side(
    configs: Mapping[str, RunConfig], out: Path, console: Console, seconds: float = SECONDS
) -> dict[str, dict[str, Any]]:
    """Do runs of as many machines over one deployment and return their results, which are also in ``out/NAME``.

    Raises
    ------
    FedJTTError
        What the first failed run raised; where Flower failed, the logs of all hosts are in ``out/logs``.
    """
    deadline = time.monotonic() + seconds
    folders = {name: RunFolder(out / config.method, config) for name, config in configs.items()}
    # In this order: the end of the deployment ends the runs that the threads watch, also when this one is interrupted.
    with ThreadPoolExecutor(len(configs)) as pool, local_deployment(next(iter(configs.values())), deadline) as home:
        console.print(f"a server and {next(iter(configs.values())).machines} nodes run, with TLS and node keys")
        try:
            running = [
                pool.submit(run_over, home, configs[name], folders[name], _Rounds(name, console), deadline)
                for name in configs
            ]
            return {name: each.result() for name, each in zip(configs, running, strict=True)}
        except EngineError:
            shutil.copytree(home / loopback.LOGS, out / loopback.LOGS, dirs_exist_ok=True)
            raise


def configs_of(data: DemoData, settings: Sequence[str], config_file: Path = CONFIG) -> dict[str, RunConfig]:
    """Return the configs by name: the same but for the method."""
    values = {**merged(read_toml(config_file), settings, {}), **data.keys, "engine": "flower"}
    return {name: RunConfig.parse({**values, "method": method}) for name, method in METHODS.items()}


def clear(out: Path) -> None:
    """Make a new folder, or remove what an earlier demonstration has left in it.

    Raises
    ------
    ConfigError
        Where it holds anything else.
    """
    if out.exists() and (not out.is_dir() or {path.name for path in out.iterdir()} - set(WRITTEN)):
        raise ConfigError(f"{out} holds other files; name a new folder by --out")
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)


def show(results: Mapping[str, Mapping[str, Any]], data: DemoData, out: Path, console: Console) -> None:
    """Print the table, and write it as text and as CSV."""
    names = Names(data.hosts, data.labels, data.attributes)
    lines = lines_of(results, names)
    seed = next(iter(results.values()))["config"]["seed"]
    table = table_of(lines, names, "accuracy on the hosts' test rows (correct/examples)")
    note = (
        f"{data.about}. Federated training, one run a method, seed {seed}, rounds selected by the worst group on the "
        "hosts' validation rows. A group without examples is not scored. Test groups are small: see the numbers in "
        "brackets before you compare."
    )
    with (out / "groups.txt").open("w") as file:
        for each in (console, Console(file=file, width=WIDTH)):
            each.print(table)
            each.print(note, highlight=False)
    write_atomically(out / "groups.csv", csv_of(lines, names))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demonstration into a folder and return the exit code."""
    parser = argparse.ArgumentParser("experiments.deploy.demo", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("deploy-demo"), help="folder to write")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="settings", help="as in a run")
    given = parser.parse_args(arguments)
    console, out = Console(), given.out
    started = time.monotonic()
    try:
        clear(out)
        data = demo_data(out / "data")
        console.print(f"{data.about}: {', '.join(data.hosts)}", highlight=False)
        results = run_side_by_side(configs_of(data, given.settings), out, Console(stderr=True))
    except UserError as error:
        Console(stderr=True).print(f"fedjtt: {error}", highlight=False, markup=False, soft_wrap=True)
        return 2
    except EngineError as error:
        Console(stderr=True).print(f"fedjtt: {error}", highlight=False, markup=False, soft_wrap=True)
        return 1
    show(results, data, out, console if console.width >= WIDTH else Console(width=WIDTH))
    console.print(f"{time.monotonic() - started:.0f} s; {out}: groups.txt, groups.csv, erm/, jtt/", highlight=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
