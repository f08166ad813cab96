from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from experiments.drawing import GREEN, GREY, line_styles, save
from experiments.group_figures import group_accuracies, sample_sheet
from experiments.plots import (
    error_set_against_machines,
    wga_against_machines,
)
from experiments.report import load_splits
from experiments.results import Result, flatten, read_runs
from experiments.settings import Groups, Setting, by_setting
from fedjtt.data.grouped import GroupedDataset, Splits
from fedjtt.data.recipe import LABEL_NAMES
from fedjtt.errors import DataError
from tests.experiments.test_results import synthetic_result, write_run, write_sweep


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sweep(tmp_path_factory.mktemp("sweep"), machines=(1, 2, 5, 10, 20), updates_to=5)


@pytest.fixture(scope="module")
def runs(sweep: Path) -> list[Result]:
    return read_runs(sweep)


@pytest.fixture(scope="module")
def groups(runs: list[Result]) -> Groups:
    return by_setting([flatten(run) for run in runs])


def tiny_splits(shape: tuple[int, ...] = (3, 4, 4)) -> Splits:
    """Two labels, two attributes: 3, 1, 1 and 3 examples, the diagonal is the majority."""
    label = torch.tensor([0, 0, 0, 0, 1, 1, 1, 1])
    attribute = torch.tensor([0, 0, 0, 1, 0, 1, 1, 1])
    x = torch.arange(8, dtype=torch.uint8).view(8, *(1 for _ in shape)).expand(8, *shape).contiguous() * 30
    data = GroupedDataset(x, label, attribute, torch.arange(8), 2, 2)
    return Splits(data, data, data, ("zero", "one"), ("red", "blue"))


def texts(figure: Figure) -> list[str]:
    assert figure.legends
    return [text.get_text().replace("\n", " ") for text in figure.legends[0].get_texts()]


def ticks(figure: Figure) -> list[str]:
    figure.draw_without_rendering()
    return [label.get_text() for label in figure.axes[0].get_xticklabels()]


def test_wga_against_machines_shows_both_modes_both_schedules_and_the_bounds(groups: Groups) -> None:
    figure = wga_against_machines(groups)
    assert figure is not None
    assert {"ERM, central", "oracle (group-balanced), central", "JTT, federated, same-updates"} <= set(texts(figure))
    assert ticks(figure) == ["1", "2", "5", "10", "20"]
    note = figure.get_supxlabel().replace("\n", " ")
    assert "Test split, seeds 0, 1, 2" in note
    assert "95 % Student-t interval" in note
    assert "selection val-worst-group" in note


def test_points_are_the_means_over_seeds(groups: Groups) -> None:
    figure = wga_against_machines(groups)
    assert figure is not None
    (setting, rows), *_ = [
        item for item in groups.items() if item[0].label == "JTT, federated, 10 machines, same-epochs"
    ]
    drawn = next(c for c in figure.axes[0].containers if c.get_label() == setting.without("machines").label)
    expected = np.mean([row["test.worst-group-accuracy"] for row in rows])
    assert drawn[0].get_ydata()[3] == pytest.approx(expected)


def test_close_machine_counts_keep_their_ticks_and_lose_a_number() -> None:
    rows = [flatten(synthetic_result({"machines": count})) for count in (1, 99, 100)]
    figure = wga_against_machines(by_setting(rows))
    assert figure is not None
    assert ticks(figure) == ["1", "99", ""]


def test_precision_and_recall_do_not_depend_on_the_robust_mode(groups: Groups) -> None:
    figure = error_set_against_machines(groups)
    assert figure is not None
    assert sum("central" in text or "federated" in text for text in texts(figure)) == 0
    assert {"precision, same-epochs", "recall, same-updates"} <= set(texts(figure))


