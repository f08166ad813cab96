"""The mixture's two ablations: accuracies against its ratio, with groups cut first and not."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from experiments.analyse.curves import (
    Panel,
    Point,
    accuracy_columns,
    curves_over,
    draw,
    figures_of,
    settings_of,
    write,
)
from experiments.options import check_place
from experiments.settings import Groups, Setting
from experiments.table import Table
from experiments.tables import comparisons, provenance
from fedjtt.errors import ConfigError

RATIO, CUT = "mixture-ratio", "mixture-cut"


def mixture_report(folder: Path, place: Path, console: Console) -> None:
    """Write mixture.png, mixture.csv and summary.{txt,md} of a sweep, and show the summary.

    Raises
    ------
    ConfigError
        Where no mixture ran with two ratios.
    """
    check_place(place)
    groups = settings_of(folder)
    panel = ratio_panel(groups)
    if panel is None:
        raise ConfigError(
            f"{folder} has no mixture of two ratios; sweep method = balance, balance = mixture over mixture-ratio, "
            "such as mixture-ratio = [1, 2, 4]"
        )
    write(place, "mixture", [ratio_table(groups), *_cut_or_not(groups)], ratio_rows(groups), draw([panel]), console)


def ratio_panel(groups: Groups) -> Panel | None:
    """Return the mixtures' lines, with ERM and other ways of balancing as levels; None without two ratios."""
    curves = curves_over(groups, RATIO, (), lambda s: Point(float(s.get(RATIO)), f"{s.get(RATIO):g}", groups[s]))
    levels = {s: rows for s, rows in groups.items() if s.get("method") in ("erm", "balance") and not _mixed(s)}
    return Panel("", RATIO, curves, levels) if curves else None


def _mixed(setting: Setting) -> bool:
    return bool(setting.get("balance") == "mixture")


def ratio_rows(groups: Groups) -> list[Mapping[str, Any]]:
    """Return a line for every setting with numbers, for a CSV; others than mixtures have no ratio."""
    return [
        {"variant": setting.without(RATIO).label, RATIO: setting.get(RATIO), **figures_of(groups[setting])}
        for setting in _ordered(groups)
    ]


def _ordered(groups: Groups) -> list[Setting]:
    """Return the settings variant by variant, each from the smallest ratio to the largest."""
    variants = list(dict.fromkeys(setting.without(RATIO) for setting in groups))
    return sorted(groups, key=lambda setting: (variants.index(setting.without(RATIO)), setting.get(RATIO) or 0.0))


def ratio_table(groups: Groups) -> Table:
    """Return a row for every setting."""
    lines, rows_of = ratio_rows(groups), [groups[setting] for setting in _ordered(groups)]
    columns = {
        "variant": [str(line["variant"]) for line in lines],
        "ratio": ["–" if line[RATIO] is None else f"{line[RATIO]:g}" for line in lines],
        **accuracy_columns(rows_of),
    }
    caption = (
        "Ratio: largest group over the smallest, after the cut or, where nothing is cut, in the proportions drawn. "
        f"{provenance([row for rows in rows_of for row in rows])}"
    )
    return Table("Accuracy by mixture ratio", caption, tuple(columns), tuple(zip(*columns.values(), strict=True)))


def _cut_or_not(groups: Groups) -> list[Table]:
    """Compare mixtures that are cut first with those that are not, ratio by ratio and seed by seed."""
    ordered = [setting for setting in _ordered(groups) if _mixed(setting)]
    cut = [setting for setting in ordered if setting.get(CUT) is True]
    pairs = [(s, other) for s in cut for other in ordered if other.get(CUT) is False and s.agrees(other, CUT)]
    return comparisons(groups, {"Cut first minus not cut, paired": pairs})
