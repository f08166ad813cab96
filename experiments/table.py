"""A table ready to print: for terminal, Markdown, HTML and CSV; and how shares and differences are written."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from textwrap import fill

import rich.table

from experiments.statistics import Estimate


@dataclass(frozen=True)
class Table:
    """What a table shows, ready to print; the first column names the row, the last may be a sentence."""

    title: str
    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def percent(value: Estimate | None) -> str:
    """Return a share as a percentage with its half interval; a dash where there is none."""
    if value is None:
        return "–"
    return f"{100 * value.mean:.1f}" + ("" if value.half is None else f" ± {100 * value.half:.1f}")


def points(value: float) -> str:
    """Return a difference of shares in percentage points, signed."""
    shown = f"{100 * value:+.1f}"
    return "0.0" if shown in ("+0.0", "-0.0") else shown.replace("-", "−")


def as_text(table: Table) -> str:
    """Return the table for a terminal or a log: aligned columns, no markup."""
    widths = [max(map(len, column)) for column in zip(table.columns, *table.rows, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) if index == 0 else cell.rjust(width)
                  for index, (cell, width) in enumerate(zip(row, widths, strict=True))).rstrip()
        for row in (table.columns, tuple("-" * width for width in widths), *table.rows)
    ]  # fmt: skip
    return "\n".join([table.title, *lines, fill(table.caption, 100)]) + "\n"


def as_rich(table: Table) -> rich.table.Table:
    """Return the table for a rich console."""
    result = rich.table.Table(title=table.title, caption=table.caption, title_justify="left", caption_justify="left")
    for index, name in enumerate(table.columns):
        result.add_column(name, justify="left" if index == 0 else "right")
    for row in table.rows:
        result.add_row(*row)
    return result


def as_markdown(table: Table) -> str:
    """Return the table in GitHub's Markdown."""
    header = [table.columns, ("---", *("---:",) * (len(table.columns) - 1))]
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in (*header, *table.rows)]
    return "\n".join([f"### {table.title}", "", *lines, "", table.caption]) + "\n"


def as_csv(tables: Sequence[Table]) -> str:
    """Return tables of the same columns as one CSV, the cells as they are shown, each row with its table's title."""
    text = io.StringIO()
    lines = [(table.title, *row) for table in tables for row in table.rows]
    csv.writer(text, lineterminator="\n").writerows([("table", *tables[0].columns), *lines] if tables else [])
    return text.getvalue()


def as_html(table: Table) -> str:
    """Return the table as an HTML figure that scrolls sideways on a narrow screen."""
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in table.columns)
    body = "\n".join(
        f'<tr><th scope="row">{escape(row[0]).replace(" machine", "&nbsp;machine")}</th>'
        + "".join(f"<td>{escape(cell)}</td>" for cell in row[1:])
        + "</tr>"
        for row in table.rows
    )
    return (
        f'<figure><div class="scroll" role="region" aria-label="{escape(table.title)}" tabindex="0">\n'
        f"<table><thead><tr>{head}</tr></thead><tbody>\n{body}\n</tbody></table></div>\n"
        f"<figcaption>{escape(table.caption)}</figcaption></figure>"
    )
