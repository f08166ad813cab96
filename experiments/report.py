"""A report of what runs left: CSV, tables, figures and one self-contained HTML page that begins with the answer."""

import base64
from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from experiments import (
    attribution_figures,
    cost_figures,
    drawing,
    epoch_figures,
    group_figures,
    method_figures,
    plots,
    sparse_figures,
)  # fmt: skip
from experiments.analyse.cam import is_image, sheet_of_sweep
from experiments.answer import answer, question
from experiments.config_keys import shared_config
from experiments.page import bullets, counted, page, pairs, section
from experiments.results import (
    Result,
    Row,
    flatten,
    read_environments,
    read_failures,
    read_histories,
    read_names,
    read_runs,
    write_csv,
)
from experiments.rounds import rounds_csv
from experiments.settings import Groups, by_setting
from experiments.sparse_table import chosen_densities, sparse_networks
from experiments.table import as_csv, as_html, as_markdown, as_text
from experiments.tables import ORIGINAL, comparisons, summary
from fedjtt.config import RunConfig
from fedjtt.data.grouped import Splits
from fedjtt.errors import DataError, FedJTTError
from fedjtt.provide import splits_of
from fedjtt.tracking import write_atomically

_SEVERAL = "JTT on at least two machine counts"
_FIGURES = {
    "methods": (
        "Worst-group accuracy by method",
        "Dot chart: test worst-group accuracy of every method with its interval, central beside federated; the tables "
        "have the numbers.",
        "at least four methods",
    ),
    "density": (
        "Accuracy against density",
        "Line charts: worst-group accuracy and accuracy on conflicting examples of sparse networks over their density, "
        "with dense ERM and dense JTT as horizontal lines; the tables have the numbers.",
        "REST at two densities",
    ),
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
    "wga-bytes": (
        "Worst-group accuracy against bytes",
        "Line chart: test worst-group accuracy over the bytes between server and machines; each point is a machine "
        "count.",
        _SEVERAL,
    ),
    "identification-speed-up": (
        "Error set against the speed-up of identification",
        "Line chart: F1 of the error set over the speed-up of identification, slowest machine, over the original's "
        "identification on one machine; each point is a machine count.",
        f"{_SEVERAL}, a known true minority and, on one machine, the original's identification: "
        + ", ".join(f"{key} = {value}" for key, value in ORIGINAL.items()),
    ),
    "wga-removed": (
        "Worst-group accuracy against the number removed",
        "Line chart: test worst-group accuracy over the number of train examples removed, by score, at random and from "
        "the majority, with ERM and dataset balancing as horizontal lines; the tables have the numbers.",
        "runs of d3m or auto-d3m that removed at least two different numbers",
    ),
    "epochs": (
        "Accuracy over training",
        "Line chart: worst-group, worst-class and average accuracy on validation over the epochs of the robust stage.",
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
    "cam": (
        "Where the networks look",
        "Sheet of test images of every group: beside each the Grad-CAM map of ERM, of JTT and of up to two further "
        "methods, with what each predicted, right or wrong.",
        "images, and runs of two methods with their weights.npy",
    ),
}
"""File name to title, alternative text, and what the figure needs."""


def build_report(folder: Path) -> Path:
    """Write {results,rounds,comparisons}.csv, summary.{txt,md,csv}, figures/*.png and report.html; return its path.

    The same results give the same files; a figure whose runs are not there is left out, and the page says so.

    Raises
    ------
    ConfigError
        Where the folder holds no finished run.
    """
    runs = read_runs(folder)
    write_csv(folder)
    groups = by_setting([flatten(run) for run in runs], read_names(folder))
    rows = [row for group in groups.values() for row in group]
    sparse, compared = (chosen_densities(groups), sparse_networks(groups)), comparisons(groups)
    tables = [summary(groups), *(table for table in sparse if table is not None), *compared]
    said = answer(groups)
    write_atomically(folder / "summary.txt", "\n".join([said + "\n", *map(as_text, tables)]))
    write_atomically(folder / "summary.md", "\n".join([said + "\n", *map(as_markdown, tables)]))
    write_atomically(folder / "summary.csv", as_csv(tables[:1]))
    write_atomically(folder / "comparisons.csv", as_csv(compared))
    splits, missing = load_splits(runs[0])
    histories = read_histories(folder)
    write_atomically(folder / "rounds.csv", rounds_csv(groups, histories))
    figures = draw(runs, groups, histories, splits)
    figures["cam"], without = None, ""  # tables and texts have no such sheet, and no word about it
    if splits is not None and is_image(splits):
        figures["cam"], without = sheet_of_sweep(folder, groups, runs[0]["config"], splits)
    parts = [
        f'<p class="answer">{escape(said).replace(" %", "&nbsp;%")}</p>',
        section(tables[0].title, as_html(tables[0])),
        section("Figures", _figures(folder / "figures", figures, missing, {"cam": without})),
        *(section(table.title, as_html(table)) for table in tables[1:]),
        section("Notes of the runs", _notes(runs)),
        section("Runs that failed", _failures(read_failures(folder))),
        section("Configuration that all runs share", pairs(shared_config(rows))),
        section("Environment", pairs({k: ", ".join(v) for k, v in read_environments(folder).items()})),
    ]
    path = folder / "report.html"
    sections = "\n".join(part for part in parts if part)
    write_atomically(path, page(question(groups), _what(rows), sections))
    return path


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
        "methods": method_figures.wga_by_method(groups),
        "density": sparse_figures.accuracy_against_density(groups),
        "wga-machines": plots.wga_against_machines(groups),
        "error-set": plots.error_set_against_machines(groups),
        "wga-speed-up": cost_figures.wga_against_speed_up(groups),
        "wga-bytes": cost_figures.wga_against_bytes(groups),
        "identification-speed-up": cost_figures.error_set_against_speed_up(groups),
        "wga-removed": attribution_figures.wga_against_removed(groups),
        "epochs": epoch_figures.accuracy_by_epoch(groups, histories),
        "groups": group_figures.group_accuracies(runs, groups, splits=splits),
        "samples": sheet,
    }


