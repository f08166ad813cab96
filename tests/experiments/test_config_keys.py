from typing import Any

from experiments.config_keys import shared_config, uses, usual_values, varied_keys, with_auto
from experiments.results import flatten
from experiments.settings import by_setting, variants
from tests.experiments.test_results import synthetic_result


def _rows(*grid: dict[str, Any]) -> list[dict[str, Any]]:
    return [flatten(synthetic_result({**values, "seed": seed})) for values in grid for seed in (0, 1)]


def test_a_key_is_usual_among_the_runs_that_it_matters_to() -> None:
    grid = [{"identify": "local", "machines": m} for m in range(1, 9)]
    grid += [{"identify": "peers", "peers": peers, "machines": m} for peers, m in ((2, 5), (2, 6), (8, 5))]
    rows = _rows(*grid)
    assert usual_values(rows) == {"identify": "local", "peers": 2}
    assert [uses(row, "peers") for row in rows].count(True) == 6
    assert varied_keys(rows[:-2]) == ["machines", "identify"]  # the default of 3 stands in the other runs only


def test_a_key_that_no_run_uses_is_not_among_the_shared_ones() -> None:
    shared = shared_config(_rows({"identify": "local"}, {"identify": "local", "machines": 3, "peers": 7}))
    assert "peers" not in shared
    assert shared["identify"] == "local"
    assert (
        shared_config(_rows({"robust": "central"}, {"robust": "federated", "robust-schedule": "same-updates"}))[
            "robust-schedule"
        ]
        == "same-updates"
    )  # what those have that use it


def test_what_auto_made_of_a_key_is_auto_again() -> None:
    grid = [{"machines": m, "robust": r, "method": method} for method in ("jtt", "erm") for m in (1, 20, 50)
            for r in ("central", "federated")]  # fmt: skip
    rows = _rows(*grid)
    assert {row["config.robust-rounds"] for row in rows} == {10, 50}
    groups = by_setting(rows)
    assert {setting.label for setting in groups} == {
        f"{method}, {r}, {m}" for method in ("JTT", "ERM") for r in ("central", "federated")
        for m in ("1 machine", "20 machines", "50 machines")
    }  # fmt: skip
    told = [row for group in groups.values() for row in group]
    assert shared_config(told)["robust-rounds"] == "auto"
    assert shared_config(told)["fraction-train"] == "auto"
    assert len(variants(groups)) == 2
    assert {row["config.robust-rounds"] for row in rows} == {10, 50}  # the rows that were given stay


def test_a_number_that_was_given_stays_a_number() -> None:
    federated = {"robust": "federated"}
    fixed = by_setting(_rows(*({**each, "machines": m, "robust-rounds": 10, "fraction-train": 1.0}
                               for m in (5, 50) for each in ({}, federated))))  # fmt: skip
    assert {row["config.robust-rounds"] for rows in fixed.values() for row in rows} == {10}
    assert {row["config.fraction-train"] for rows in fixed.values() for row in rows} == {1.0}
    axis = by_setting(
        _rows(*({**each, "machines": 5, "robust-rounds": n} for n in (10, 50) for each in ({}, federated)))
    )
    assert sorted(setting.get("robust-rounds") for setting in axis) == [10, 10, 50, 50]
    shares = by_setting(
        _rows(*({**federated, "machines": m, "fraction-train": f} for m in (5, 50) for f in ("auto", 1.0)))
    )
    assert [(s.get("machines"), s.get("fraction-train")) for s in shares] == [(5, "auto"), (50, "auto"), (50, 1.0)]


def test_rows_without_anything_automatic_are_as_they_were() -> None:
    rows = _rows({"machines": 1}, {"machines": 5, "robust": "federated", "robust-rounds": 10})
    assert with_auto(rows) == rows


def test_a_methods_own_keys_matter_to_it_alone() -> None:
    grid = {method: _rows({"method": method})[0] for method in ("erm", "balance", "group-dro", "cvar-dro", "agnostic")}
    users = {
        key: {method for method, row in grid.items() if uses(row, key)}
        for key in ("groups", "balance", "mixture-ratio", "cvar-alpha", "dro-step", "dro-adjustment")
    }
    assert users == {
        "groups": {"balance", "group-dro"}, "balance": {"balance"}, "mixture-ratio": set(), "cvar-alpha": {"cvar-dro"},
        "dro-step": {"group-dro", "agnostic"}, "dro-adjustment": {"group-dro", "agnostic"},
    }  # fmt: skip
    assert uses(_rows({"method": "balance", "balance": "mixture"})[0], "mixture-ratio")
    assert not uses(_rows({"method": "erm", "balance": "mixture"})[0], "mixture-ratio")


def test_sizes_matter_to_the_networks_that_have_them() -> None:
    rows = {model: _rows({"model": model})[0] for model in ("lenet", "mlp", "logistic")}
    for key, users in (("model-width", {"lenet", "mlp"}), ("model-depth", {"mlp"})):
        assert {model for model, row in rows.items() if uses(row, key)} == users


def test_what_trains_the_reference_matters_where_it_selects() -> None:
    for selection, matters in (("val-bias-unsupervised", True), ("val-average", False)):
        row = _rows({"method": "erm", "identify": "local", "selection": selection})[0]
        for key in ("identify-learning-rate", "identify-rounds", "identify-aggregator"):
            assert uses(row, key) is matters, key
        assert not uses(row, "identify")
        assert not uses(row, "upsample")


def test_labels_say_a_methods_kind_and_groups_also_where_they_do_not_vary() -> None:
    labels = {s.label for s in by_setting(_rows({"method": "balance", "balance": "subset"}, {"method": "erm"}))}
    assert labels == {"ERM, central, 10 machines", "subset (true groups), central, 10 machines"}
