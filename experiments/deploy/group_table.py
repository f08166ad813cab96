"""Group accuracies of runs over hosts' own rows: overall and per host, as a table and as rows of a CSV file."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.table import Table

NO_EXAMPLE = "no example"
EVERYWHERE = "all"


@dataclass(frozen=True)
class Names:
    """What people call hosts and groups, in the order of their numbers."""

    hosts: tuple[str, ...]
    labels: tuple[str, ...]
    attributes: tuple[str, ...]

    @property
    def groups(self) -> list[str]:
        """Names of the groups, label by label."""
        return [f"{label} {attribute}" for label in self.labels for attribute in self.attributes]


@dataclass(frozen=True)
class Line:
    """One method's correct predictions and examples of every group, on one host or over all."""

    method: str
    host: str
    correct: tuple[int, ...]
    count: tuple[int, ...]

    @property
    def worst(self) -> int | None:
        """The group with the lowest accuracy of those that have examples."""
        present = [group for group, count in enumerate(self.count) if count]
        return min(present, key=lambda group: self.correct[group] / self.count[group], default=None)


def lines_of(results: Mapping[str, Mapping[str, Any]], names: Names, split: str = "test") -> list[Line]:
    """Return the lines of runs by method, host by host; first those over all hosts.

    Parameters
    ----------
    results : mapping
        Results of runs that were evaluated where the rows are, by what the method is called.
    """
    found = []
    for method, result in results.items():
        figures = result[split]
        overall = (tuple(group[name] for group in figures["groups"]) for name in ("correct", "count"))
        found.append(Line(method, EVERYWHERE, *overall))
        for own in figures["machines"]:
            found.append(Line(method, names.hosts[own["machine"]], tuple(own["correct"]), tuple(own["count"])))
    order = [EVERYWHERE, *names.hosts]
    return sorted(found, key=lambda line: order.index(line.host))


def table_of(lines: Sequence[Line], names: Names, title: str) -> Table:
    """Return the table: accuracy (correct/examples) of every group; one without examples has none."""
    table = Table("host", "training", *names.groups, "worst group", title=title, title_justify="left")
    for place, line in enumerate(lines):
        cells = [_shown(correct, count) for correct, count in zip(line.correct, line.count, strict=True)]
        worst = line.worst
        last = place + 1 == len(lines) or lines[place + 1].host != line.host
        first = place == 0 or lines[place - 1].host != line.host
        table.add_row(
            line.host if first else "", line.method, *cells,
            "none" if worst is None else cells[worst].split()[0], end_section=last,
        )  # fmt: skip
    return table


def csv_of(lines: Sequence[Line], names: Names) -> str:
    """Return a row a method, host and group; the accuracy of a group without examples is empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["host", "training", "label", "attribute", "count", "correct", "accuracy"])
    writer.writerows(_rows(lines, names))
    return text.getvalue()


def _rows(lines: Sequence[Line], names: Names) -> Iterator[list[object]]:
    groups = [(label, attribute) for label in names.labels for attribute in names.attributes]
    for line in lines:
        for group, correct, count in zip(groups, line.correct, line.count, strict=True):
            accuracy = f"{correct / count:.4f}" if count else ""
            yield [line.host, line.method, *group, count, correct, accuracy]


def _shown(correct: int, count: int) -> str:
    return f"{correct / count:.2f} ({correct}/{count})" if count else NO_EXAMPLE
