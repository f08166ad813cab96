"""A report of what runs left: CSV, tables, figures and one self-contained HTML page that begins with the answer."""

import base64
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from experiments import drawing, group_figures, plots
from experiments.results import (
    Groups,
    Result,
    Row,
    Setting,
    by_setting,
    flatten,
    on_one_machine,
    read_environments,
    read_failures,
    read_histories,
    read_names,
    read_runs,
    shared_config,
    write_csv,
)
from experiments.statistics import Difference, estimate
from experiments.tables import (
    WGA,
    as_csv,
    as_html,
    as_markdown,
    as_text,
    comparisons,
    percent,
    points,
    summary,
    wga_difference,
)
from fedjtt.config import RunConfig
from fedjtt.data.grouped import Splits
from fedjtt.errors import DataError, FedJTTError
from fedjtt.provide import splits_of
from fedjtt.tracking import write_atomically

_SEVERAL = "JTT on at least two machine counts"
_FIGURES = {
    "wga-machines": (
        "Worst-group accuracy against machines",
        "Line chart: test worst-group accuracy over the number of machines, central beside federated, with ERM and the "
        "oracle as horizontal lines; the tables have the numbers.",
        _SEVERAL,
    ),
    "error-set": (
        "Precision and recall of the error set against machines",
        "Line chart: precision and recall of the error set against the true minority over the number of machines.",
        f"{_SEVERAL} and a known true minority",
    ),
    "wga-speed-up": (
        "Worst-group accuracy against speed-up",
        "Line chart: test worst-group accuracy over the speed-up in CPU seconds; each point is a machine count.",
        f"{_SEVERAL}, one of them on one machine",
    ),
    "rounds": (
        "Worst-group accuracy by round",
        "Line chart: worst-group accuracy on validation after each round of the robust stage.",
        "runs of at least two rounds with their metrics.jsonl",
    ),
    "groups": (
        "Group accuracies of ERM and JTT",
        "Bar chart: test accuracy of every group, one panel a label, ERM beside JTT.",
        "runs of both ERM and JTT, with known groups",
    ),
    "samples": (
        "Samples of every group",
        "Sheet of train images: a row for each label, a column for each attribute, minority groups outlined.",
        "the dataset",
    ),
}
"""File name to title, alternative text, and what the figure needs."""


def build_report(folder: Path) -> Path:
    """Write results.csv, summary.{txt,md,csv}, comparisons.csv, figures/*.png and report.html; return the last's path.

    The same results give the same files; a figure whose runs are not there is left out, and the page says so.

    Raises
    ------
    ConfigError
        Where the folder holds no finished run.
    """
    runs = read_runs(folder)
    write_csv(folder)
    rows = [flatten(run) for run in runs]
    groups = by_setting(rows, read_names(folder))
    tables = [summary(groups), *comparisons(groups)]
    said = answer(groups)
    write_atomically(folder / "summary.txt", "\n".join([said + "\n", *map(as_text, tables)]))
    write_atomically(folder / "summary.md", "\n".join([said + "\n", *map(as_markdown, tables)]))
    write_atomically(folder / "summary.csv", as_csv(tables[:1]))
    write_atomically(folder / "comparisons.csv", as_csv(tables[1:]))
    splits, missing = load_splits(runs[0])
    figures = draw(runs, groups, read_histories(folder), splits)
    parts = [
        f'<p class="answer">{escape(said).replace(" %", "&nbsp;%")}</p>',
        _section(tables[0].title, as_html(tables[0])),
        _section("Figures", _figures(folder / "figures", figures, missing)),
        *(_section(table.title, as_html(table)) for table in tables[1:]),
        _section("Notes of the runs", _notes(runs)),
        _section("Runs that failed", _failures(read_failures(folder))),
        _section("Configuration that all runs share", _pairs(shared_config(rows))),
        _section("Environment", _pairs({k: ", ".join(v) for k, v in read_environments(folder).items()})),
    ]
    path = folder / "report.html"
    write_atomically(path, _page(rows, "\n".join(part for part in parts if part)))
    return path


