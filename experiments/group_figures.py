"""The figures about groups: accuracies group by group, and the sample sheet."""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from experiments.drawing import BLUE, GREY, VERMILLION, WIDTH, new_figure, outside_legend, percent_axis, save
from experiments.results import Result
from experiments.settings import Groups, Setting, robust_modes
from experiments.statistics import group_accuracy_intervals
from experiments.tables import erm_for, provenance
from fedjtt.data.grouped import Splits, majority_attribute
from fedjtt.data.sampling import stored
from fedjtt.errors import DataError

_WIDE = 6
"""Columns over which a figure has no room for words below each."""


def group_accuracies(
    runs: Sequence[Result], groups: Groups, machines: int | None = None, splits: Splits | None = None
) -> Figure | None:
    """Accuracy of every test group, ERM beside JTT; None where one of them did not run or there are no groups.

    Parameters
    ----------
    machines : int or None
        Machines of the JTT runs; None: the most that ran.
    splits : Splits or None
        For the names, and for who the majority is; None: numbers, and no group is marked.
    """
    jtt = [s for s in groups if s.get("method") == "jtt" and erm_for(s, groups)]
    machines = machines or max((s.get("machines") for s in jtt), default=0)
    # Of several variants, the one that ran on the most numbers of machines is the sweep's own.
    ran = Counter(s.without("machines") for s in jtt)
    jtt = [s for s in jtt if s.get("machines") == machines]
    main = max(jtt, key=lambda s: ran[s.without("machines")], default=None)
    jtt = robust_modes(main, jtt) if main is not None else []
    baseline = erm_for(jtt[0], groups) if jtt else None
    if baseline is None or not jtt:
        return None
    compared = {baseline: GREY} | {s: VERMILLION if s.get("robust") == "federated" else BLUE for s in jtt}
    values = {
        setting: group_accuracy_intervals(runs, {row["run-id"] for row in groups[setting]}) for setting in compared
    }
    if any(attribute is None for cells in values.values() for _, attribute in cells):
        return None
    labels = sorted({label for label, _ in values[baseline]})
    several = len({row["config.seed"] for row in groups[baseline]}) > 1
    note = provenance([row for s in compared for row in groups[s]])
    note = note if several else note.replace("so no interval", "Wilson 95 % interval within each group")
    note += " Not shaded: the minority groups." if splits else ""
    figure, axes = new_figure(1.1 + 1.15 * len(labels), note, len(labels))
    for each, label in zip(axes, labels, strict=True):
        _label_panel(each, label, {s: (values[s], colour) for s, colour in compared.items()}, splits)
    axes[-1].set_xlabel("attribute" + ("" if splits else " (number)"), fontsize=9)
    outside_legend(figure, axes[0])
    return figure


def _label_panel(axes: Axes, label: int, compared: Mapping[Setting, Any], splits: Splits | None) -> None:
    attributes = sorted({attribute for cells, _ in compared.values() for _, attribute in cells})
    width = 0.8 / len(compared)
    for index, (setting, (cells, colour)) in enumerate(compared.items()):
        here = [attribute for attribute in attributes if (label, attribute) in cells]
        bars = [cells[label, attribute] for attribute in here]
        x = [attribute + (index - (len(compared) - 1) / 2) * width for attribute in here]
        spread = [[mean - low for mean, low, _ in bars], [high - mean for mean, _, high in bars]]
        axes.bar(x, [mean for mean, *_ in bars], width * 0.92, color=colour, label=setting.label,
                 yerr=np.maximum(spread, 0), error_kw={"linewidth": 0.8, "capsize": 1.8})  # fmt: skip
    if splits is not None:
        own = int(majority_attribute(splits.train)[label])
        axes.axvspan(own - 0.5, own + 0.5, color="#E3E3E3", zorder=0, linewidth=0, label="majority group in train")
    names = splits.attribute_names if splits else [str(attribute) for attribute in range(max(attributes) + 1)]
    axes.set_xticks(attributes, [names[attribute] for attribute in attributes])
    axes.set_xlim(min(attributes) - 0.5, max(attributes) + 0.5)
    axes.tick_params(axis="x", length=0)
    percent_axis(axes, f"label {splits.label_names[label] if splits else label}")
    axes.set_ylim(0, 1.05)
    axes.set_yticks([0, 0.5, 1])


def sample_sheet(splits: Splits, path: Path | None = None, rows: int = 2, columns: int = 3) -> Figure:
    """Draw the first train images of every group: a row a label, a column an attribute, minority groups outlined.

    Raises
    ------
    DataError
        Where the examples are no images or have no attribute.
    """
    train = splits.train
    if train.x.dim() != 4 or train.x.shape[1] not in (1, 3):
        raise DataError(f"an example of this dataset has shape {tuple(train.x.shape[1:])}, which is no image")
    majority, counts = majority_attribute(train), train.group_counts().view(train.num_labels, -1)
    side = WIDTH / train.num_attributes
    height = side * rows / columns + 0.24
    figure = Figure(figsize=(WIDTH + 0.7, height * train.num_labels + 0.75), layout="constrained")
    cells = figure.subplots(train.num_labels, train.num_attributes, squeeze=False)
    unit, below = (" in train", "") if train.num_attributes <= _WIDE else ("", "; below: images in train")
    for label, attribute in product(range(train.num_labels), range(train.num_attributes)):
        axes = cells[label, attribute]
        chosen = torch.nonzero((train.label == label) & (train.attribute == attribute))[: rows * columns, 0]
        _cell(axes, _mosaic(stored(train.x, chosen), rows, columns), outlined=attribute != int(majority[label]))
        axes.set_xlabel(f"{int(counts[label, attribute]):,}{unit}", fontsize=7, labelpad=2)
        axes.set_title(splits.attribute_names[attribute] if label == 0 else "", fontsize=9)
        axes.set_ylabel(splits.label_names[label] if attribute == 0 else "", fontsize=9)
    outlined = [
        Patch(
            fill=False,
            edgecolor=VERMILLION,
            linewidth=2.2,
            label=f"true minority: not the label's most frequent attribute in train{below}",
        )
    ]
    figure.legend(handles=outlined, loc="outside lower left", fontsize=8, frameon=False)
    if path is not None:
        save(figure, path)
    return figure


def _cell(axes: Axes, image: Any, outlined: bool) -> None:
    axes.imshow(image, interpolation="nearest")
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    if outlined:
        frame = Rectangle((0, 0), 1, 1, transform=axes.transAxes, fill=False, edgecolor=VERMILLION, linewidth=2.2)
        frame.set_clip_on(False)
        axes.add_patch(frame)


def _mosaic(images: torch.Tensor, rows: int, columns: int) -> Any:
    """Return up to rows x columns images as one, float RGB; places without an image stay light grey."""
    shades = images.float() / 255 if images.dtype == torch.uint8 else images.clamp(0, 1)
    pixels = shades.expand(-1, 3, -1, -1).permute(0, 2, 3, 1).numpy()
    height, width = images.shape[2], images.shape[3]
    sheet = np.ones((rows * (height + 2) + 2, columns * (width + 2) + 2, 3), dtype=np.float32)
    for index in range(rows * columns):
        top, left = index // columns * (height + 2) + 2, index % columns * (width + 2) + 2
        sheet[top : top + height, left : left + width] = pixels[index] if index < len(pixels) else 0.93
    return sheet