def _figures(folder: Path, figures: Mapping[str, Figure | None], missing: str, without: Mapping[str, str]) -> str:
    """Write the figures and return them as HTML; a figure of an earlier report that is not drawn now is removed.

    Parameters
    ----------
    without : mapping
        Why a figure is not drawn, where that is not simply what it needs; empty: nothing is said.
    """
    shown, gaps = [], [f"<li>The dataset is not to be had here: {escape(missing)}</li>"] if missing else []
    for name, (title, alternative, needs) in _FIGURES.items():
        figure, path = figures[name], folder / f"{name}.png"
        if figure is None:
            path.unlink(missing_ok=True)
            if why := without.get(name, f"needs {needs}"):
                gaps.append(f"<li>{escape(title)}: not drawn, {escape(why)}</li>")
            continue
        image = base64.b64encode(drawing.save(figure, path).read_bytes()).decode()
        shown.append(
            f'<figure class="plot"><figcaption>{escape(title)}</figcaption>'
            f'<img alt="{escape(alternative)}" src="data:image/png;base64,{image}"></figure>'
        )
    return '<div class="plots">' + "\n".join(shown) + "</div>" + bullets(gaps)


def _notes(runs: Sequence[Result]) -> str:
    times = Counter(str(note) for run in runs for note in run.get("notes", []))
    items = [
        f"<li>{escape(text)} ({number} of {counted(len(runs), 'run')})</li>" for text, number in times.most_common()
    ]
    return bullets(items) if items else "<p>None.</p>"


def _failures(failures: Sequence[Mapping[str, str]]) -> str:
    return bullets(f"<li><code>{escape(each['run'])}</code>: {escape(each['error'])}</li>" for each in failures)


def _what(rows: Sequence[Row]) -> str:
    return f"{counted(len(rows), 'run')} on {'; '.join(sorted({_dataset(row) for row in rows}))}."


def _dataset(row: Row) -> str:
    dataset, *painted = (row[f"config.{name}"] for name in ("dataset", "difficulty", "spurious-strength"))
    place, strength = map(str, painted)
    if strength == "auto":
        return str(dataset)
    return ", ".join([dataset, *([] if place == "auto" else [place]), f"strength {strength}"])
