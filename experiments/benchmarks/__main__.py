"""``python -m experiments.benchmarks [name ...] [--pairs N] [--quick]``: performance as ratios, side by side."""

import argparse
import importlib
import os
import platform
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from experiments.benchmarks.harness import Row, Setting, images_folder

BENCHMARKS = {
    "engine": ("engine:run", "the in-process engine, with one and with two workers, against a bare torch loop"),
    "program": ("program:many_examples", "the whole program against Flower's simulation: many examples, 3 rounds"),
    "program-small": ("program:few_examples", "the same: few examples, 20 rounds"),
    "data-path": ("data_path:run", "an epoch against the same steps on one fixed batch"),
    "memory": ("memory:run", "100 machines against one"),
    "dataloader": ("dataloader:run", "the training loop against a plain DataLoader loop"),
    "identification": ("identification:run", "ten machines' identification against the original's on one"),
    "deployment": ("deployment:run", "a server and four nodes on this machine against one process"),
    "methods": ("methods:run", "a round of every method against one of ERM, over ten machines"),
    "attribution": ("attribution:run", "projected gradients of every example against bare matrix products"),
    "sparse": ("sparse:run", "a masked training step against a dense one; sparse kernels against dense ones"),
    "reading": ("reading:run", "photographs from the cache against decoding each time; memory of CelebA's index"),
    "gpu": ("gpu:run", "ResNet-50 on a GPU against a bare torch loop, in images a second"),
    "ids": ("ids:run", "record types for 100,000 ids"),
}
PAIRS, QUICK_PAIRS = 3, 1


def main(arguments: list[str] | None = None) -> list[Row]:
    """Run the named benchmarks, or all, print their table and return its rows; a missed target is no failure."""
    lines = "\n".join(f"  {name:<14} {text}" for name, (_, text) in BENCHMARKS.items())
    parser = argparse.ArgumentParser(
        "experiments.benchmarks", description=__doc__, epilog=lines, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="name", help="which to run; none: all")
    parser.add_argument("--pairs", type=int, help=f"times that both sides are run (default {PAIRS})")
    parser.add_argument("--quick", action="store_true", help="a fraction of the work, one pair: does everything run?")
    given = parser.parse_args(arguments)
    if unknown := [name for name in given.names if name not in BENCHMARKS]:
        parser.error(f"unknown benchmark {unknown[0]!r}; there are {', '.join(BENCHMARKS)}")
    pairs = given.pairs if given.pairs is not None else QUICK_PAIRS if given.quick else PAIRS
    if pairs < 1:
        parser.error(f"--pairs is {pairs}; give at least 1")
    console = Console()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="fedjtt-bench-") as scratch:
        data_dir, images = images_folder(Path(scratch))
        setting = Setting(pairs, given.quick, data_dir, Path(scratch))
        for name in given.names or BENCHMARKS:
            place, text = BENCHMARKS[name]
            console.print(f"{name}: {text} ...", highlight=False, soft_wrap=True)
            module, _, function = place.partition(":")
            rows += getattr(importlib.import_module(f"experiments.benchmarks.{module}"), function)(setting)
    console.print(table_of(rows, pairs))
    for row in rows:
        console.print(f"{row.name}: {row.problem or row.how}", highlight=False, soft_wrap=True)
    console.print(f"images: {images}; {os.cpu_count()} cores, {platform.machine()}", highlight=False)
    if given.quick:
        console.print("quick: small sizes; that everything runs is all that these ratios say")
    missed = [row.name for row in rows if row.verdict in ("MISSED", "INVALID")]
    console.print(f"targets missed: {', '.join(missed) or 'none'}", highlight=False)
    return rows


def table_of(rows: list[Row], pairs: int) -> Table:
    """Return the table: the ratio's median and its range over the pairs, what it is held against, and the verdict."""
    table = Table(title=f"ratios, medians of {pairs} interleaved pairs", title_justify="left")
    for column in ("name", "ratio", "range", "target", "verdict"):
        table.add_column(column, no_wrap=True)
    for row in rows:
        sign = ">=" if row.at_least else "<="
        target = "" if row.target is None else f"{sign} {row.target:.2f}"
        span = f"{min(row.ratios):.2f} to {max(row.ratios):.2f}"
        table.add_row(row.name, f"{row.ratio:.3f}", span, target, row.verdict)
    return table


if __name__ == "__main__":
    main()