def answer(groups: Groups) -> str:
    """Say in a sentence or two what distribution costs the worst group, and whether the robust mode matters."""
    spread = [s for s in groups if s.get("method") == "jtt" and s.get("machines") > 1 and on_one_machine(s, groups)]
    if not spread:
        return _no_answer(groups)
    if not any(row.get(WGA) for rows in groups.values() for row in rows):
        return "No run got the worst group right at all (0 % on test), so these runs cannot tell the settings apart."
    lines = Counter(s.without("machines", "robust") for s in spread)  # the variant that most machine counts have
    variant = max(lines, key=lambda line: lines[line])
    most = max(s.get("machines") for s in spread if s.without("machines", "robust") == variant)
    chosen = [s for s in spread if s.get("machines") == most and s.without("machines", "robust") == variant]
    further = variant.without("method").label
    parts: list[str] = []
    for setting in chosen:
        reference = on_one_machine(setting, groups)
        difference = wga_difference(setting, reference, groups) if reference is not None else None
        if difference is not None:
            change, figures = _change(difference)
            parts.append(f"{change} with {setting.get('robust')} robust training ({figures})")
    if not parts:
        return _no_answer(groups)
    where = f" ({further})" if further else ""
    first = f"On {most} machines instead of one{where}, JTT's worst-group accuracy on test {' and '.join(parts)}."
    return first + _robust_matters(chosen, groups)


def _change(difference: Difference) -> tuple[str, str]:
    """Return what a difference does to an accuracy, and the figures behind it."""
    over_seeds, seeds = difference.estimate, difference.estimate.n
    figures = f"{100 * difference.first:.1f} % instead of {100 * difference.second:.1f} %"
    if not any(difference.by_seed.values()):
        return "is the same in every seed", f"{figures}, {_count(seeds, 'seed')}"
    if over_seeds.half is None:
        return f"differs by {points(over_seeds.mean)} points", f"{figures}; one seed, so there is no interval"
    figures += f"; 95 % interval {points(over_seeds.low)} to {points(over_seeds.high)}, {seeds} paired seeds"
    if difference.covers_zero:
        return "is not distinguishable", f"{points(over_seeds.mean)} points, {figures}"
    return f"{'rises' if over_seeds.mean > 0 else 'falls'} by {100 * abs(over_seeds.mean):.1f} points", figures


def _robust_matters(chosen: Sequence[Setting], groups: Groups) -> str:
    sides = {setting.get("robust"): setting for setting in chosen}
    if not {"central", "federated"} <= sides.keys():
        return ""
    difference = wga_difference(sides["federated"], sides["central"], groups)
    if difference is None:
        return ""
    change, figures = _change(difference)
    return f" From central to federated robust training, on as many machines, it {change} ({figures})."


def _no_answer(groups: Groups) -> str:
    best = [(label.label, percent(value)) for label, rows in groups.items() if (value := estimate(rows, WGA))]
    shown = "; ".join(f"{label}: {value} %" for label, value in best[:4])
    why = "These runs do not say what distribution costs the worst group: JTT has to run on one and on more machines."
    return f"{why} Worst-group accuracy on test: {shown or 'not known, no run has groups'}."


def load_splits(run: Mapping[str, Any]) -> tuple[Splits | None, str]:
    """Return a run's dataset, or None and why it is not to be had; nothing is downloaded for a report."""
    try:
        return splits_of(RunConfig.parse({**run["config"], "download": False})), ""
    except (FedJTTError, OSError) as error:
        return None, str(error)


def draw(
    runs: Sequence[Result],
    groups: Groups,
    histories: Mapping[str, Sequence[Mapping[str, Any]]],
    splits: Splits | None,
) -> dict[str, Figure | None]:
    """Draw every figure that the runs and the data allow; None for the others."""
    try:
        sheet = None if splits is None else group_figures.sample_sheet(splits)
    except DataError:  # not images
        sheet = None
    return {
        "wga-machines": plots.wga_against_machines(groups),
        "error-set": plots.error_set_against_machines(groups),
        "wga-speed-up": plots.wga_against_speed_up(groups),
        "rounds": plots.wga_by_round(groups, histories),
        "groups": group_figures.group_accuracies(runs, groups, splits=splits),
        "samples": sheet,
    }


def _figures(folder: Path, figures: Mapping[str, Figure | None], missing: str) -> str:
    """Write the figures and return them as HTML; a figure of an earlier report that is not drawn now is removed."""
    shown, gaps = [], [f"<li>The dataset is not to be had here: {escape(missing)}</li>"] if missing else []
    for name, (title, alternative, needs) in _FIGURES.items():
        figure, path = figures[name], folder / f"{name}.png"
        if figure is None:
            path.unlink(missing_ok=True)
            gaps.append(f"<li>{escape(title)}: not drawn, needs {escape(needs)}</li>")
            continue
        image = base64.b64encode(drawing.save(figure, path).read_bytes()).decode()
        shown.append(
            f'<figure class="plot"><figcaption>{escape(title)}</figcaption>'
            f'<img alt="{escape(alternative)}" src="data:image/png;base64,{image}"></figure>'
        )
    return '<div class="plots">' + "\n".join(shown) + "</div>" + _list(gaps)


