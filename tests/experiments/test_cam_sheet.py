"""The sheet of Grad-CAM: which images it has, and what stands in its cells."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from torch import Tensor

from experiments.cam_sheet import ROWS, Maps, cam_sheet, chosen_rows, maps_of
from experiments.drawing import GREEN, VERMILLION
from fedjtt.data.grouped import GroupedDataset, Splits
from fedjtt.data.options import NO_CACHE, DataOptions
from fedjtt.data.sampling import gather, stored
from fedjtt.data.sources import load
from fedjtt.evaluation import predict
from fedjtt.models import build_model
from tests.data.pictures import write_waterbirds


def part(counts: list[list[int]]) -> GroupedDataset:
    """Images of 12 x 12, as many of each group (label by attribute) as it says; image i is i bright."""
    pairs = [
        (label, attribute)
        for label, row in enumerate(counts)
        for attribute, count in enumerate(row)
        for _ in range(count)
    ]
    label, attribute = torch.tensor(pairs).T
    x = torch.arange(len(pairs)).view(-1, 1, 1, 1).expand(-1, 3, 12, 12).to(torch.uint8)
    return GroupedDataset(x, label, attribute, torch.arange(len(pairs)), len(counts), len(counts[0]))


def splits_of(train: list[list[int]], test: list[list[int]]) -> Splits:
    names = [
        tuple(f"{kind}{number}" for number in range(size)) for kind, size in (("l", len(train)), ("a", len(train[0])))
    ]
    return Splits(part(train), part(test), part(test), names[0], names[1])


def groups_of(splits: Splits, rows: Tensor) -> list[tuple[int, int]]:
    test = splits.test
    assert test.attribute is not None
    return list(zip(test.label[rows].tolist(), test.attribute[rows].tolist(), strict=True))


def test_few_groups_have_several_images_each_the_smallest_first() -> None:
    splits = splits_of([[9, 2], [1, 5]], [[8, 8], [8, 8]])
    rows, said = chosen_rows(splits, 0)
    # 10 rows for 4 groups: two each
    assert groups_of(splits, rows) == [(1, 0)] * 2 + [(0, 1)] * 2 + [(1, 1)] * 2 + [(0, 0)] * 2
    assert said == "groups: the smallest in train first"
    assert torch.equal(rows, chosen_rows(splits, 0)[0])
    assert any(not torch.equal(rows, chosen_rows(splits, seed)[0]) for seed in (1, 2))


def test_of_many_groups_each_label_shows_its_smallest_and_its_largest() -> None:
    train = [[50, 3, 4], [5, 60, 2], [7, 6, 70], [80, 9, 8]]
    splits = splits_of(train, [[3] * 3] * 4)
    rows, said = chosen_rows(splits, 0)
    assert groups_of(splits, rows) == [(0, 1), (1, 2), (2, 1), (3, 2), (0, 0), (1, 1), (2, 2), (3, 0)]
    assert said == "groups: of each label the smallest in train, then of each the largest"
    many = splits_of([[40, 1]] * 9, [[3, 3]] * 9)
    assert groups_of(many, chosen_rows(many, 0)[0]) == [(label, 1) for label in range(5)] + [(n, 0) for n in range(5)]
    assert ROWS == 10


def test_groups_without_a_test_image_are_left_out_and_small_ones_show_what_they_have() -> None:
    splits = splits_of([[9, 2], [1, 5]], [[8, 1], [0, 8]])
    rows, _ = chosen_rows(splits, 0)
    assert groups_of(splits, rows) == [(0, 1)] + [(1, 1)] * 3 + [(0, 0)] * 3


def test_without_an_attribute_the_groups_are_the_labels() -> None:
    splits = splits_of([[9, 2], [1, 5]], [[4, 4], [4, 4]])
    bare = replace(splits, train=replace(splits.train, attribute=None), test=replace(splits.test, attribute=None))
    rows, _ = chosen_rows(bare, 0)
    assert bare.test.label[rows].tolist() == [1] * 3 + [0] * 3  # 6 and 11 in train


@pytest.fixture
def splits() -> Splits:
    return splits_of([[9, 2], [1, 5]], [[8, 8], [8, 8]])


def cells(figure: Figure) -> list[list[Axes]]:
    grid = figure.axes[0].get_gridspec()
    return [figure.axes[line * grid.ncols : (line + 1) * grid.ncols] for line in range(grid.nrows)]


def test_cells_say_what_was_predicted_and_whether_that_is_right(splits: Splits) -> None:
    rows = torch.tensor([16, 3])  # of group (1, 0) and of (0, 0)
    maps = torch.zeros(2, 12, 12)
    maps[0, 2, 3], maps[0, 5, 5] = 4.0, 2.0
    columns = [Maps("ERM, central", torch.tensor([0, 0]), maps), Maps("JTT", torch.tensor([1, 1]), maps + 1)]
    figure = cam_sheet(columns, splits, rows, "drawn by seed (0).")
    shown = cells(figure)
    assert [axes.get_title() for axes in shown[0]] == ["image", "ERM, central", "JTT"]
    assert [line[0].get_ylabel() for line in shown] == ["l1,\na0", "l0,\na0"]
    assert [[axes.get_xlabel() for axes in line[1:]] for line in shown] == [
        ["✗ l0", "✓ l1"],
        ["✓ l0 (no place)", "✗ l1"],
    ]
    colours = [[to_hex(axes.spines["top"].get_edgecolor()) for axes in line[1:]] for line in shown]
    assert [[colour.upper() for colour in line] for line in colours] == [[VERMILLION, GREEN], [GREEN, VERMILLION]]
    assert np.allclose(shown[0][0].images[0].get_array(), 16 / 255)
    below, heat = shown[0][1].images
    assert np.allclose(below.get_array(), 16 / 255, atol=1e-6)  # grey, as the image itself is
    drawn = heat.get_array()
    assert (drawn[2, 3], drawn[5, 5], drawn.sum()) == (1.0, 0.5, 1.5)  # of the map's own largest value
    caption = " ".join(figure.texts[0].get_text().split())
    assert "Grad-CAM of the last convolution's maps, for the predicted label" in caption
    assert caption.endswith("drawn by seed (0).")


def test_colours_of_the_image_do_not_show_through_the_map(splits: Splits) -> None:
    x = splits.test.x.clone()  # type: ignore[union-attr]
    x[:, 0], x[:, 1:] = 255, 0
    red = replace(splits, test=replace(splits.test, x=x))
    column = Maps("ERM", torch.tensor([0]), torch.ones(1, 12, 12))
    image, below = (
        axes.images[0].get_array()[0, 0] for axes in cells(cam_sheet([column], red, torch.tensor([0]), ""))[0]
    )
    assert np.allclose(image, [1, 0, 0])
    assert np.allclose(below, 0.299)


def test_a_networks_column_is_for_the_labels_that_it_predicts(splits: Splits) -> None:
    model = build_model("lenet", (3, 12, 12), 2, torch.Generator().manual_seed(0))
    rows = torch.tensor([0, 9, 30])
    column = maps_of("ERM", model, splits.test, rows)
    assert torch.equal(column.predicted, predict(model, splits.test, rows))
    from experiments.grad_cam import class_activation_maps

    x = gather(splits.test.x, rows)
    torch.testing.assert_close(column.maps, class_activation_maps(model.module, x, column.predicted))
    assert column.maps.shape == (3, 12, 12)


def test_photographs_on_disk_are_shown_as_they_are_and_seen_standardised(tmp_path: Path) -> None:
    write_waterbirds(tmp_path)
    splits = load(DataOptions("waterbirds", tmp_path, 0, image_size=16, image_cache=NO_CACHE))
    rows, _ = chosen_rows(splits, 0)
    assert sorted(set(groups_of(splits, rows))) == [(0, 0), (0, 1), (1, 0), (1, 1)]
    model = build_model("lenet", (3, 16, 16), 2, torch.Generator().manual_seed(0))
    column = maps_of("ERM", model, splits.test, rows)
    assert torch.equal(column.predicted, predict(model, splits.test, rows))
    first = cells(cam_sheet([column], splits, rows, ""))[0]
    pixels = stored(splits.test.x, rows[:1])[0].permute(1, 2, 0)
    assert torch.equal(torch.tensor(first[0].images[0].get_array() * 255).round().byte(), pixels)
