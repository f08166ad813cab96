"""Whether a dataset's files are what was published, and where to get them."""

from rich.console import Console
from rich.table import Table

from fedjtt.choices import OWN_DATA
from fedjtt.config import RunConfig
from fedjtt.data.findings import Findings
from fedjtt.data.published import PUBLISHED, Published, differences
from fedjtt.data.sources import look, source
from fedjtt.errors import ConfigError, DataError
from fedjtt.provide import data_options

SHOWN = 50
"""Problems that are written out; of more, the number is said."""


def where_command(name: str, console: Console) -> None:
    """Say where to get a dataset and how to lay it out."""
    published = _published(name)
    console.print(published.where, highlight=False, markup=False, soft_wrap=True)
    if published.layout:
        console.print("Under --data-dir, or the folder that FEDJTT_DATA names:", highlight=False, soft_wrap=True)
        for line in published.layout:
            console.print(f"  {line}", highlight=False, markup=False, soft_wrap=True)
        console.print(f"Then: fedjtt data check {name} --data-dir FOLDER", highlight=False, soft_wrap=True)


def check_command(name: str, data_dir: str, console: Console, errors: Console) -> None:
    """Look at all files of a dataset, and compare its groups with the published ones.

    Parameters
    ----------
    data_dir : str
        The folder that holds them; empty: the environment's FEDJTT_DATA.

    Raises
    ------
    DataError
        Where anything is damaged, after all of it has been named.
    """
    published = _published(name)
    found = look(data_options(RunConfig.parse({"dataset": name, "data-dir": data_dir})))
    console.print(_table(name, found, published))
    for note in found.notes:
        _say(console, f"note: {note}")
    if published.counts:
        lines = differences(found, published)
        for line in lines:
            _say(console, f"differs: {line}")
        verdict = f"{len(lines)} differ from" if lines else "all are as in"
        _say(console, f"groups: {verdict} {published.counted_by}")
    else:
        _say(console, "groups: no published sizes to compare with")
    _refuse(name, found.problems, errors)
    _say(console, "files: no damage found")


def _published(name: str) -> Published:
    """Return what is known of a dataset, and refuse names that are none of a published one."""
    if name in OWN_DATA:
        raise ConfigError(f"the rows of dataset {name} are the machines' own; docs/own-data.md says how they lie")
    return PUBLISHED[source(name).name]


def _say(console: Console, line: str) -> None:
    console.print(line, highlight=False, markup=False, soft_wrap=True)


def _refuse(name: str, problems: list[str], errors: Console) -> None:
    """Name the damage, if there is any: one problem is the error, of several each has its line before it."""
    if not problems:
        return
    if len(problems) == 1:
        raise DataError(problems[0])
    for line in problems[:SHOWN]:
        _say(errors, f"damaged: {line}")
    left = f", of which {SHOWN} are shown" if len(problems) > SHOWN else ""
    raise DataError(
        f"{name} has {len(problems)} problems{left}; 'fedjtt data where {name}' says where to get its files"
    )


def _table(name: str, found: Findings, published: Published) -> Table:
    title = f"{name}: examples here / published" if published.counts else f"{name}: examples"
    table = Table("group", *found.counts, title=title, title_justify="left")
    for place, group in enumerate(found.group_names):
        cells = []
        for split, counts in found.counts.items():
            expected = published.counts.get(split)
            cells.append(f"{counts[place]}" + (f" / {expected[place]}" if expected else ""))
        table.add_row(group, *cells)
    return table
