import csv
import io
from pathlib import Path
from typing import Any

from rich.console import Console

from experiments.results import flatten, read_runs
from experiments.settings import Groups, by_setting
from experiments.table import Table, as_csv, as_html, as_markdown, as_rich, as_text
from experiments.tables import comparisons, contrast, erm_for, original_setting, provenance, speed_ups, summary
from fedjtt.config import RunConfig
from tests.experiments.test_results import ORIGINAL, synthetic_result, write_sweep

Values = dict[str, Any]


def groups_of(*cases: tuple[Values, list[float]]) -> Groups:
    """Build settings whose runs have the given WGAs, one a seed."""
    return by_setting(
        [flatten(synthetic_result({**values, "seed": seed}, wga)) for values, wgas in cases
         for seed, wga in enumerate(wgas)]
    )  # fmt: skip


def column(table: Table, name: str) -> list[str]:
    return [row[table.columns.index(name)] for row in table.rows]


def test_the_summary_prints_mean_and_half_interval_and_the_number_of_seeds() -> None:
    table = summary(groups_of(({"machines": 1}, [0.6, 0.7, 0.8]), ({"machines": 4}, [0.5])))
    assert column(table, "setting") == ["JTT, central, 1 machine", "JTT, central, 4 machines"]
    assert column(table, "WGA, %") == ["70.0 ± 24.8", "50.0"]  # .248414 by hand in test_statistics
    assert column(table, "seeds") == ["3", "1"]
    assert column(table, "factor") == ["18", "18"]
    assert column(table, "identify, s") == ["8.00", "2.00"]


def test_the_summary_has_bytes_and_the_error_set() -> None:
    groups = groups_of(({"machines": 1}, [0.6]), ({"machines": 4}, [0.5]), ({"method": "erm"}, [0.1]))
    for rows, row in ((rows, rows[0]) for rows in groups.values()):
        row |= {"bytes.sent": 1000 * row["config.machines"], "bytes.received": 500 * row["config.machines"]}
        if row["config.method"] == "erm":
            del row["bytes.sent"]
        else:
            row |= {"identification.precision": 0.5, "identification.recall": 0.25}
        assert len(rows) == 1
    table = summary(groups)
    assert column(table, "bytes") == ["1.5 kB", "6 kB", "–"]
    assert column(table, "precision, %") == ["50.0", "50.0", "–"]
    assert column(table, "recall, %") == ["25.0", "25.0", "–"]
    assert "Bytes: what server and machines sent each other in all" in table.caption


def test_the_originals_identification_may_lack_keys_of_later_versions_but_not_differ_in_them() -> None:
    groups = groups_of(({"machines": 1, **ORIGINAL}, [0.3]), ({"machines": 1}, [0.8]))
    reference = original_setting(groups)
    assert reference is not None
    for name in ("identify-stop", "identify-min-steps", "identify-objective", "identify-split", "identify-optimizer"):
        del groups[reference][0][f"config.{name}"]
    assert original_setting(groups) == reference
    for name, value in (("identify-objective", "gce"), ("identify-optimizer", "adamw")):
        groups[reference][0][f"config.{name}"] = value
        assert original_setting(groups) is None
        del groups[reference][0][f"config.{name}"]
    assert original_setting(groups) == reference


def test_columns_that_nobody_has_are_left_out_and_null_is_a_dash() -> None:
    groups = groups_of(({"method": "erm"}, [0.1]), ({"method": "group-balanced"}, [0.9]))
    next(iter(groups.values()))[0]["test.worst-group-accuracy"] = None
    table = summary(groups)
    assert "precision, %" not in table.columns
    assert column(table, "WGA, %") == ["–", "90.0"]


def test_speed_ups_have_two_named_references() -> None:
    cases = [({"machines": 1}, [0.8]), ({"machines": 4}, [0.7]), ({"machines": 1, **ORIGINAL}, [0.3])]
    groups = groups_of(*cases)
    settings = list(groups)
    reference = original_setting(groups)
    assert reference is not None
    assert reference.get("identify-batch-size") == 64
    for rows, seconds in zip(groups.values(), (20.0, 5.0, 30.0), strict=True):
        rows[0]["seconds.total"] = {1: seconds, 4: 5.0}[rows[0]["config.machines"]]
    groups[reference][0]["seconds.total"] = 30.0
    four = next(setting for setting in settings if setting.get("machines") == 4)
    same, over_original = speed_ups(groups, reference)[four]
    assert same is not None
    assert over_original is not None
    assert (same.mean, over_original.mean) == (4.0, 6.0)  # 20 / 5 and 30 / 5
    assert original_setting(groups_of(({"machines": 1}, [0.8]))) is None


def test_the_three_questions_are_answered_seed_by_seed() -> None:
    groups = groups_of(
        ({"method": "erm", "machines": 1}, [0.10, 0.10, 0.10]),
        ({"machines": 1}, [0.80, 0.82, 0.84]),
        ({"machines": 5}, [0.70, 0.73, 0.74]),
        ({"machines": 5, "robust": "federated"}, [0.71, 0.72, 0.75]),
    )
    robust, machines, methods = comparisons(groups)
    assert robust.rows == (
        ("JTT, 5 machines: federated − central", "+0.3", "−2.5 to +3.2", "not distinguishable", "+1.0, −1.0, +1.0"),
    )
    assert column(machines, "first − second") == [
        "JTT, central: 5 machines − 1 machine", "JTT: federated, 5 machines − central, 1 machine"
    ]  # fmt: skip
    assert machines.rows[0][1:4] == ("−9.7", "−11.1 to −8.2", "lower")  # −10, −9, −10; half 4.3027 x .57735 / sqrt(3)
    assert column(methods, "verdict") == ["higher"] * 3
    assert "Test split, seeds 0, 1, 2" in robust.caption
    assert "95 % Student-t" in robust.caption