def test_many_variants_get_a_panel_each_for_precision_and_recall() -> None:
    ways = [{"identify": "local"}, {"identify": "federated"}, *({"identify": "peers", "peers": n} for n in (1, 5))]
    modes = ("central", "federated")
    grid = [{"machines": count, "robust": mode, **own} for count in (1, 10) for mode in modes for own in ways]
    names = {"alone": {"identify": "local"}, "one peer": {"identify": "peers", "peers": 1}}
    groups = by_setting([flatten(synthetic_result(each)) for each in grid], names)
    figure = error_set_against_machines(groups)
    assert figure is not None
    assert sorted(axes.get_title(loc="left") for axes in figure.axes) == [
        "alone", "identify federated", "identify peers, peers 5", "one peer"
    ]  # fmt: skip
    assert texts(figure) == ["precision", "recall"]
    assert [axes.get_xlabel() for axes in figure.axes] == ["", "", "machines", "machines"]
    assert [bool(axes.get_ylabel()) for axes in figure.axes] == [True, False, True, False]
    with_three = {setting: rows for setting, rows in groups.items() if setting.get("identify") != "federated"}
    together = error_set_against_machines(with_three)
    assert together is not None
    assert len(together.axes) == 1
    assert len(texts(together)) == 6


def test_the_figure_grows_with_its_legend() -> None:
    groups = by_setting([flatten(synthetic_result({"machines": count, "batch-size": size}))
                         for count in (1, 2) for size in (4, 8, 16, 32, 64, 128, 256, 512, 1024)])  # fmt: skip
    few = wga_against_machines({s: rows for s, rows in groups.items() if s.get("batch-size") < 16})
    many = wga_against_machines(groups)
    assert few is not None
    assert many is not None
    assert many.get_figheight() > few.get_figheight()
    many.draw_without_rendering()
    assert many.axes[0].get_window_extent().height / many.dpi > 2.5


def test_every_variant_has_a_style_of_its_own() -> None:
    variants = [
        Setting((("method", "jtt"), ("robust", robust), ("identify-schedule", schedule), ("batch-size", size)))
        for robust in ("central", "federated") for schedule in ("same-epochs", "scaled", "same-updates")
        for size in range(30)
    ]  # fmt: skip
    for shown in (variants, [v for v in variants if v.get("batch-size") < 3], variants[:1]):
        styles = line_styles(shown)
        seen = {tuple(sorted(style.items())) for style in styles.values()}
        assert len(seen) == len(shown)
        assert not {GREY, GREEN} & {style["color"] for style in styles.values()}  # the bounds'


def test_central_and_federated_of_a_variant_look_alike_also_where_only_one_uses_a_key() -> None:
    grid = [{"batch-size": size, "robust": robust, "robust-schedule": schedule}
            for size in (8, 16, 32, 64) for robust, schedule in (("central", "scaled"), ("federated", "scaled"),
                                                                ("federated", "same-updates"))]  # fmt: skip
    lines = list(by_setting([flatten(synthetic_result(values)) for values in grid]))
    styles = line_styles(lines)
    for size in (8, 16, 32, 64):
        central, first, second = (styles[s] for s in sorted((s for s in lines if s.get("batch-size") == size),
                                                            key=lambda s: s.get("robust")))  # fmt: skip
        assert (central["color"], central["marker"]) == (first["color"], first["marker"])
        assert (central["color"], central["marker"]) != (second["color"], second["marker"])
        assert ("markerfacecolor" in central, "markerfacecolor" in first) == (False, True)


def test_group_bars_mark_the_majority_where_the_data_is_here(runs: list[Result], groups: Groups) -> None:
    figure = group_accuracies(runs, groups, machines=5)
    assert figure is not None
    assert len(figure.axes) == 5
    assert "ERM, central, 1 machine" in texts(figure)
    assert "JTT, central, 5 machines, same-epochs" in texts(figure)
    assert "majority group in train" not in texts(figure)
    bars = next(c for c in figure.axes[0].containers if c.get_label() == "ERM, central, 1 machine")
    erm = [run["test"]["groups"][1] for run in runs if run["config"]["method"] == "erm"]  # label 0, attribute 1
    assert bars.datavalues[1] == pytest.approx(sum(group["correct"] / 60 for group in erm) / 3)