def _notes(runs: Sequence[Result]) -> str:
    counted = Counter(str(note) for run in runs for note in run.get("notes", []))
    items = [
        f"<li>{escape(text)} ({times} of {_count(len(runs), 'run')})</li>" for text, times in counted.most_common()
    ]
    return _list(items) if items else "<p>None.</p>"


def _failures(failures: Sequence[Mapping[str, str]]) -> str:
    return _list(f"<li><code>{escape(each['run'])}</code>: {escape(each['error'])}</li>" for each in failures)


def _list(items: Iterable[str]) -> str:
    inside = "".join(items)
    return f"<ul>{inside}</ul>" if inside else ""


def _pairs(values: Mapping[str, Any]) -> str:
    items = "".join(f"<div><dt>{escape(key)}</dt><dd>{escape(str(value))}</dd></div>" for key, value in values.items())
    return f"<dl>{items}</dl>" if items else ""


def _section(title: str, content: str) -> str:
    return f"<section><h2>{escape(title)}</h2>\n{content}</section>" if content else ""


def _count(number: int, name: str) -> str:
    return f"{number} {name}" + ("" if number == 1 else "s")


# The policy makes the browser itself refuse whatever is not in this file.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_STYLE = """
:root { color-scheme: light dark; --text: #1b1f24; --soft: #57606a; --page: #fff; --line: #d0d7de; --band: #f6f8fa; }
@media (prefers-color-scheme: dark) {
  :root { --text: #e6edf3; --soft: #9da7b3; --page: #0d1117; --line: #30363d; --band: #161b22; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem; max-width: 72rem; background: var(--page); color: var(--text);
  font: 1rem/1.55 system-ui, sans-serif; overflow-wrap: break-word; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: .5rem 0; } h2 { font-size: 1.2rem; margin: 2.2rem 0 .6rem; }
.what, figcaption { color: var(--soft); font-size: .875rem; }
.answer { font-size: 1.15rem; padding: .9rem 1.1rem; border-left: 4px solid #0072B2; background: var(--band); }
figure { margin: 0 0 1.5rem; } .scroll { overflow-x: auto; border: 1px solid var(--line); border-radius: 6px; }
table { border-collapse: collapse; width: 100%; font-size: .875rem; font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .55rem; text-align: right; white-space: nowrap; border-top: 1px solid var(--line); }
thead th { border-top: 0; background: var(--band); white-space: normal; vertical-align: bottom; }
td:nth-child(5):last-child { white-space: normal; min-width: 15rem; }
th:first-child { text-align: left; position: sticky; left: 0; background: var(--page); }
thead th:first-child { background: var(--band); }
tbody th { font-weight: 500; white-space: normal; min-width: clamp(9rem, 20vw, 13rem); }
.scroll + figcaption { margin-top: .4rem; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 30rem), 1fr)); gap: 0 1.5rem; }
.plot { max-width: 42rem; }
.plot figcaption { color: inherit; font-weight: 600; font-size: 1rem; margin-bottom: .4rem; }
.plot img { display: block; width: 100%; height: auto; background: #fff; padding: .4rem; border-radius: 6px;
  border: 1px solid var(--line); }
dl { display: grid; grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr)); gap: 0 1.5rem; font-size: .875rem; }
dl div { display: flex; justify-content: space-between; gap: 1rem; border-bottom: 1px solid var(--line);
  padding: .2rem 0; }
dt { color: var(--soft); } dd { margin: 0; text-align: right; min-width: 0; overflow-wrap: anywhere; }
"""


def _page(rows: Sequence[Row], content: str) -> str:
    names = ("dataset", "difficulty", "spurious-strength")
    datasets = sorted({"{}, {}, strength {}".format(*(row[f"config.{name}"] for name in names)) for row in rows})
    what = f"{_count(len(rows), 'run')} on {'; '.join(datasets)}."
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>fedjtt report</title>\n<style>{_STYLE}</style></head>\n<body><main>\n"
        f'<h1>What distribution costs the worst group</h1>\n<p class="what">{escape(what)}</p>\n{content}\n'
        "</main></body></html>\n"
    )
