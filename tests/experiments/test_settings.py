from typing import Any

import pytest

from experiments.config_keys import shared_config, varied_keys
from experiments.results import flatten
from experiments.settings import (
    Setting,
    by_setting,
    identifications,
    on_one_machine,
    on_the_server,
    robust_modes,
)
from fedjtt.config import RunConfig
from tests.experiments.test_results import synthetic_result


def _rows(*grid: dict[str, Any]) -> list[dict[str, Any]]:
    return [flatten(synthetic_result({**values, "seed": seed})) for values in grid for seed in (0, 1)]


def test_settings_group_seeds_and_labels_say_what_varies() -> None:
    rows = _rows({"machines": 1}, {"machines": 5}, {"machines": 5, "identify-schedule": "same-updates"})
    groups = by_setting(rows)
    assert [setting.label for setting in groups] == [
        "JTT, central, 1 machine, same-epochs", "JTT, central, 5 machines, same-epochs",
        "JTT, central, 5 machines, same-updates",
    ]  # fmt: skip
    assert all(len(group) == 2 for group in groups.values())
    assert varied_keys(rows) == ["machines", "identify-schedule"]
    assert "machines" not in shared_config(rows)
    assert shared_config(rows)["batch-size"] == RunConfig().batch_size


def test_a_label_leaves_out_what_most_runs_have() -> None:
    groups = by_setting(_rows({"machines": 1}, {"machines": 2}, {"machines": 2, "identify-epochs": 1}))
    assert [s.label for s in groups][1:] == ["JTT, central, 2 machines", "JTT, central, 2 machines, identify-epochs 1"]


def test_identification_keys_are_no_part_of_a_setting_that_identified_nothing() -> None:
    groups = by_setting(_rows({"method": "erm"}, {"method": "erm", "upsample-fraction": 4.0}, {"method": "jtt"}))
    assert [len(group) for group in groups.values()] == [4, 2]


def test_one_machine_is_the_same_computation_for_every_schedule_and_robust_mode() -> None:
    updates = {"identify-schedule": "same-updates"}
    groups = by_setting(_rows({"machines": 1}, {"machines": 4, **updates}, {"machines": 4, "robust": "federated"}))
    one = next(iter(groups))
    assert [on_one_machine(setting, groups) for setting in groups] == [one, one, one]
    apart = by_setting(_rows({"machines": 1}, {"machines": 4}, {"machines": 4, "identify-epochs": 7}))
    assert [on_one_machine(setting, apart) is None for setting in apart] == [False, False, True]


def test_on_one_machine_there_are_no_peers_and_no_share_of_the_machines() -> None:
    peers = {"identify": "peers", "machines": 4}
    grid = [{**peers, "peers": 2}, {**peers, "peers": 3}, {**peers, "peers": 3, "peer-vote": "mean-loss"},
            {"identify": "local", "machines": 1}]  # fmt: skip
    groups = by_setting(_rows(*grid))
    alone = next(s for s in groups if s.get("machines") == 1)
    assert {on_one_machine(setting, groups) for setting in groups} == {alone}
    shares = [{"robust": "federated", "machines": m, "fraction-train": f} for m, f in ((1, 1.0), (4, 0.5), (4, 1.0))]
    groups = by_setting(_rows(*shares))
    assert len(groups) == 3
    assert {on_one_machine(setting, groups) for setting in groups} == {next(iter(groups))}


