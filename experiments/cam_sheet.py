"""The sheet of Grad-CAM: the same test images of every group, and where each network saw the label that it gave."""

from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import fill
from typing import Any

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from experiments.drawing import GREEN, VERMILLION
from experiments.grad_cam import class_activation_maps
from fedjtt.data.grouped import GroupedDataset, Splits
from fedjtt.data.sampling import gather, stored
from fedjtt.evaluation import outputs_of
from fedjtt.models import FlatModel
from fedjtt.seeding import torch_generator

ROWS = 10
"""Images on a sheet at most."""

_A_GROUP = 3
_LABELS = ROWS // 2
_SIDE, _GAP, _NAMES, _LINE = 0.95, 0.17, 1.05, 0.12  # inches: a picture, what is below it, rows' names, a line of text


@dataclass(frozen=True)
class Maps:
    """What one network says of the sheet's images.

    Attributes
    ----------
    name : str
        The column's title.
    predicted : Tensor
        int64 ``[n]``.
    maps : Tensor
        float32 ``[n, height, width]``: for the predicted label.
    """

    name: str
    predicted: Tensor
    maps: Tensor


def chosen_rows(splits: Splits, seed: int) -> tuple[Tensor, str]:
    """Return the test images that are shown, int64, drawn by seed, and how their groups were chosen.

    Group by group, the smallest in train first; where the groups are more than rows, of each of the first labels its
    smallest group, then of each its largest.
    """
    train, test = splits.train, splits.test
    known = test.attribute is not None and train.attribute is not None
    own, of_train = (test.group, train.group) if known else (test.label, train.label)
    groups = test.num_groups if known else test.num_labels
    sizes = torch.bincount(of_train, minlength=groups)
    present = torch.bincount(own, minlength=groups) > 0
    order = [group for group in sizes.argsort(stable=True).tolist() if present[group]]
    said = "groups: the smallest in train first"
    if len(order) > ROWS:
        said = "groups: of each label the smallest in train, then of each the largest"
        order = _ends(order, groups // test.num_labels)
    each = min(_A_GROUP, max(1, ROWS // max(1, len(order))))
    generator = torch_generator(seed, "cam")
    rows = []
    for group in order:
        members = torch.nonzero(own == group)[:, 0]
        rows.append(members[torch.randperm(len(members), generator=generator)[:each]].sort().values)
    return torch.cat([*rows, own[:0]]), said


def _ends(order: Sequence[int], attributes: int) -> list[int]:
    """Return of each label the first of its groups, then of each the last."""
    of_label: dict[int, list[int]] = {}
    for group in order:
        of_label.setdefault(group // attributes, []).append(group)
    labels = sorted(of_label)[:_LABELS]
    ends = [of_label[label][0] for label in labels] + [of_label[label][-1] for label in labels]
    return list(dict.fromkeys(ends))


def maps_of(name: str, model: FlatModel, dataset: GroupedDataset, rows: Tensor) -> Maps:
    """Return what a network predicts for images, and where it saw that."""
    predicted = outputs_of(model, dataset, rows).argmax(dim=1)
    device = model.vector.device
    maps = class_activation_maps(model.module, gather(dataset.x, rows, device), predicted.to(device))
    return Maps(name, predicted, maps.cpu())


def cam_sheet(columns: Sequence[Maps], splits: Splits, rows: Tensor, note: str) -> Figure:
    """Draw a row an image: the image, then the map of each network with what it predicted, right or wrong.

    Parameters
    ----------
    note : str
        What the caption says beyond how to read the sheet.
    """
    titles = [fill(title, 17) for title in ("image", *(each.name for each in columns))]
    width = _NAMES + _SIDE * len(titles) + 0.1
    caption = fill(f"{_READ} {note}", int(width * 20), break_on_hyphens=False)
    above = 0.15 + _LINE * max(1 + title.count("\n") for title in titles)
    below = 0.3 + _LINE * (1 + caption.count("\n"))
    height = above + (_SIDE + _GAP) * len(rows) - _GAP + below
    figure = Figure(figsize=(width, height))
    cells = figure.subplots(len(rows), len(titles), squeeze=False)
    figure.subplots_adjust(left=_NAMES / width, right=1 - 0.05 / width, top=1 - above / height, bottom=below / height,
                           wspace=0.06, hspace=_GAP / _SIDE)  # fmt: skip
    figure.text(0.05 / width, 0.06 / height, caption, fontsize=6.5, color="#444444", va="bottom")
    for axes, title in zip(cells[0], titles, strict=True):
        axes.set_title(title, fontsize=7.5, pad=4)
    images = _shades(stored(splits.test.x, rows))
    for line, row in enumerate(rows.tolist()):
        first, *others = cells[line]
        _show(first, images[line])
        first.set_ylabel(_group_name(splits, row), fontsize=6.5, rotation=0, ha="right", va="center", labelpad=4)
        for axes, column in zip(others, columns, strict=True):
            answer = int(column.predicted[line])
            _show(axes, _grey(images[line]))
            _lay_over(axes, column.maps[line])
            said = splits.label_names[answer] + ("" if column.maps[line].max() > 0 else " (no place)")
            _judge(axes, said, answer == int(splits.test.label[row]))
    return figure


_READ = (
    "Test images, and where each network saw the label that it gave (Grad-CAM of the last convolution's maps, for the "
    "predicted label: below each map, ✓ right, ✗ wrong). Bright: most for that label, each map against its own largest "
    "value; no place: none spoke for it (a bias did)."
)


def _show(axes: Axes, image: Any) -> None:
    axes.imshow(image, interpolation="nearest")
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set(color="#BBBBBB", linewidth=0.5)


def _lay_over(axes: Axes, heat: Tensor) -> None:
    """Lay a map over the image below, from 0 to its own largest value."""
    largest = float(heat.max())
    axes.imshow((heat / largest if largest > 0 else heat).numpy(), cmap="inferno", vmin=0, vmax=1, alpha=0.7)


def _judge(axes: Axes, said: str, right: bool) -> None:
    """Say below a map what was predicted, and by sign and colour whether that is right."""
    colour = GREEN if right else VERMILLION
    axes.set_xlabel(f"{'✓' if right else '✗'} {said}", fontsize=6.5, labelpad=1.5, color=colour)
    axes.spines[:].set(color=colour, linewidth=1.4)


def _shades(images: Tensor) -> Any:
    """Return images as float RGB, ``[n, height, width, 3]``."""
    shades = images.float() / 255 if images.dtype == torch.uint8 else images.clamp(0, 1)
    return shades.expand(-1, 3, -1, -1).permute(0, 2, 3, 1).numpy()


def _grey(image: Any) -> Any:
    """Return an image without its colours, which would be taken for the map's."""
    return (image @ torch.tensor([0.299, 0.587, 0.114]).numpy())[..., None].repeat(3, axis=-1)


def _group_name(splits: Splits, row: int) -> str:
    test = splits.test
    label = splits.label_names[int(test.label[row])]
    name = label if test.attribute is None else f"{label},\n{splits.attribute_names[int(test.attribute[row])]}"
    return "\n".join(fill(part, 15) for part in name.split("\n"))
