"""The figures about removing examples: who harms and helps most, and worst-group accuracy by how many go."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import StrMethodFormatter

from experiments.drawing import BLUE, GREEN, GREY, ORANGE, VERMILLION, new_figure, outside_legend, percent_axis, save
from experiments.settings import Groups, Setting
from experiments.statistics import Estimate, estimate
from experiments.tables import WGA, provenance
from fedjtt.choices import REMOVING
from fedjtt.data.grouped import Splits
from fedjtt.data.sampling import stored
from fedjtt.errors import DataError

COLUMNS = 8
_BY = {"score": (BLUE, "o"), "random": (GREY, "s"), "majority": (ORANGE, "^")}
_LINES = {"erm": (GREY, "--", "ERM, nothing removed"), "subset": (GREEN, ":", "dataset balancing")}


def harm_sheet(alignment: torch.Tensor, splits: Splits, k: int, path: Path | None = None) -> Figure:
    """Draw the k most harmful and the k most helpful train images, each with its group.

    Raises
    ------
    DataError
        Where the examples are no images.
    """
    train, order = splits.train, alignment.argsort(stable=True)
    if train.x.dim() != 4 or train.x.shape[1] not in (1, 3):
        raise DataError(f"an example of this dataset has shape {tuple(train.x.shape[1:])}, which is no image")
    k = min(k, len(train) // 2)
    lines = -(-k // COLUMNS)
    figure = Figure(figsize=(COLUMNS * 0.8, lines * 2 * 1.05 + 0.7), layout="constrained")
    halves = {"most harmful": order[:k], "most helpful": order.flip(0)[:k]}
    for half, (title, rows) in zip(figure.subfigures(2, 1, squeeze=False).flat, halves.items(), strict=True):
        half.suptitle(title, fontsize=9, x=0.01, ha="left")
        cells = list(half.subplots(lines, COLUMNS, squeeze=False).flat)
        for axes, row in zip(cells, rows.tolist(), strict=False):
            _image(
                axes,
                stored(train.x, torch.tensor([row]))[0],
                f"{_group_name(splits, row)}\n{float(alignment[row]):+.2g}",
            )
        for axes in cells[k:]:
            axes.remove()
    if path is not None:
        save(figure, path)
    return figure


def _group_name(splits: Splits, row: int) -> str:
    label = splits.label_names[int(splits.train.label[row])]
    attribute = splits.train.attribute
    return label if attribute is None else f"{label}, {splits.attribute_names[int(attribute[row])]}"


def _image(axes: Axes, image: torch.Tensor, title: str) -> None:
    shades = image.float() / 255 if image.dtype == torch.uint8 else image.clamp(0, 1)
    axes.imshow(shades.expand(3, -1, -1).permute(1, 2, 0).numpy(), interpolation="nearest")
    axes.set(xticks=[], yticks=[])
    axes.set_title(title, fontsize=5.5, pad=2)


def wga_against_removed(groups: Groups) -> Figure | None:
    """WGA over the number of removed examples, by score, at random, from the majority; None for fewer than two numbers.

    ERM and dataset balancing are lines, at no number.
    """
    lines: dict[Setting, dict[float, tuple[Estimate, list[Any]]]] = {}
    for setting, rows in groups.items():
        value, removed = estimate(rows, WGA), estimate(rows, "removal.removed")
        if setting.get("method") in REMOVING and value is not None and removed is not None:
            line = setting.without("d3m-remove")
            lines.setdefault(line, {})[removed.mean] = (value, list(rows))
    if not any(len(points) > 1 for points in lines.values()):
        return None
    shown = [row for points in lines.values() for _, rows in points.values() for row in rows]
    bounds = _bounds(groups)
    shown += [row for rows, _ in bounds.values() for row in rows]
    figure, (axes,) = new_figure(3.6, provenance(shown))
    for line, points in lines.items():
        colour, marker = _BY[line.get("d3m-remove-by", "score")]
        colour = VERMILLION if line.get("method") == "auto-d3m" else colour
        x = sorted(points)
        values = [points[place][0] for place in x]
        spread = [[v.mean - max(0.0, v.low) for v in values], [min(1.0, v.high) - v.mean for v in values]]
        filled = colour if line.get("robust") == "central" else "white"
        axes.errorbar(x, [v.mean for v in values], yerr=spread, label=line.label, color=colour, marker=marker,
                      markerfacecolor=filled, markersize=4.5, capsize=2, linewidth=1.2)  # fmt: skip
    for name, (_, value) in bounds.items():
        colour, style, label = _LINES[name]
        axes.axhline(value.mean, color=colour, linestyle=style, linewidth=1.2, label=label)
    axes.set_xlabel("train examples removed", fontsize=9)
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    percent_axis(axes, "worst-group accuracy (test)")
    outside_legend(figure, axes)
    return figure


def _bounds(groups: Groups) -> Mapping[str, tuple[Sequence[Any], Estimate]]:
    found: dict[str, tuple[Sequence[Any], Estimate]] = {}
    for setting, rows in groups.items():
        method = setting.get("method")
        name = "subset" if method == "balance" and setting.get("balance") == "subset" else method
        value = estimate(rows, WGA)
        if name in _LINES and value is not None:
            found.setdefault(name, (rows, value))
    return found