@pytest.mark.parametrize(
    ("base", "key", "values", "settings"),
    [
        ({"identify": "local"}, "peers", (2, 3), 1),
        ({"identify": "federated"}, "peers", (2, 3), 1),
        ({"identify": "peers"}, "peers", (2, 3), 2),
        ({"identify": "federated"}, "peer-vote", ("majority", "mean-loss"), 1),
        ({"identify": "peers"}, "peer-vote", ("majority", "mean-loss"), 2),
        ({"identify": "local", "identify-stop": "last"}, "identify-rounds", (5, 10), 1),
        ({"identify": "local", "identify-stop": "stable"}, "identify-rounds", (5, 10), 2),
        ({"identify": "federated", "identify-stop": "last"}, "identify-rounds", (5, 10), 2),
        ({"identify": "local"}, "identify-aggregator", ("fedavg", "fedmedian"), 1),
        ({"identify": "federated"}, "identify-aggregator", ("fedavg", "fedmedian"), 2),
        ({"identify": "local"}, "identify-label-correction", (0.0, 0.9), 1),
        ({"identify": "peers"}, "identify-label-correction", (0.0, 0.9), 1),
        ({"identify": "federated"}, "identify-label-correction", (0.0, 0.9), 2),
        ({"identify": "local", "identify-stop": "stable"}, "identify-averaging", ("none", "rounds"), 2),
        ({"identify": "federated"}, "identify-averaging", ("none", "rounds"), 2),
        ({"identify": "local"}, "identify-optimizer", ("sgd", "adamw"), 2),
        ({"identify-aggregator": "fedavg"}, "identify-server-learning-rate", (0.1, 0.2), 1),
        ({"identify": "federated", "identify-aggregator": "fedadam"}, "identify-server-learning-rate", (0.1, 0.2), 2),
        ({"identify": "local"}, "fraction-train", (0.5, 1.0), 1),
        ({"identify": "federated"}, "fraction-train", (0.5, 1.0), 2),
        ({"identify": "local", "robust": "federated"}, "fraction-train", (0.5, 1.0), 2),
        ({"method": "erm"}, "fraction-train", (0.5, 1.0), 1),
        ({}, "robust-schedule", ("same-epochs", "same-updates"), 1),
        ({"robust": "federated"}, "robust-schedule", ("same-epochs", "same-updates"), 2),
        ({"upsample": 5}, "upsample-fraction", (0.8, 2.0), 1),
        ({"upsample": "auto"}, "upsample-fraction", (0.8, 2.0), 2),
        ({}, "dirichlet-alpha", (0.1, 0.5), 1),
        ({"partition": "label-dirichlet"}, "dirichlet-alpha", (0.1, 0.5), 2),
        ({}, "partition", ("iid", "minority-on-few"), 2),
        ({"method": "erm"}, "partition", ("iid", "minority-on-few"), 1),
        ({"method": "erm", "robust": "federated"}, "partition", ("iid", "minority-on-few"), 2),
    ],
)
def test_a_key_makes_two_settings_only_where_it_matters(
    base: dict[str, Any], key: str, values: tuple[Any, Any], settings: int
) -> None:
    rows = _rows(*({"machines": 4, **base, key: value} for value in values))
    groups = by_setting(rows)
    assert len(groups) == settings
    assert varied_keys(rows) == ([key] if settings == 2 else [])
    assert sum(map(len, groups.values())) == 4  # no run is lost


NAMES = {
    "alone": {"identify": "local"},
    "alone, gce": {"identify": "local", "identify-objective": "gce"},
    "common": {"identify": "federated", "peers": 3},
    "all": {"identify": "federated", "fraction-train": 1.0},
}


def test_the_most_specific_table_names_a_setting_and_only_what_it_matters_to() -> None:
    grid = [{"machines": 20, "robust": "federated", **values} for values in NAMES.values()]
    grid += [{"machines": 20, "method": "erm", "robust": "federated"}, {"machines": 20, "identify": "peers"}]
    assert sorted(setting.label for setting in by_setting(_rows(*grid), NAMES)) == [
        "ERM, federated, 20 machines", "JTT, central, 20 machines, identify peers",
        "JTT, federated, 20 machines, all", "JTT, federated, 20 machines, alone",
        "JTT, federated, 20 machines, alone, gce", "JTT, federated, 20 machines, common",
    ]  # fmt: skip


def test_an_axis_of_a_named_table_is_said_beside_its_name() -> None:
    grid = [{"identify": "peers", "peers": count, "machines": 9, "clip-norm": 3.0} for count in (1, 2)]
    grid += [{"identify": "local", "machines": 9}, {"identify": "federated", "machines": 9}]
    labels = [s.label for s in by_setting(_rows(*grid), {"vote": {"identify": "peers"}})]
    assert {"JTT, central, 9 machines, peers 1, vote", "JTT, central, 9 machines, peers 2, vote"} <= set(labels)


