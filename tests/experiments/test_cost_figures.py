import numpy as np
import pytest
from matplotlib.figure import Figure

from experiments.cost_figures import error_set_against_speed_up, wga_against_bytes, wga_against_speed_up
from experiments.results import flatten
from experiments.settings import Groups, by_setting
from tests.experiments.test_results import ORIGINAL, synthetic_result

NAMES = {
    "own models": {"identify": "local"},
    "votes": {"identify": "peers"},
    "the original": {"identify": "local", "identify-batch-size": 64},
}
Line = tuple[list[float], list[float]]


def lines_of(figure: Figure, panel: int = 0) -> dict[str, Line]:
    """Return x and y of every line of a panel, by its label."""
    found = {}
    for container in figure.axes[panel].containers:
        x, y = container[0].get_data()
        found[str(container.get_label())] = ([float(v) for v in x], [float(v) for v in y])
    return found


def numbers(figure: Figure, panel: int = 0) -> set[str]:
    return {text.get_text() for text in figure.axes[panel].texts if text.get_text()}


@pytest.fixture
def groups() -> Groups:
    """Local and peers on 1, 2 and 5 machines, 2 seeds; and the original's setting."""
    grid = [{"machines": machines, "identify": identify} for identify in ("local", "peers") for machines in (1, 2, 5)]
    grid += [{"machines": 1, **ORIGINAL}]
    rows = [flatten(synthetic_result({**values, "seed": seed})) for values in grid for seed in (0, 1)]
    for row in rows:
        machines, peers = row["config.machines"], row["config.identify"] == "peers"
        original = row["config.identify-batch-size"] == 64
        row["bytes.sent"] = (10**6 if peers else 1000) * machines
        row["bytes.received"] = 2 * row["bytes.sent"] + row["config.seed"] * 200
        row["seconds.identify.slowest"] = 12.0 if original else 6.0 / machines
        row["identification.precision"] = 0.5
        row["identification.recall"] = 1.0 if row["config.seed"] else 0.5
        row["test.worst-group-accuracy"] = 0.9 - machines / 10 + row["config.seed"] / 50
    return by_setting(rows, NAMES)


def test_the_bytes_are_both_directions_over_seeds_and_every_variant_is_a_line(groups: Groups) -> None:
    figure = wga_against_bytes(groups)
    assert figure is not None
    drawn = lines_of(figure)
    assert drawn["central, own models"][0] == [3100, 6100, 15100]  # 3000 x machines, and 0 or 200 by seed
    assert drawn["central, votes"][0] == [3000100, 6000100, 15000100]
    assert drawn["central, own models"][1] == pytest.approx([0.81, 0.71, 0.41])
    assert drawn["central, the original"][0] == [3100]  # one machine costs little, and is kept
    bars = figure.axes[0].containers[0][2][0].get_segments()
    assert np.ptp(bars[0][:, 1]) == pytest.approx(2 * 12.7062 * 0.01, abs=1e-4)  # t of one degree x .0141 / sqrt(2)
    figure.draw_without_rendering()
    ticks = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert ticks == ["10 kB", "100 kB", "1 MB", "10 MB"]
    assert {"2", "5"} <= numbers(figure)
    assert len(figure.legends[0].get_texts()) == 3


def test_a_figure_over_bytes_needs_counts_and_two_numbers_of_machines(groups: Groups) -> None:
    assert wga_against_bytes({s: rows for s, rows in groups.items() if s.get("machines") == 2}) is None
    for row in (row for rows in groups.values() for row in rows):
        row["bytes.sent"] = None
    assert wga_against_bytes(groups) is None


def test_the_error_sets_f1_stands_over_the_slowest_machines_speed_up(groups: Groups) -> None:
    figure = error_set_against_speed_up(groups)
    assert figure is not None
    drawn = lines_of(figure)
    assert drawn["own models"][0] == [2, 4, 10]  # 12 / 6, 12 / 3, 12 / 1.2
    assert drawn["the original"][0] == [1]
    assert drawn["votes"][1] == pytest.approx([(0.5 + 2 / 3) / 2] * 3)  # F1 of (.5, .5) and of (.5, 1)
    assert "Train split, seeds 0, 1" in figure.get_supxlabel()


