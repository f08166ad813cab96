"""What the figures show: read back from their lines, labels and notes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from experiments.analyse.spectrum import BySetting, Names, settings_of
from experiments.analyse.spectrum_figures import eigenvalue_figures, rho_figure
from experiments.drawing import BLUE, VERMILLION, save
from fedjtt.spectrum import Imbalance
from tests.experiments.analyse.made_runs import analysed, group, two_classes

NAMES = Names(("cat", "dog"), ("day", "night"))


def settings(*methods: str) -> BySetting:
    return settings_of(
        [two_classes((1.0 + seed, 0.5), (0.2, 0.1), seed=seed, method=method) for method in methods for seed in (0, 1)],
        {},
    )


def texts(figure: Figure) -> list[str]:
    return [text.get_text().replace("\n", " ") for text in figure.legends[0].get_texts()]


def note(figure: Figure) -> str:
    found: Any = figure
    return str(found._supxlabel.get_text()).replace("\n", " ")


def test_a_panel_has_both_groups_by_seed_and_their_geometric_mean() -> None:
    """The minority's largest eigenvalues are 2 and 4; the zero of the other class has no place on the axis."""
    (figure,) = eigenvalue_figures(settings("erm"), NAMES, 2)
    first, second = figure.axes
    assert [axes.get_ylabel() for axes in figure.axes] == ["label cat", "label dog"]
    bold = {str(line.get_label()): line for line in first.get_lines() if line.get_linewidth() > 1}
    assert set(bold) == {"smallest group", "largest group"}
    np.testing.assert_allclose(bold["smallest group"].get_ydata(), [8**0.5, 0.5])
    np.testing.assert_allclose(bold["largest group"].get_ydata(), [2.0, 1.0])
    assert [bold[name].get_color() for name in ("smallest group", "largest group")] == [VERMILLION, BLUE]
    thin = [line for line in first.get_lines() if line.get_linewidth() < 1 and len(np.asarray(line.get_ydata()))]
    assert len(thin) == 4
    assert first.get_yscale() == second.get_yscale() == "log"
    assert np.isnan(np.asarray(second.get_lines()[0].get_ydata())[1])
    assert first.get_ylim() == second.get_ylim() == (0.25, 8.0)
    assert texts(figure) == ["smallest group", "largest group"]
    assert "Runs of seeds 0, 1. Selected: the round with the best worst-group accuracy" in note(figure)


def test_settings_stand_beside_each_other_three_in_a_figure() -> None:
    figures = eigenvalue_figures(settings("erm", "jtt", "group-balanced", "lff"), NAMES, 2)
    assert [len(figure.axes) for figure in figures] == [6, 2]
    titles = [axes.get_title(loc="left").replace("\n", " ") for axes in figures[0].axes[:3]]
    assert titles[0] == "ERM, central, 1 machine"


def test_groups_that_are_neither_are_grey_and_those_without_eigenvalues_are_not_there() -> None:
    groups = [group(0, 0, 9, 1.0), group(0, 1, 9, 2.0), group(1, 0, 1), group(1, 1, 3, 5.0)]
    classes = {0: Imbalance(0, None, None, None, "equal"), 1: Imbalance(1, 0, 1, None, "too few")}
    (figure,) = eigenvalue_figures(settings_of([analysed(classes, groups, {})], {}), NAMES, 3)
    drawn = [[list(np.asarray(line.get_ydata())) for line in axes.get_lines() if len(np.asarray(line.get_ydata()))]
             for axes in figure.axes]  # fmt: skip
    assert drawn == [[[1.0], [2.0]], [[5.0], [pytest.approx(5.0)]]]
    assert sorted(texts(figure)) == ["largest group", "other groups"]


def test_rho_against_the_difference_is_a_point_a_run_and_class(tmp_path: Path) -> None:
    """rho 1, 2 (cat) and .5, .5 (dog) with differences .2, .2, .1, .1: ranks 3, 4, 1.5, 1.5 and 3.5, 3.5, 1.5, 1.5."""
    figure = rho_figure(settings("erm"), NAMES)
    assert figure is not None
    (axes,) = figure.axes
    points = [tuple(point) for line in axes.get_lines() for point in np.asarray(line.get_xydata())
              if line.get_marker() not in ("None", "")]  # fmt: skip
    assert sorted(points) == [(0.5, pytest.approx(0.1))] * 2 + [(1.0, pytest.approx(0.2)), (2.0, pytest.approx(0.2))]
    assert axes.get_xscale() == "log"
    spearman = 4 / (4.5 * 4) ** 0.5  # covariances of the ranks, times 4: 4, 4.5 and 4
    assert texts(figure) == [f"ERM, central, 1 machine: Spearman {spearman:.2f}, n = 4", "label cat", "label dog"]
    assert f"correlation over all points {spearman:.2f}" in note(figure)
    assert "Selected: the round with the best worst-group accuracy on validation" in note(figure)
    assert save(figure, tmp_path / "rho.png").read_bytes()[:4] == b"\x89PNG"


def test_without_a_point_there_is_no_figure() -> None:
    assert rho_figure(settings_of([two_classes((1.0, 1.0), (0.0, 0.0))], {}), NAMES) is not None
    groups = [group(0, 0, 9, 1.0), group(0, 1, 0), group(1, 0, 1), group(1, 1, 0)]
    classes = {label: Imbalance(label, None, None, None, "one group") for label in (0, 1)}
    assert rho_figure(settings_of([analysed(classes, groups, {})], {}), NAMES) is None
