"""The figure over training: what is on its axes, which settings it shows, and what it says of them."""

from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

from experiments.drawing import GREEN, GREY
from experiments.epoch_figures import accuracy_by_epoch, curve_of
from experiments.results import flatten, read_histories, read_runs
from experiments.settings import Groups, by_setting
from tests.experiments.test_results import synthetic_result, write_run

METHODS = ("erm", "jtt", "group-balanced", "group-dro", "cvar-dro", "agnostic", "lff", "dfr")


def look(number: int, worst: float | None, epochs: float | None = None) -> dict[str, Any]:
    scores = {"worst-group": worst, "worst-class": 0.8, "average": 0.9}
    said = {f"validation.{name}-accuracy": value for name, value in scores.items()}
    return {"stage": "robust", "round": number, "epochs": 0.5 * number if epochs is None else epochs, **said}


def runs_of(grid: list[dict[str, Any]], seeds: int = 2) -> tuple[Groups, dict[str, list[dict[str, Any]]]]:
    """Ten looks a run: seed s has .1 r + .01 s after round r."""
    results = [synthetic_result({**values, "seed": seed}) for values in grid for seed in range(seeds)]
    groups = by_setting([flatten(result) for result in results])
    looks = {
        result["run-id"]: [look(r, 0.09 * r + 0.01 * result["config"]["seed"]) for r in range(1, 11)]
        for result in results
    }
    return groups, looks


def drawn(figure: Figure, panel: int = 0) -> dict[str, Any]:
    return {str(line.get_label()): line for line in figure.axes[panel].lines}


def said(figure: Figure) -> str:
    return " ".join(figure.get_supxlabel().split())


def test_one_run_has_three_panels_over_epochs_and_its_test_result(tmp_path: Path) -> None:
    result = synthetic_result({"machines": 4}, wga=0.75)
    write_run(tmp_path / "run", result)
    groups = by_setting([flatten(run) for run in read_runs(tmp_path / "run")])
    figure = accuracy_by_epoch(groups, read_histories(tmp_path / "run"))
    assert figure is not None
    assert [axes.get_ylabel() for axes in figure.axes] == ["worst group, %", "worst class, %", "average, %"]
    assert [axes.get_xlabel() for axes in figure.axes] == ["", "", "epochs: examples drawn over train examples"]
    heights = [axes.get_window_extent().height for axes in figure.axes]
    assert heights[0] > 1.5 * heights[1]
    lines = drawn(figure)
    assert list(lines) == ["JTT, central, 4 machines", "test, the kept models"]
    # write_run's looks are .2 epochs apart; round 9 is kept, and its test accuracy is .75.
    assert lines["JTT, central, 4 machines"].get_xdata() == pytest.approx([0.2 * number for number in range(1, 11)])
    assert lines["test, the kept models"].get_xydata()[0].tolist() == pytest.approx([1.8, 0.75])
    assert "Validation split, seed 0; one seed" in said(figure)


def test_curves_are_means_over_seeds_in_epochs_too() -> None:
    groups, looks = runs_of([{"method": "erm"}])
    ((setting, rows),) = groups.items()
    for line in looks[rows[1]["run-id"]]:
        line["epochs"] *= 1.2  # upsampled epochs differ between seeds
    curve = curve_of(rows, looks)
    assert curve is not None
    assert curve.epochs == pytest.approx([0.55 * number for number in range(1, 11)])
    values = curve.accuracies["worst-group-accuracy"]
    assert [value.mean for value in values] == pytest.approx([0.09 * number + 0.005 for number in range(1, 11)])
    assert {value.n for value in values} == {2}
    # Both seeds kept round 9: after 4.5 and 5.4 epochs.
    assert curve.kept is not None
    assert curve.kept[0] == pytest.approx(4.95)
    assert setting.get("method") == "erm"


def test_what_all_settings_share_is_said_once_and_bounds_have_their_colours() -> None:
    figure = accuracy_by_epoch(*runs_of([{"method": name, "machines": 1} for name in METHODS[:5]]))
    assert figure is not None
    lines = drawn(figure)
    assert {"ERM", "JTT", "oracle (group-balanced)", "CVaR-DRO"} <= set(lines)
    assert "All: central, 1 machine." in said(figure)
    assert (lines["ERM"].get_color(), lines["oracle (group-balanced)"].get_color()) == (GREY, GREEN)
    assert len({line.get_color() for name, line in lines.items() if not name.startswith(("_", "test"))}) == 5
    assert len(figure.axes[0].collections) == 5
    assert not figure.axes[1].collections


def test_seven_curves_have_no_bands_and_more_than_eight_are_not_drawn() -> None:
    figure = accuracy_by_epoch(*runs_of([{"method": name} for name in METHODS[:7]]))
    assert figure is not None
    assert not figure.axes[0].collections
    assert "So many curves have no bands" in said(figure)
    both = [{"method": name, "robust": robust} for robust in ("federated", "central") for name in METHODS]
    figure = accuracy_by_epoch(*runs_of(both))
    assert figure is not None
    assert "8 more settings are not drawn." in said(figure)
    assert "All: central, 10 machines." in said(figure)  # central ones first
    assert len(figure.legends[0].get_texts()) == 9


def test_of_a_variant_the_most_machines_are_drawn() -> None:
    grid = [{"method": name, "machines": count} for name in ("jtt", "lff") for count in (1, 10)]
    figure = accuracy_by_epoch(*runs_of(grid))
    assert figure is not None
    assert {"JTT", "LfF"} <= set(drawn(figure))
    assert "All: central, 10 machines." in said(figure)


def test_without_groups_the_worst_class_is_the_main_panel() -> None:
    groups, looks = runs_of([{"method": "erm"}])
    for lines in looks.values():
        for line in lines:
            line["validation.worst-group-accuracy"] = None
    figure = accuracy_by_epoch(groups, looks)
    assert figure is not None
    assert [axes.get_ylabel() for axes in figure.axes] == ["worst class, %", "average, %"]
    assert "test, the kept models" not in drawn(figure)


def test_runs_without_two_looks_with_epochs_are_no_figure() -> None:
    groups, looks = runs_of([{"method": "erm"}])
    assert accuracy_by_epoch(groups, {}) is None
    assert accuracy_by_epoch(groups, {name: lines[:1] for name, lines in looks.items()}) is None
    for lines in looks.values():
        for line in lines:
            del line["epochs"]  # an earlier version's
    assert accuracy_by_epoch(groups, looks) is None
