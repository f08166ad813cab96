"""What a network's size does: accuracies against parameters, over width or depth, for every variant of a sweep."""

from collections.abc import Mapping, Sequence
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
from experiments.results import Row
from experiments.settings import Groups, Setting
from experiments.table import Table
from experiments.tables import comparisons, provenance
from fedjtt.errors import ConfigError, DataError

SIZES = ("model-width", "model-depth")
_NETWORKS = {"lenet": "LeNet", "mlp": "MLP"}
Place = tuple[str, str, Any]
"""A panel: the network, the key that makes it larger, and the value of the other key."""


def scaling_report(folder: Path, place: Path, console: Console) -> None:
    """Write scaling.png, scaling.csv and summary.{txt,md} of a sweep, and show the summary.

    Raises
    ------
    ConfigError
        Where no variant ran with networks of two sizes.
    """
    check_place(place)
    groups = settings_of(folder)
    panels = size_panels(groups)
    if not panels:
        raise ConfigError(
            f"{folder} has networks of one size only; sweep model-width, or model-depth of the mlp, such as "
            "model-width = [0.5, 1, 2]"
        )
    write(place, "scaling", [size_table(groups), *_differences(groups)], size_rows(groups), draw(panels), console)


def size_panels(groups: Groups) -> list[Panel]:
    """Return a panel for every network and key that makes it larger, the other key being the same."""
    panels = []
    for model, key, other in _places(groups):
        here = {
            setting: rows
            for setting, rows in groups.items()
            if rows[0].get("config.model") == model and _other(rows[0], key) == other
        }
        points = {setting: _point(rows, key) for setting, rows in here.items()}
        curves = curves_over(here, key, ("model", *SIZES), points.__getitem__)
        if curves:
            panels.append((model, key, other, curves))
    return [
        Panel(_title(model, key, other, [(m, k) for m, k, *_ in panels]), f"parameters\n{key}", curves)
        for model, key, other, curves in panels
    ]


def _places(groups: Groups) -> list[Place]:
    rows = [rows[0] for rows in groups.values()]
    found = {(str(row["config.model"]), key, _other(row, key)) for row in rows for key in SIZES}
    return sorted(found, key=lambda place: (place[0], SIZES.index(place[1]), str(place[2])))


def _other(row: Row, key: str) -> Any:
    """Return the value of the size's other key."""
    return row.get(f"config.{SIZES[1 - SIZES.index(key)]}")


def _title(model: str, key: str, other: Any, panels: Sequence[tuple[str, str]]) -> str:
    """Name a panel; the other key is said where panels differ in nothing else."""
    name = f"{_NETWORKS.get(model, model)} by {key.removeprefix('model-')}"
    several = panels.count((model, key)) > 1
    return f"{name}, {SIZES[1 - SIZES.index(key)].removeprefix('model-')} {other:g}" if several else name


def _point(rows: Sequence[Row], key: str) -> Point:
    parameters = parameters_of(rows)
    return Point(parameters, f"{short(parameters)}\n{rows[0][f'config.{key}']:g}", rows)


def parameters_of(rows: Sequence[Row]) -> int:
    """Return how many parameters the network of a setting has."""
    for row in rows:
        if row.get("parameters") is None:
            raise DataError(f"run {row['run-id']} does not say how many parameters its network has; repeat the run")
    return int(rows[0]["parameters"])


def short(count: int) -> str:
    """Return a number with three digits and a letter for thousands or millions, such as ``61.6k``."""
    for scale, letter in ((1_000_000, "M"), (1_000, "k")):
        if float(f"{count:.3g}") >= scale:
            return f"{float(f'{count:.3g}') / scale:g}{letter}"
    return str(count)


def _ordered(groups: Groups) -> list[tuple[Setting, Sequence[Row]]]:
    """Return the settings variant by variant, each from the smallest network to the largest."""
    variants = list(dict.fromkeys(setting.without("model", *SIZES) for setting in groups))
    return sorted(
        groups.items(),
        key=lambda item: (
            variants.index(item[0].without("model", *SIZES)),
            str(item[1][0].get("config.model")),
            parameters_of(item[1]),
        ),
    )


def size_rows(groups: Groups) -> list[Mapping[str, Any]]:
    """Return a line for every setting with numbers, for a CSV."""
    return [
        {
            "variant": setting.without("model", *SIZES).label,
            **{key: rows[0].get(f"config.{key}") for key in ("model", *SIZES)},
            "parameters": parameters_of(rows),
            **figures_of(rows),
        }
        for setting, rows in _ordered(groups)
    ]


def size_table(groups: Groups) -> Table:
    """Return a row for every setting; of network, width and depth what differs."""
    lines, rows_of = size_rows(groups), [rows for _, rows in _ordered(groups)]
    columns = {"variant": [str(line["variant"]) for line in lines]}
    for key in ("model", *SIZES):
        values = [line[key] for line in lines]
        if len(set(values)) > 1:
            columns[key.removeprefix("model-")] = [f"{v:g}" if isinstance(v, float) else str(v) for v in values]
    columns |= {"parameters": [f"{line['parameters']:,}" for line in lines], **accuracy_columns(rows_of)}
    every = [row for rows in rows_of for row in rows]
    caption = f"Parameters: weights of the network, which identification trains too. {provenance(every)}"
    return Table("Accuracy by size", caption, tuple(columns), tuple(zip(*columns.values(), strict=True)))


def _differences(groups: Groups) -> list[Table]:
    """Compare every variant's largest network with its smallest, seed by seed."""
    sized: dict[Setting, list[Setting]] = {}
    for setting, rows in groups.items():
        network = rows[0].get("config.model")
        sized.setdefault(Setting((*setting.without("model", *SIZES).items, ("model", network))), []).append(setting)
    pairs = []
    for settings in sized.values():
        ascending = sorted(settings, key=lambda setting: parameters_of(groups[setting]))
        if parameters_of(groups[ascending[0]]) < parameters_of(groups[ascending[-1]]):
            pairs.append((ascending[-1], ascending[0]))
    return comparisons(groups, {"Largest minus smallest network, paired": pairs})
