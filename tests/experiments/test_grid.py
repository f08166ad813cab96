"""From lists and tables to the runs of a sweep, counted by hand."""

import itertools
from pathlib import Path
from typing import Any

import pytest

from experiments.grid import build_grid, parse_seeds
from experiments.options import read_toml
from fedjtt.errors import ConfigError
from tests.tiny import REPO


@pytest.mark.parametrize(
    ("value", "seeds"),
    [(3, [0, 1, 2]), ("3", [0, 1, 2]), (1, [0]), ("0,7", [0, 7]), ("5,", [5]), ([4, 2], [4, 2]), (["1"], [1])],
)
def test_seeds(value: Any, seeds: list[int]) -> None:
    assert parse_seeds(value) == seeds


@pytest.mark.parametrize("value", [0, -1, "x", "0,-1", [], "", ",", 1.5e400, None])
def test_bad_seeds_are_refused(value: Any) -> None:
    with pytest.raises(ConfigError, match=r"^seeds is "):
        parse_seeds(value)


def values(given: dict[str, Any], *keys: str) -> list[tuple[Any, ...]]:
    return [tuple(config.flat()[key] for key in keys) for config in build_grid(given).runs]


def test_comma_lists_are_a_product() -> None:
    given = {
        "machines": "1,5,10",
        "robust": "central,federated",
        "method": "erm, jtt",
        "seeds": "3",
        "robust-rounds": 6,
        "robust-epochs": 1,
    }
    expected = set(itertools.product([1, 5, 10], ["central", "federated"], ["erm", "jtt"], [0, 1, 2]))
    found = values(given, "machines", "robust", "method", "seed")
    assert len(found) == 36
    assert set(found) == expected
    assert set(build_grid(given).axes) == {"machines", "robust", "method"}


def test_tables_are_added_up_and_a_run_stands_once() -> None:
    given = {
        "seeds": 2,
        "sweep": [
            {"method": "jtt", "machines": [1, 5]},
            {"method": "jtt", "machines": [5, 10]},  # 5 is there already
            {"method": "erm", "machines": 1, "seeds": [7]},  # seeds of its own
        ],
    }
    found = values(given, "method", "machines", "seed")
    assert found == [
        ("jtt", 1, 0),
        ("jtt", 1, 1),
        ("jtt", 5, 0),
        ("jtt", 5, 1),
        ("jtt", 10, 0),
        ("jtt", 10, 1),
        ("erm", 1, 7),
    ]


def test_a_list_in_the_base_is_an_axis_of_every_table_that_does_not_name_it() -> None:
    given = {"machines": [1, 2], "sweep": [{"method": "erm"}, {"method": "jtt", "machines": 9}]}
    assert values(given, "method", "machines") == [("erm", 1), ("erm", 2), ("jtt", 9)]


@pytest.mark.parametrize(("given", "seeds"), [({"seed": 3}, [3]), ({"seed": "3"}, [3]), ({"seed": [3, 4]}, [3, 4]),
                                              ({"seed": "3,4"}, [3, 4]), ({"sweep": [{"seed": 5}]}, [5]),
                                              ({"seed": 3, "sweep": [{}, {"seeds": 2}]}, [3, 0, 1]),
                                              ({"seed": 3, "seeds": 2}, [0, 1]), ({}, [0])])  # fmt: skip
def test_a_seed_is_not_lost(given: dict[str, Any], seeds: list[int]) -> None:
    assert [seed for (seed,) in values(given, "seed")] == seeds


def test_shared_keys_are_those_that_do_not_vary() -> None:
    shared = build_grid({"machines": "1,2", "method": "erm", "seeds": 2, "data-dir": "x"}).shared
    assert shared["method"] == "erm"
    assert not {"machines", "seed", "data-dir", "out", "workers"} & set(shared)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"machine": "1,2"}, "unknown key 'machine'; did you mean 'machines'"),
        ({"sweep": [{"robst": ["central"]}]}, "unknown key 'robst'; did you mean 'robust'"),
        ({"method": "erm,jt"}, "method is 'jt'.*did you mean 'jtt'"),
        ({"machines": "1,0"}, "machines is '0'"),
        ({"sweep": {"method": "erm"}}, "sweep must be an array of tables"),
        ({"sweep": ["erm"]}, "sweep must be an array of tables"),
        ({"seeds": 0}, "seeds is 0"),
    ],
)
def test_anything_wrong_is_refused_before_anything_runs(given: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        build_grid(given)


@pytest.mark.parametrize("given", [{"sweep": []}, {"machines": []}, {"machines": ","}])
def test_a_grid_without_a_run_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        build_grid(given)


@pytest.mark.parametrize("path", sorted((REPO / "experiments" / "configs").glob("*.toml")), ids=lambda path: path.stem)
def test_the_committed_configs_are_valid_and_name_no_path(path: Path) -> None:
    grid = build_grid(read_toml(path))
    assert grid.runs
    assert all(not config.data_dir and not config.out for config in grid.runs)


def test_the_study_asks_what_the_issue_asks() -> None:
    grid = build_grid(read_toml(REPO / "experiments" / "configs" / "spuco-mnist-machines.toml"))
    flats = [config.flat() for config in grid.runs]
    assert {(f["dataset"], f["difficulty"], f["corner"], f["spurious-strength"]) for f in flats} == {
        ("spuco-mnist", "medium", "top-right", 0.995)
    }
    jtt = [f for f in flats if f["method"] == "jtt" and f["identify-schedule"] == "same-epochs"]
    for machines, robust in itertools.product([1, 2, 5, 10, 20, 50, 100], ["central", "federated"]):
        seeds = {f["seed"] for f in jtt if (f["machines"], f["robust"]) == (machines, robust)}
        assert len(seeds) >= 3, (machines, robust)
    assert {"erm", "group-balanced"} <= {f["method"] for f in flats}
    updates = [f for f in flats if f["identify-schedule"] == "same-updates"]
    assert updates
    assert max(f["machines"] for f in updates) <= 10


def test_a_named_table_gives_its_own_values_a_name() -> None:
    table = {"name": "early", "method": "jtt", "machines": [1, 2], "identify-epochs": 1, "batch-size": [8, 16]}
    grid = build_grid({"dataset": "digits", "sweep": [{"machines": 1}, table]})
    # Not the method, which a label says anyway, nor the axes, which differ within the table.
    assert grid.names == {"early": {"identify-epochs": 1}}
    assert len(grid.runs) == 1 + 2 * 2
