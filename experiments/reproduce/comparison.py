"""Ours beside the published: a line for every measure of every cell, from the results that finished runs left."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from experiments.reproduce.plan import Planned
from experiments.results import flatten
from experiments.statistics import Estimate, estimate
from experiments.sweep import run_name
from experiments.table import Table, percent, points
from fedjtt.tracking import RunFolder

ROUNDING = 0.0005
"""Half of the last digit that papers print: a figure of 72.6 % is from 72.55 to 72.65."""

NOTHING = "nothing published"
COLUMNS = ("table", "row", "column", "measure", "published", "published-half", "published-seeds", "ours", "ours-half",
           "difference", "seeds", "verdict", "why")  # fmt: skip


@dataclass(frozen=True)
class Line:
    """One measure of one cell.

    Attributes
    ----------
    row, column, measure : str
        What it is of.
    published, ours : Estimate or None
        Both, as shares of 1; None where there is none.
    asked : int
        Seeds that ours is to be over.
    why : str
        Why it is over fewer; empty: it is not.
    """

    row: str
    column: str
    measure: str
    published: Estimate | None
    ours: Estimate | None
    asked: int
    why: str = ""

    @property
    def difference(self) -> float | None:
        """Ours minus published."""
        return self.ours.mean - self.published.mean if self.ours and self.published else None

    @property
    def verdict(self) -> str:
        """What may be said of the two."""
        if self.ours is None:
            return "not run"
        if self.published is None or self.difference is None:
            return NOTHING
        if self.ours.half is None:
            return "one seed"
        reach = self.ours.half + (self.published.half or 0.0) + ROUNDING
        return "agrees" if abs(self.difference) <= reach else "differs"


def compare(planned: Sequence[Planned], out: Path, failures: Mapping[str, str]) -> list[Line]:
    """Return the lines of a table from the runs that are done in a folder.

    Parameters
    ----------
    failures : mapping
        Error by run name, of the runs that were tried in vain.
    """
    lines = []
    for one in planned:
        folders = {run_name(config): RunFolder(out / "runs" / run_name(config), config) for config in one.runs}
        rows = [flatten(folder.result()) for folder in folders.values() if folder.done]
        why = _missing(one, len(rows), [failures[name] for name in folders if name in failures])
        for measure, published in one.cell.published.items():
            ours = estimate(rows, f"test.{measure}-accuracy")
            lines.append(Line(one.cell.row, one.cell.column, measure, published, ours, len(one.runs), why))
    return lines


def _missing(one: Planned, done: int, errors: Sequence[str]) -> str:
    return "" if done == len(one.runs) else one.lacking or next(iter(errors), "it was not asked for")


def comparison_table(title: str, source: str, lines: Sequence[Line], changed: str = "") -> Table:
    """Return the lines as a table for a person."""
    rows = tuple(
        (line.row, line.column, line.measure, percent(line.published), percent(line.ours),
         "–" if line.difference is None else points(line.difference), _seeds(line), line.verdict)
        for line in lines
    )  # fmt: skip
    caption = (
        "Accuracy on test, %; ours is the mean over seeds ± half of the 95 % Student-t interval. It agrees where its "
        "interval reaches the published figure or its interval; a difference is ours minus published, in points. "
        f"Published: {source}" + (f" Changed by --set: {changed}." if changed else "")
    )
    return Table(title, caption, ("method", "data", "of", "published", "ours", "difference", "seeds", "verdict"), rows)


def _seeds(line: Line) -> str:
    done = line.ours.n if line.ours else 0
    return f"{done} of {line.asked}" if line.why else str(done)


def reasons(lines: Sequence[Line]) -> list[str]:
    """Return a sentence for everything that kept runs away, with the cells that it kept them from."""
    kept: dict[str, dict[str, None]] = {}
    for line in lines:
        if line.why:
            kept.setdefault(line.why, {})[f"{line.row} on {line.column}"] = None
    return [f"not run: {', '.join(cells)}: {why}" for why, cells in kept.items()]


def comparison_csv(name: str, lines: Sequence[Line]) -> str:
    """Return the lines as a CSV of numbers in percent, an empty cell where there is none."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for line in lines:
        published, ours = line.published, line.ours
        writer.writerow((
            name, line.row, line.column, line.measure, *_figures(published), published.n or "" if published else "",
            *_figures(ours), _figure(line.difference), ours.n if ours else 0, line.verdict, line.why,
        ))  # fmt: skip
    return text.getvalue()


def _figures(value: Estimate | None) -> tuple[str, str]:
    return ("", "") if value is None else (_figure(value.mean), _figure(value.half))


def _figure(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.4f}"