def test_a_key_that_earlier_runs_do_not_have_is_not_known() -> None:
    rows = _rows({"machines": 2}, {"machines": 2, "identify-guard": False}, {"machines": 2, "identify-guard": True})
    for row in rows[:2]:
        del row["config.identify-guard"]
    labels = [setting.label for setting in by_setting(rows)]
    assert "JTT, central, 2 machines, identify-guard not known" in labels
    assert len(labels) == 3


def test_the_robust_stage_is_no_part_of_an_identification() -> None:
    grid = [{"machines": m, "robust": r, "identify": how, "robust-epochs": e, "fraction-train": f}
            for m in (1, 5) for r in ("central", "federated") for how in ("local", "federated") for e in (1, 2)
            for f in (0.5, 1.0)]  # fmt: skip
    found = identifications(by_setting(_rows(*grid)))
    assert sorted(line.label for line in found) == [
        "identify federated, fraction-train 0.5", "identify federated, fraction-train 1", "identify local"
    ]  # fmt: skip
    assert all(sorted(line) == [1, 5] for line in found.values())


def test_the_other_robust_mode_is_found() -> None:
    grid = [{"machines": 5}, {"machines": 5, "robust": "federated"}, {"machines": 9, "robust": "federated"},
            {"machines": 5, "batch-size": 8, "robust": "federated"}]  # fmt: skip
    groups = by_setting(_rows(*grid))
    central, federated, nine, other = (
        next(s for s in groups if all(s.get(key, 32 if key == "batch-size" else "central") == value
                                      for key, value in values.items()))
        for values in (grid[0] | {"robust": "central"}, grid[1] | {"batch-size": 32}, grid[2], grid[3])
    )  # fmt: skip
    assert robust_modes(central, groups) == robust_modes(federated, groups) == [central, federated]
    assert robust_modes(other, groups) == [other]
    assert [on_the_server(s, groups) for s in (federated, nine, other)] == [central, None, None]


def test_a_label_calls_values_by_the_name_of_their_table() -> None:
    items = (("method", "jtt"), ("machines", 2), ("identify-epochs", 1), ("batch-size", 8))
    names = (
        ("early", frozenset({("identify-epochs", 1), ("batch-size", 8)})),
        ("late", frozenset({("batch-size", 9)})),
    )
    assert Setting(items, names=names).label == "JTT, 2 machines, early"
    assert Setting(items).label == "JTT, 2 machines, identify-epochs 1, batch-size 8"


def test_a_table_that_sets_nothing_names_what_is_left_if_that_is_one_variant() -> None:
    names = {"own models": {"identify": "local"}, "default": {}}
    grid = [{"identify": how, "machines": m, "robust": r} for how in ("local", "federated") for m in (1, 30)
            for r in ("central", "federated")] + [{"method": "erm", "robust-epochs": 3}]  # fmt: skip
    assert sorted(setting.without("robust", "machines").label for setting in by_setting(_rows(*grid), names)) == [
        "ERM, robust-epochs 3", *["JTT, default"] * 4, *["JTT, own models"] * 4
    ]  # fmt: skip
    grid += [{"identify": "peers", "machines": 30}]
    assert not [s.label for s in by_setting(_rows(*grid), names) if "default" in s.label]


def test_of_two_tables_that_say_the_same_the_first_gives_the_name() -> None:
    names = {"first": {"identify": "peers"}, "second": {"identify": "peers"}, "own": {"identify": "local"}}
    grid = [{"identify": "peers", "peers": count, "machines": 9} for count in (1, 2)] + [{"identify": "local"}]
    assert [s.label for s in by_setting(_rows(*grid), names)] == [
        "JTT, central, 9 machines, peers 1, first", "JTT, central, 9 machines, peers 2, first",
        "JTT, central, 10 machines, own",
    ]  # fmt: skip