def test_group_bars_name_and_shade_the_majority_where_the_data_is_here(runs: list[Result], groups: Groups) -> None:
    splits = load_splits(runs[0])[0]
    figure = group_accuracies(runs, groups, splits=splits)
    assert figure is not None
    assert "majority group in train" in texts(figure)
    assert [axes.get_ylabel() for axes in figure.axes] == [f"label {name}, %" for name in LABEL_NAMES]
    shaded = [next(p for p in axes.patches if p.get_label() == "majority group in train") for axes in figure.axes]
    assert [patch.get_x() + 0.5 for patch in shaded] == [0, 1, 2, 3, 4]  # each label's own colour has its number


def test_one_seed_gets_wilsons_interval_and_says_so(tmp_path: Path) -> None:
    runs = read_runs(write_sweep(tmp_path, machines=(1,), seeds=1))
    figure = group_accuracies(runs, by_setting([flatten(run) for run in runs]))
    assert figure is not None
    assert "Wilson 95 % interval within each group" in figure.get_supxlabel().replace("\n", " ")


def test_bounds_with_the_same_weights_are_drawn_once_and_federated_erm_is_a_line() -> None:
    grid = [{"machines": machines, "method": method, "robust": robust}
            for machines in (1, 4)
            for method, robust in (("jtt", "central"), ("erm", "central"), ("erm", "federated"))]  # fmt: skip
    results = [synthetic_result(values) for values in grid]
    for result in results:
        if result["config"]["method"] == "erm" and result["config"]["robust"] == "central":
            result["digest"] = "the server's training does not depend on the machines"
    groups = by_setting([flatten(result) for result in results])
    figure = wga_against_machines(groups)
    assert figure is not None
    assert sorted(texts(figure)) == ["ERM, central", "ERM, federated", "JTT, central"]


def test_what_a_sweep_lacks_is_not_drawn(tmp_path: Path) -> None:
    write_run(tmp_path / "one", synthetic_result({"machines": 4}))
    runs = read_runs(tmp_path / "one")
    groups = by_setting([flatten(run) for run in runs])
    assert wga_against_machines(groups) is None
    assert error_set_against_machines(groups) is None
    assert group_accuracies(runs, groups) is None


def test_unknown_accuracies_and_precisions_are_left_out() -> None:
    rows = [flatten(synthetic_result({"machines": count})) for count in (1, 2, 4)]
    rows[1]["test.worst-group-accuracy"] = None
    for row in rows:
        row["identification.precision"] = None
    groups = by_setting(rows)
    figure = wga_against_machines(groups)
    assert figure is not None
    assert len(figure.axes[0].containers[0][0].get_ydata()) == 2
    assert error_set_against_machines(groups) is None


def test_the_sample_sheet_outlines_the_minority_and_counts(tmp_path: Path) -> None:
    figure = sample_sheet(tiny_splits(), tmp_path / "sheet.png")
    cells = [axes for axes in figure.axes if axes.images]
    assert [len(cell.patches) for cell in cells] == [0, 1, 1, 0]
    assert [cell.get_xlabel() for cell in cells] == ["3 in train", "1 in train", "1 in train", "3 in train"]
    assert [cell.get_title() for cell in cells] == ["red", "blue", "", ""]
    assert (tmp_path / "sheet.png").read_bytes().startswith(b"\x89PNG")


def test_grey_images_and_empty_groups_are_drawn_and_columns_are_refused() -> None:
    grey = tiny_splits((1, 4, 4))
    without = replace(grey, train=grey.train.take([0, 1, 2, 4, 5, 6]))
    cells = [axes for axes in sample_sheet(without).axes if axes.images]
    assert cells[1].get_xlabel() == "0 in train"
    with pytest.raises(DataError, match="no image"):
        sample_sheet(tiny_splits((7,)))


def test_the_same_figure_gives_the_same_file(groups: Groups, tmp_path: Path) -> None:
    files = []
    for name in ("a.png", "b.png"):
        figure = wga_against_machines(groups)
        assert figure is not None
        files.append(save(figure, tmp_path / name).read_bytes())
    assert files[0] == files[1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "b.png"]
