"""The figure over methods: one row a method and variant, central beside federated."""

from typing import Any

from experiments.method_figures import wga_by_method
from experiments.results import flatten
from experiments.settings import Groups, by_setting
from tests.experiments.test_results import synthetic_result

GRID: list[dict[str, Any]] = [
    {"method": "erm"},
    {"method": "jtt"},
    {"method": "balance", "balance": "subset", "groups": "class"},
    {"method": "balance", "balance": "upsample"},
    {"method": "group-dro", "groups": "inferred"},
    {"method": "lff"},
]


def groups_of(grid: list[dict[str, Any]], seeds: int = 3) -> Groups:
    both = [{**values, "robust": robust} for values in grid for robust in ("central", "federated")]
    return by_setting([flatten(synthetic_result({**each, "seed": seed})) for each in both for seed in range(seeds)])


def test_a_row_for_every_method_and_variant() -> None:
    figure = wga_by_method(groups_of(GRID))
    assert figure is not None
    axes = figure.axes[0]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == [
        "ERM", "JTT", "subset (classes)", "upsample (true groups)", "GroupDRO (inferred groups)", "LfF"
    ]  # fmt: skip
    handles, labels = axes.get_legend_handles_labels()
    assert sorted(labels) == ["central", "federated"]
    assert len(handles) == 2
    text = " ".join(each.get_text() for each in figure.findobj(lambda artist: hasattr(artist, "get_text")))
    assert "seeds 0, 1, 2" in " ".join(text.split())


def test_three_methods_are_no_figure_and_the_most_machines_are_shown() -> None:
    assert wga_by_method(groups_of(GRID[:3])) is None
    several = [{**values, "machines": machines} for values in GRID[:4] for machines in (1, 10)]
    groups = groups_of(several, seeds=1)
    figure = wga_by_method(groups)
    assert figure is not None
    shown = [value for drawn in figure.axes[0].containers for value in drawn.lines[0].get_xdata()]
    wanted = {"method": "jtt", "robust": "central", "machines": 10}
    (rows,) = (rows for s, rows in groups.items() if all(s.get(key) == value for key, value in wanted.items()))
    assert rows[0]["test.worst-group-accuracy"] in [float(value) for value in shown]


def test_names_leave_out_how_a_method_was_set_where_that_tells_nothing_apart() -> None:
    dro = {"method": "group-dro", "learning-rate": 0.01}
    figure = wga_by_method(groups_of([*GRID, dro]))
    assert figure is not None
    assert "GroupDRO (true groups)" in [text.get_text() for text in figure.axes[0].get_yticklabels()]
    both = wga_by_method(groups_of([*GRID, dro, {**dro, "learning-rate": 0.1}]))
    assert both is not None
    names = [text.get_text().replace("\n", " ") for text in both.axes[0].get_yticklabels()]
    assert any(name.startswith("GroupDRO (true groups), learning-rate") for name in names)