def test_without_the_originals_setting_or_a_known_minority_there_is_no_f1(groups: Groups) -> None:
    assert (
        error_set_against_speed_up({s: rows for s, rows in groups.items() if s.get("identify-batch-size") != 64})
        is None
    )
    for row in (row for rows in groups.values() for row in rows):
        row["identification.recall"] = None
    assert error_set_against_speed_up(groups) is None


def test_the_robust_stage_makes_no_second_line_of_error_sets(groups: Groups) -> None:
    federated = [flatten(synthetic_result({"machines": machines, "identify": "local", "robust": "federated"}))
                 for machines in (1, 2, 20)]  # fmt: skip
    figure = error_set_against_speed_up(by_setting([*(row for rows in groups.values() for row in rows), *federated]))
    assert figure is not None
    assert len(lines_of(figure)) == 3


def test_speed_up_names_both_references_and_numbers_the_points(groups: Groups) -> None:
    figure = wga_against_speed_up(groups)
    assert figure is not None
    assert [axes.get_xlabel() for axes in figure.axes] == [
        "speed-up over the same variant on one machine", "speed-up over the original's setting on one machine"
    ]  # fmt: skip
    shown = [text for text in figure.axes[0].texts if text.get_text()]
    boxes = [text.get_window_extent() for text in shown]
    assert {"2", "5"} <= numbers(figure)
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


def test_a_line_that_only_the_second_panel_has_is_in_the_legend(groups: Groups) -> None:
    alone = next(s for s in groups if s.label == "JTT, central, 1 machine, own models")
    rest = {setting: rows for setting, rows in groups.items() if setting != alone}
    figure = wga_against_speed_up(rest)
    assert figure is not None
    assert [sorted(lines_of(figure, panel)) for panel in (0, 1)] == [
        ["central, the original", "central, votes"], ["central, own models", "central, the original", "central, votes"]
    ]  # fmt: skip
    assert len(figure.legends[0].get_texts()) == 3


def test_twelve_named_variants_have_twelve_names_and_looks() -> None:
    values = {
        "local": {"identify": "local", "identify-stop": "last"},
        "local, gce": {"identify": "local", "identify-stop": "last", "identify-objective": "gce"},
        "local, eiil": {"identify": "local", "identify-stop": "last", "identify-split": "eiil"},
        "local, scaled": {"identify": "local", "identify-schedule": "scaled"},
        "federated": {"identify": "federated"},
        "federated, last": {"identify": "federated", "identify-stop": "last"},
        "federated, uneven": {"identify": "federated", "partition": "minority-on-few"},
        "federated, all": {"identify": "federated", "fraction-train": 1.0},
        "federated, long": {"identify": "federated", "robust-schedule": "same-updates"},
        "peers": {"identify": "peers"},
        "peers, mean loss": {"identify": "peers", "peer-vote": "mean-loss"},
        "8 peers": {"identify": "peers", "peers": 8},
    }
    grid = [{"robust": "federated", "machines": machines, **own} for own in values.values() for machines in (1, 20, 50)]
    figure = wga_against_speed_up(by_setting([flatten(synthetic_result(each)) for each in grid], values))
    assert figure is not None
    legend = figure.legends[0]
    assert {text.get_text().replace("\n", " ") for text in legend.get_texts()} == {f"federated, {n}" for n in values}
    looks = {(c[0].get_color(), c[0].get_marker(), c[0].get_linestyle()) for c in figure.axes[0].containers}
    assert len(looks) == 12
    axes, box = figure.axes[0].get_window_extent(), legend.get_window_extent()
    assert box.y0 > axes.y1  # outside
    assert axes.height / figure.dpi > 2
