"""The figures of a report, as matplotlib Figure objects: no pyplot, no global state; for print and for a phone."""

import io
import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise, product
from pathlib import Path
from textwrap import fill
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from experiments.results import Groups, Result, Row, Setting
from experiments.statistics import Estimate, estimate, group_accuracy_intervals, mean_interval
from experiments.tables import WGA, erm_for, original_setting, provenance, speed_ups
from fedjtt.data.grouped import Splits, majority_attribute
from fedjtt.errors import DataError
from fedjtt.tracking import write_atomically

# Okabe and Ito's palette: told apart with every common colour vision; grey and green are kept for the bounds.
BLUE, VERMILLION, ORANGE, SKY, PURPLE, BLACK = "#0072B2", "#D55E00", "#E69F00", "#56B4E9", "#CC79A7", "#000000"
GREY, GREEN = "#6B6B6B", "#009E73"
_PAIRS = ((BLUE, VERMILLION), (SKY, ORANGE), (BLACK, PURPLE))
_BOUNDS = {"erm": GREY, "group-balanced": GREEN}
_PREDICTIONS = {"precision": ("o", (BLACK, PURPLE)), "recall": ("s", (ORANGE, SKY))}
WIDTH = 5.0  # inches: at a phone's width the text is still read


def save(figure: Figure, path: Path) -> Path:
    """Write a figure as PNG, in full or not at all, with nothing in it that differs between two times of drawing."""
    FigureCanvasAgg(figure)
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=200, metadata={"Software": None}, facecolor="white")
    write_atomically(path, image.getvalue())
    return path


def _figure(height: float, note: str, panels: int = 1) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    figure.supxlabel(fill(note, 92, break_on_hyphens=False), fontsize=7, color="#444444", x=0.01, ha="left")
    axes = list(figure.subplots(panels, 1, squeeze=False)[:, 0])
    for each in axes:
        each.spines[["top", "right"]].set_visible(False)
        each.grid(True, axis="y", color="#DDDDDD", linewidth=0.6)
        each.set_axisbelow(True)
        each.tick_params(labelsize=8.5)
    return figure, axes


def _percent_axis(axes: Axes, name: str) -> None:
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.0f}"))
    axes.set_ylabel(f"{name}, %", fontsize=9)
    axes.set_ylim(-0.03, 1.04)


def _machines_axis(axes: Axes, machines: Sequence[int]) -> None:
    """Log scale with a tick for every machine count that ran; where two would touch, the larger has no number."""
    axes.set_xscale("log")
    axes.set_xlim(min(machines) / 1.25, max(machines) * 1.25)
    axes.xaxis.set_major_locator(FixedLocator(list(machines)))
    axes.xaxis.set_minor_locator(NullLocator())
    room = 0.045 * math.log(max(machines) / min(machines) * 1.25**2)
    shown: list[int] = []
    for count in machines:
        if not shown or math.log(count / shown[-1]) > room:
            shown.append(count)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0f}" if round(value) in shown else ""))
    axes.set_xlabel("machines", fontsize=9)


