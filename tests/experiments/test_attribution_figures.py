"""The sheet of the most harmful and helpful images, and worst-group accuracy over the number removed."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from matplotlib.figure import Figure

from experiments.attribution_figures import harm_sheet, wga_against_removed
from experiments.results import flatten
from experiments.settings import Groups, by_setting
from fedjtt.data.grouped import GroupedDataset, Splits
from fedjtt.data.options import NO_CACHE, DataOptions
from fedjtt.data.sampling import stored
from fedjtt.data.sources import load
from fedjtt.errors import DataError
from tests.data.pictures import write_waterbirds
from tests.experiments.test_results import synthetic_result
from tests.tiny import tiny_splits


def images() -> Splits:
    """60 images of which number i is i bright."""
    splits = tiny_splits()
    x = (torch.arange(60).view(-1, 1, 1, 1).expand(-1, 3, 6, 6)).to(torch.uint8)
    train: GroupedDataset = replace(splits.train, x=x)
    return replace(splits, train=train, label_names=("cat", "dog"), attribute_names=("day", "night"))


def drawn(figure: Figure) -> list[tuple[int, str]]:
    """Brightness and title of each picture, in the order in which they are drawn."""
    cells = [axes for half in figure.subfigs for axes in half.axes]
    return [(round(float(axes.images[0].get_array().max()) * 255), axes.get_title()) for axes in cells]


def test_the_sheet_has_the_lowest_then_the_highest_alignments_with_their_groups() -> None:
    alignment = torch.randperm(60, generator=torch.Generator().manual_seed(1)).double() - 30
    shown = drawn(harm_sheet(alignment, images(), 9))
    order = alignment.argsort().tolist()
    assert [row for row, _ in shown] == [*order[:9], *order[::-1][:9]]
    names = [f"{('cat', 'dog')[row % 2]}, {('day', 'night')[(row % 2) ^ (row < 8)]}" for row, _ in shown]
    assert [title.split("\n")[0] for _, title in shown] == names
    assert shown[0][1].endswith("-30")


def test_photographs_on_disk_are_read_for_the_sheet(tmp_path: Path) -> None:
    write_waterbirds(tmp_path)
    splits = load(DataOptions("waterbirds", tmp_path, 0, image_size=8, image_cache=NO_CACHE))
    order = torch.arange(float(len(splits.train)))
    shown = [axes.images[0] for half in harm_sheet(order, splits, 2).subfigs for axes in half.axes]
    first, last = (stored(splits.train.x, torch.tensor([row]))[0] for row in (0, len(splits.train) - 1))
    for image, pixels in ((shown[0], first), (shown[2], last)):
        assert torch.equal(torch.tensor(image.get_array() * 255).round().byte(), pixels.permute(1, 2, 0))


def test_half_of_the_examples_are_the_most_that_harm_or_help() -> None:
    assert len(drawn(harm_sheet(torch.arange(60.0), images(), 500))) == 60


def test_what_is_no_image_is_said() -> None:
    with pytest.raises(DataError, match="which is no image"):
        harm_sheet(torch.arange(60.0), tiny_splits(), 3)


def groups_of(grid: list[dict[str, Any]]) -> Groups:
    rows = []
    for values in grid:
        for seed in (0, 1):
            result = synthetic_result({**values, "seed": seed})
            removed = values.get("d3m-remove")
            if removed is not None:
                result["removal"] = {"removed": 70 + seed if removed == "sign" else removed, "by": "score"}
            rows.append(flatten(result))
    return by_setting(rows)


GRID: list[dict[str, Any]] = [
    {"method": "erm"},
    {"method": "balance", "balance": "subset"},
    *({"method": "d3m", "d3m-remove": k, "d3m-remove-by": by}
      for by in ("score", "random", "majority") for k in (10, 50, 200)),
    {"method": "d3m", "d3m-remove": "sign"},
    *({"method": "auto-d3m", "d3m-remove": k} for k in (10, 50)),
]  # fmt: skip


def test_a_line_for_each_way_to_remove_and_for_what_removes_none() -> None:
    figure = wga_against_removed(groups_of(GRID))
    assert figure is not None
    _, labels = figure.axes[0].get_legend_handles_labels()
    kinds = {"D3M", "Auto-D3M", "random removal", "majority removal"}
    assert {label.split(",")[0] for label in labels} == {*kinds, "ERM", "dataset balancing"}
    points = {str(c.get_label()).split(",")[0]: [float(x) for x in c.lines[0].get_xdata()]
              for c in figure.axes[0].containers}  # fmt: skip
    assert points == {
        "D3M": [10, 50, 70.5, 200], "random removal": [10, 50, 200], "majority removal": [10, 50, 200],
        "Auto-D3M": [10, 50],
    }  # fmt: skip
    assert figure.axes[0].xaxis.get_major_formatter()(40000) == "40,000"


def test_one_number_is_no_line() -> None:
    assert wga_against_removed(groups_of([{"method": "erm"}, {"method": "d3m", "d3m-remove": 10}])) is None
    assert wga_against_removed(groups_of([{"method": "erm"}])) is None
