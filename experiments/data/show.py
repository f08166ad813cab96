"""The datasets by name, and one of them: its groups in every split and over the machines."""

from pathlib import Path

from rich.console import Console
from rich.table import Table

from fedjtt.choices import UNPAINTED, WHOLE_IMAGES
from fedjtt.config import RunConfig
from fedjtt.data.grouped import Splits, majority_attribute
from fedjtt.data.partition import unevenness
from fedjtt.data.sources import SOURCES
from fedjtt.hosts import encoding_of, hosts_of
from fedjtt.provide import machines_of, splits_of

OWN = {
    "csv": "every machine's own CSV file, which schema-file explains; see docs/own-data.md",
    "heart4": "heart disease in four hospitals, four machines; needs their four files",
    "image-folder": "every machine's own images, listed in a CSV file; see docs/own-data.md",
}


def list_datasets(console: Console) -> None:
    """List the datasets."""
    table = Table("name", "what it is", "files needed")
    for name, summary in OWN.items():
        table.add_row(name, summary, "yes: data-dir")
    for source in SOURCES.values():
        table.add_row(source.name, source.summary, "yes: data-dir" if source.needs_files else "no")
    console.print(table)


def show_dataset(config: RunConfig, sheet: Path | None, console: Console) -> None:
    """Show the groups of one."""
    if config.own_data:
        console.print(_host_table(config))
        return
    splits = splits_of(config)
    parts = [part.train.rows for part in machines_of(config)]
    console.print(_group_table(splits, config))
    for note in splits.notes:
        console.print(f"note: {note}", highlight=False, markup=False, soft_wrap=True)
    console.print(
        f"{config.machines} machines, partition {config.partition}: {min(map(len, parts))} to {max(map(len, parts))} "
        f"train examples each, unevenness of the groups {unevenness(parts, splits.train):.3f} (0: alike, 1: disjoint)",
        highlight=False,
        soft_wrap=True,
    )
    if sheet is not None:
        from experiments.group_figures import sample_sheet

        sample_sheet(splits, sheet)
        console.print(f"sample sheet: {sheet}", highlight=False, soft_wrap=True)


def _host_table(config: RunConfig) -> Table:
    """Return the hosts' rows and their labels; this process has all files."""
    table = Table("host", "train", "validation", "test", "train rows by label", title=config.dataset)
    hosts = hosts_of(config)
    encoding = encoding_of(hosts, config.min_count)
    for number, host in enumerate(hosts):
        splits = host.encoded(encoding)
        parts = (splits.train, splits.validation, splits.test)
        labels = splits.train.label.bincount(minlength=len(splits.label_names)).tolist()
        shown = ", ".join(f"{name} {count}" for name, count in zip(splits.label_names, labels, strict=True))
        table.add_row(str(number), *(str(len(part)) for part in parts), shown)
    return table


def _group_table(splits: Splits, config: RunConfig) -> Table:
    place = "" if config.dataset in WHOLE_IMAGES else f"{config.difficulty}, "
    painted = "" if config.dataset in UNPAINTED else f"{place}strength {config.spurious_strength}, "
    title = f"{config.dataset}, {painted}seed {config.seed}"
    table = Table("label", "attribute", "train", "validation", "test", "", title=title, title_justify="left")
    majority = majority_attribute(splits.train)
    counts = [split.group_counts() for split in (splits.train, splits.validation, splits.test)]
    for label, label_name in enumerate(splits.label_names):
        for attribute, attribute_name in enumerate(splits.attribute_names):
            group = label * len(splits.attribute_names) + attribute
            kind = "majority" if int(majority[label]) == attribute else "minority"
            table.add_row(label_name, attribute_name, *(str(int(column[group])) for column in counts), kind)
    return table