def test_one_seed_is_said_and_questions_without_an_answer_are_left_out() -> None:
    tables = comparisons(groups_of(({"machines": 1}, [0.8]), ({"machines": 5}, [0.7])))
    assert [(table.title, column(table, "verdict")) for table in tables] == [
        ("More machines minus one machine, paired", ["one seed: no interval"])
    ]
    assert "one seed, so no interval" in tables[0].caption
    assert comparisons(groups_of(({"machines": 1}, [0.8]))) == []


def test_erm_is_taken_where_it_ran_alike_and_else_central() -> None:
    groups = groups_of(
        ({"method": "erm", "machines": 1}, [0.1]), ({"method": "erm", "machines": 5, "robust": "federated"}, [0.1]),
        ({"machines": 5, "robust": "federated"}, [0.7]), ({"machines": 9, "robust": "federated"}, [0.7]),
    )  # fmt: skip
    central, alike, five, nine = groups
    assert (erm_for(five, groups), erm_for(nine, groups)) == (alike, central)
    assert contrast(nine, central) == "JTT, federated, 9 machines − ERM, central, 1 machine"


def test_pairs_are_found_where_one_side_does_not_use_a_key() -> None:
    federated = {"robust": "federated", "machines": 5}
    groups = groups_of(
        ({"machines": 5}, [0.7]), ({**federated, "robust-schedule": "same-epochs"}, [0.6]),
        ({**federated, "robust-schedule": "same-updates"}, [0.8]),
        ({"method": "erm", "machines": 1, "partition": "iid"}, [0.1]),
        ({"machines": 5, "partition": "minority-on-few"}, [0.5]),
    )  # fmt: skip
    robust, methods = comparisons(groups)
    assert [row[0] for row in robust.rows] == [
        "JTT, 5 machines: federated, robust-schedule same-epochs − central",
        "JTT, 5 machines: federated, robust-schedule same-updates − central",
    ]
    assert column(robust, "difference") == ["−10.0", "+10.0"]
    assert len(methods.rows) == 4  # central ERM does not depend on the partition


def test_a_name_that_both_sides_have_is_said_once() -> None:
    values = {"identify": "local", "robust-schedule": "same-updates"}
    grid = [{"machines": 5, "robust": robust, **own} for robust in ("central", "federated")
            for own in (values, {"identify": "peers"})]  # fmt: skip
    groups = by_setting([flatten(synthetic_result(each)) for each in grid], {"alone": values})
    pairs = {contrast(second, first) for first in groups for second in groups
             if first.get("robust") == "central" and second.get("robust") == "federated"}  # fmt: skip
    assert "JTT, 5 machines, alone: federated − central" in pairs
    assert "JTT, 5 machines: federated, alone − central, identify peers" in pairs


def test_the_selection_is_named() -> None:
    rows = [flatten(synthetic_result({"selection": name})) for name in ("last", "val-average")]
    assert "the last round's model (selection last)" in provenance(rows)
    assert "selection val-average" in provenance(rows)
    names = RunConfig.model_fields["selection"].json_schema_extra["allowed"]  # type: ignore[index,call-overload]
    for name in set(names) - {"auto"}:
        assert "the model (" not in provenance([flatten(synthetic_result({"selection": name}))]), name


def test_every_form_shows_the_same_cells(tmp_path: Path) -> None:
    write_sweep(tmp_path, machines=(1, 2), seeds=2)
    table = summary(by_setting([flatten(run) for run in read_runs(tmp_path)]))
    console = Console(width=300, record=True, file=io.StringIO())
    console.print(as_rich(table))
    rich_text = console.export_text()
    for text in (as_text(table), as_markdown(table), as_html(table).replace("&nbsp;", " "), rich_text):
        assert all(cell in text for row in table.rows for cell in row)
    read = list(csv.reader(io.StringIO(as_csv([table]))))
    assert read == [["table", *table.columns], *([table.title, *row] for row in table.rows)]


def test_where_methods_were_tuned_the_one_erm_is_compared_with() -> None:
    tuned = {"method": "group-dro", "learning-rate": 0.03, "machines": 1}
    erm = {"method": "erm", "learning-rate": 0.01, "machines": 1}
    groups = groups_of((erm, [0.1, 0.2]), (tuned, [0.6, 0.7]))
    first, second = groups
    assert erm_for(second, groups) == first
    two = groups_of((erm, [0.1]), ({**erm, "learning-rate": 0.02}, [0.1]), (tuned, [0.6]))
    assert erm_for(list(two)[-1], two) is None  # which of them?
    other_data = groups_of(({**erm, "dataset": "spuco-mnist"}, [0.1]), ({**tuned, "dataset": "digits"}, [0.6]))
    assert erm_for(list(other_data)[-1], other_data) is None


def test_other_methods_are_compared_with_erm() -> None:
    grid: list[dict[str, Any]] = [{"method": "erm"}, {"method": "lff"}, {"method": "balance", "groups": "class"}]
    groups = by_setting([flatten(synthetic_result({**each, "seed": seed})) for each in grid for seed in (0, 1)])
    tables = {table.title: table for table in comparisons(groups)}
    assert list(tables) == ["Other methods minus ERM, paired"]
    assert {row[0] for row in tables["Other methods minus ERM, paired"].rows} == {
        "central, 10 machines: upsample (classes) − ERM", "central, 10 machines: LfF − ERM"
    }  # fmt: skip