def _legend(figure: Figure, axes: Axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    wrapped = [fill(label, 28, break_on_hyphens=False) for label in labels]
    figure.legend(
        handles, wrapped, loc="outside upper left", ncols=2, fontsize=8, frameon=False, columnspacing=1.5,
        handlelength=2.6,
    )  # fmt: skip


Variants = dict[Setting, dict[int, list[Row]]]


def variants(groups: Groups, method: str = "jtt") -> Variants:
    """Return a method's variants (settings without the machines), each with its runs by machine count."""
    found: Variants = {}
    for setting, rows in groups.items():
        if setting.get("method") == method:
            line = found.setdefault(setting.without("machines"), {})
            line.setdefault(setting.get("machines"), []).extend(rows)
    return dict(sorted(found.items(), key=lambda item: len(item[1]) < 2))  # lines first, then single points


def _styles(lines: Iterable[Setting]) -> dict[Setting, dict[str, Any]]:
    """Colour says central or federated, line and marker say the schedule; further keys take further colours."""
    chosen = list(lines)
    others = list(dict.fromkeys(map(_further, chosen)))
    styles = {}
    for variant in chosen:
        federated = variant.get("robust") == "federated"
        colour = _PAIRS[others.index(_further(variant)) % len(_PAIRS)][federated]
        styles[variant] = _style(variant, "s" if federated else "o", colour)
    return styles


def _style(variant: Setting, marker: str, colour: str) -> dict[str, Any]:
    if variant.get("identify-schedule") == "same-updates":
        return {"color": colour, "marker": marker, "linestyle": "--", "markerfacecolor": "white"}
    return {"color": colour, "marker": marker, "linestyle": "-"}


def _further(variant: Setting) -> Setting:
    return variant.without("method", "robust", "machines", "identify-schedule")


def _draw(axes: Axes, x: Sequence[float], values: Sequence[Estimate], label: str, style: Mapping[str, Any]) -> None:
    """Draw means with their intervals, cut off at 0 and 1."""
    means = np.array([value.mean for value in values])
    low = means - np.clip([value.low for value in values], 0, 1)
    high = np.clip([value.high for value in values], 0, 1) - means
    axes.errorbar(
        x, means, yerr=np.maximum([low, high], 0), label=label, capsize=2.5, markersize=5, **{"linewidth": 1.5, **style}
    )


def _dodged(count: int, index: int, of: int) -> float:
    """Move a point sideways, by less than its own width, so that intervals do not hide each other."""
    return float(count * min(1.035, 1.15 ** (1 / of)) ** (index - (of - 1) / 2))


def _bound_settings(groups: Groups) -> list[Setting]:
    """Return ERM and the oracle, central (else as they ran) and on the fewest machines; the same weights only once."""
    chosen: list[Setting] = []
    seen: list[dict[int, str]] = []
    for method in _BOUNDS:
        ran = sorted(
            (s for s in groups if s.get("method") == method), key=lambda s: (s.get("robust"), s.get("machines"))
        )
        for setting in ran:
            first = next(s for s in ran if s.without("robust", "machines") == setting.without("robust", "machines"))
            digests = {row["config.seed"]: row["digest"] for row in groups[setting]}
            if setting == first and digests not in seen:
                chosen.append(setting)
                seen.append(digests)
    return chosen


def _bounds(axes: Axes, groups: Groups) -> None:
    """Draw ERM and the oracle as horizontal lines with their intervals as bands."""
    for setting in _bound_settings(groups):
        value, colour = estimate(groups[setting], WGA), _BOUNDS[setting.get("method")]
        if value is not None:
            label = setting.without("machines").label
            axes.axhline(value.mean, color=colour, linewidth=1.2, linestyle="-.", label=label)
            axes.axhspan(max(0, value.low), min(1, value.high), color=colour, alpha=0.12, linewidth=0)


def wga_against_machines(groups: Groups) -> Figure | None:
    """WGA against machines, central beside federated, between ERM and the oracle; None with one machine count."""
    lines = variants(groups)
    machines = sorted({count for line in lines.values() for count in line})
    if len(machines) < 2:
        return None
    figure, (axes,) = _figure(4.4, provenance([row for rows in groups.values() for row in rows]))
    _bounds(axes, groups)
    spread_erm = {v: line for v, line in variants(groups, "erm").items() if v.get("robust") == "federated"}
    shown = {**lines, **{v: line for v, line in spread_erm.items() if len(line) > 1}}
    styles = _styles(lines)
    for index, (variant, line) in enumerate(shown.items()):
        style = styles.get(variant, {"color": GREY, "marker": "^", "linestyle": "-", "linewidth": 1.0})
        values = {count: value for count in sorted(line) if (value := estimate(line[count], WGA)) is not None}
        x = [_dodged(count, index, len(shown)) for count in values]
        _draw(axes, x, list(values.values()), variant.label, style)
    _machines_axis(axes, machines)
    _percent_axis(axes, "worst-group accuracy (test)")
    _legend(figure, axes)
    return figure


def error_set_against_machines(groups: Groups) -> Figure | None:
    """Precision and recall of the error set against machines; None where they are not known or one count ran."""
    lines: Variants = {}
    for variant, line in variants(groups).items():  # the robust stage comes after it and cannot change it
        merged = lines.setdefault(variant.but(robust="either"), {})
        for count, group in line.items():
            merged.setdefault(count, []).extend(group)
    machines = sorted({count for line in lines.values() for count in line})
    known = any(estimate(rows, "identification.precision") for line in lines.values() for rows in line.values())
    if len(machines) < 2 or not known:
        return None
    rows = [row for line in lines.values() for group in line.values() for row in group]
    note = provenance(rows, "train").split(" Selected")[0] + " Against the true minority; no model is selected here."
    figure, (axes,) = _figure(3.9, note)
    others = list(dict.fromkeys(map(_further, lines)))
    for index, ((variant, line), name) in enumerate(product(lines.items(), _PREDICTIONS)):
        values = {c: e for c in sorted(line) if (e := estimate(line[c], f"identification.{name}")) is not None}
        marker, colours = _PREDICTIONS[name]
        style = _style(variant, marker, colours[others.index(_further(variant)) % len(colours)])
        rest = variant.without("method", "robust").label
        x = [_dodged(count, index, 2 * len(lines)) for count in values]
        _draw(axes, x, list(values.values()), f"{name}, {rest}" if rest else name, style)
    _machines_axis(axes, machines)
    _percent_axis(axes, "precision and recall")
    _legend(figure, axes)
    return figure


def wga_against_speed_up(groups: Groups) -> Figure | None:
    """WGA against speed-up over the variant on one machine and, if it ran, over the original's setting there."""
    original = original_setting(groups)
    lines, speed = variants(groups), speed_ups(groups, original)
    names = ["speed-up over the same variant on one machine", "speed-up over the original's setting on one machine"]
    jtt = [setting for setting in groups if setting.get("method") == "jtt"]
    panels = [i for i in (0, 1) if sum(speed[s][i] is not None for s in jtt) > 1]
    if not panels or len({setting.get("machines") for setting in jtt}) < 2:
        return None
    note = provenance([row for s in jtt for row in groups[s]])
    note += (
        " Numbers: machines, where there is room. Speed-up: CPU seconds (identify, slowest machine, + robust) of the "
    )
    note += "reference / of the setting."
    figure, axes = _figure(0.9 + 3.3 * len(panels), note, len(panels))
    styles, numbered = _styles(lines), []
    for each, panel in zip(axes, panels, strict=True):
        points: list[tuple[float, float, str, str]] = []
        for variant in lines:
            found = [(s.get("machines"), speed[s][panel], estimate(groups[s], WGA))
                     for s in jtt if s.without("machines") == variant]  # fmt: skip
            full = [(count, x.mean, y) for count, x, y in found if x is not None and y is not None]
            if full:
                _draw(each, [x for _, x, _ in full], [y for _, _, y in full], variant.label, styles[variant])
                points += [(x, y.mean, str(count), str(styles[variant]["color"])) for count, x, y in full]
        _speed_axis(each, [x for x, *_ in points], names[panel])
        _percent_axis(each, "worst-group accuracy (test)")
        numbered.append((each, points))
    _legend(figure, axes[0])
    figure.draw_without_rendering()  # from here on the axes stay where they are
    for each, points in numbered:
        _number(each, points)
    return figure


def _number(axes: Axes, points: Sequence[tuple[float, float, str, str]]) -> None:
    """Write each point's number beside it, inside the axes, where it covers no line and no other number."""
    scale = axes.figure.dpi / 72
    frame = axes.get_window_extent()
    taken: list[tuple[float, ...]] = []
    for line in axes.get_lines():
        corners = axes.transData.transform(line.get_xydata())
        joined = str(line.get_linestyle()).lower() != "none"  # the ends of error bars are lines without a line
        taken += _boxes_along(corners, scale) if joined else _boxes(corners, 2 * scale)
    known = set()
    for x, y, text, colour in points:
        px, py = axes.transData.transform((x, y))
        if (place := (text, round(px / 9), round(py / 9))) in known:  # one machine is often the same computation
            continue
        known.add(place)
        half = 2.6 * len(text)
        for dx, dy in ((a * (half + 5) * r, b * 7 * r) for r in (1, 1.4) for a, b in product((1, -1, 0.3), (1, -1))):
            box = (px + (dx - half) * scale, py + (dy - 4) * scale, px + (dx + half) * scale, py + (dy + 4) * scale)
            inside = frame.x0 < box[0] and box[2] < frame.x1 and frame.y0 < box[1] and box[3] < frame.y1
            if inside and not any(_overlap(box, other) for other in taken):
                taken.append(box)
                axes.annotate(text, (x, y), (dx, dy), textcoords="offset points", fontsize=7.5, color=colour,
                              ha="center", va="center")  # fmt: skip
                break


def _boxes_along(corners: Any, scale: float) -> list[tuple[float, ...]]:
    """Return small boxes along a line in display coordinates, bigger ones at its points."""
    between = [
        start + share * (end - start)
        for start, end in pairwise(corners)
        for share in np.linspace(0, 1, 2 + int(np.hypot(*(end - start)) / (4 * scale)))
    ]
    return _boxes(corners, 3.5 * scale) + _boxes(between, scale)


def _boxes(spots: Iterable[Any], size: float) -> list[tuple[float, ...]]:
    return [(x - size, y - size, x + size, y + size) for x, y in spots]


def _overlap(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _speed_axis(axes: Axes, speeds: Sequence[float], name: str) -> None:
    axes.set_xscale("log")
    low, high = min([*speeds, 1]) / 1.3, max([*speeds, 1]) * 1.3
    axes.set_xlim(low, high)
    ticks = [t * 10**e for e in range(-3, 5) for t in (1, 2, 5) if low <= t * 10**e <= high]
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}×"))
    axes.set_xlabel(name, fontsize=9)


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
    jtt = [s for s in jtt if s.get("machines") == machines and s.without("robust") == jtt[0].but(
        machines=machines).without("robust")]  # fmt: skip
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
    figure, axes = _figure(1.1 + 1.15 * len(labels), note, len(labels))
    for each, label in zip(axes, labels, strict=True):
        _label_panel(each, label, {s: (values[s], colour) for s, colour in compared.items()}, splits)
    axes[-1].set_xlabel("attribute" + ("" if splits else " (number)"), fontsize=9)
    _legend(figure, axes[0])
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
    _percent_axis(axes, f"label {splits.label_names[label] if splits else label}")
    axes.set_ylim(0, 1.05)
    axes.set_yticks([0, 0.5, 1])


def wga_by_round(groups: Groups, histories: Mapping[str, Sequence[Mapping[str, Any]]]) -> Figure | None:
    """Worst-group accuracy on validation after every robust round; None where no run kept its rounds."""
    measure = "validation.worst-group-accuracy"
    most = max((s.get("machines") for s in groups if s.get("method") == "jtt"), default=0)
    bounds = _bound_settings(groups)
    curves: dict[Setting, dict[int, list[float]]] = {}
    for setting, rows in groups.items():
        if setting.get("machines") != most if setting.get("method") == "jtt" else setting not in bounds:
            continue
        for row in rows:
            for line in histories.get(row["run-id"], ()):
                if line.get("stage") == "robust" and line.get(measure) is not None:
                    curves.setdefault(setting, {}).setdefault(line["round"], []).append(line[measure])
    if not any(len(curve) > 1 for curve in curves.values()):
        return None
    note = provenance([row for setting in curves for row in groups[setting]], "validation")
    figure, (axes,) = _figure(3.9, note)
    styles = _styles(setting for setting in curves if setting.get("method") == "jtt")
    for setting, curve in curves.items():
        values = [value for key in sorted(curve) if (value := mean_interval(curve[key])) is not None]
        style = styles.get(setting) or {"color": _BOUNDS[setting.get("method")], "linestyle": "-."}
        axes.plot(sorted(curve), [v.mean for v in values], label=setting.label, linewidth=1.5, color=style["color"],
                  linestyle=style["linestyle"])  # fmt: skip
        low, high = np.clip([v.low for v in values], 0, 1), np.clip([v.high for v in values], 0, 1)
        axes.fill_between(sorted(curve), low, high, color=style["color"], alpha=0.12, linewidth=0)
    axes.set_xlabel("round of the robust stage", fontsize=9)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    _percent_axis(axes, "worst-group accuracy (validation)")
    _legend(figure, axes)
    return figure


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
    for label, attribute in product(range(train.num_labels), range(train.num_attributes)):
        axes = cells[label, attribute]
        chosen = torch.nonzero((train.label == label) & (train.attribute == attribute))[: rows * columns, 0]
        _cell(axes, _mosaic(train.x[chosen], rows, columns), outlined=attribute != int(majority[label]))
        axes.set_xlabel(f"{int(counts[label, attribute]):,} in train", fontsize=7, labelpad=2)
        axes.set_title(splits.attribute_names[attribute] if label == 0 else "", fontsize=9)
        axes.set_ylabel(splits.label_names[label] if attribute == 0 else "", fontsize=9)
    outlined = [
        Patch(
            fill=False,
            edgecolor=VERMILLION,
            linewidth=2.2,
            label="true minority: not the label's most frequent attribute in train",
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
