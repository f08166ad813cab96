"""Counts by label and by group, added over machines."""

from typing import Any

import pytest
import torch

from fedjtt.errors import EngineError
from fedjtt.methods.base import Payload
from fedjtt.methods.census import Population, census, count_population
from tests.tiny import grouped, node_of, parts_of_a_run, tiny_config, tiny_splits


def test_a_machine_counts_its_own_rows() -> None:
    data = grouped([0, 0, 1, 1, 1], [0, 1, 1, 1, 0])
    answer = census(node_of(tiny_config(), data, torch.tensor([0, 2, 3])), Payload())
    assert answer.integer("examples") == 3
    assert answer.integers("label-counts") == [1, 2]  # rows 0, 2 and 3
    assert answer.integers("group-counts") == [1, 0, 0, 2]  # (0,0), (0,1), (1,0), (1,1)


def test_without_attributes_there_are_only_totals() -> None:
    answer = census(node_of(tiny_config(), grouped([0, 0, 1])), Payload())
    assert answer.integer("examples") == 3
    assert answer.integers("label-counts") == [2, 1]
    assert answer.integers("group-counts") == []


def test_a_label_that_a_machine_has_not_is_counted_as_none() -> None:
    node = node_of(tiny_config(), grouped([0, 2, 2, 0], labels=4), torch.tensor([1, 2]))
    assert census(node, Payload()).integers("label-counts") == [0, 0, 2, 0]


@pytest.mark.parametrize("place", ["machines", "server"])
def test_the_population_is_the_sum_whoever_is_asked(place: Any) -> None:
    # 60 train rows: 8 of them in the minority, (0, 1) and (1, 0) by turns.
    config = tiny_config(machines=7)
    strategy, grid = parts_of_a_run(config, tiny_splits())
    strategy.talk.machines_grid = grid
    population = count_population(strategy, place)
    assert population.group_counts == [26, 4, 4, 26]
    assert population.label_counts == [30, 30]  # labels by turns
    assert population.num_labels == 2
    assert population.total == 60
    assert population.majority == [0, 1]
    assert sorted(population.examples) == ([60] if place == "server" else [8] * 3 + [9] * 4)
    assert population.unevenness is not None
    assert (population.unevenness == 0) is (place == "server")  # one machine is as mixed as the whole


def test_the_majority_is_the_most_frequent_attribute_and_the_first_on_a_tie() -> None:
    assert Population([10], [1, 5, 4, 3, 3, 0], [10, 6], unevenness=None).majority == [1, 0]
    assert Population([10], None, [5, 5], unevenness=None).majority is None


@pytest.mark.parametrize(
    ("labels", "groups"),
    [([[1, 0], [1, 0]], [[1, 0], [1]]), ([[1, 0], [1]], [[1, 0], [1, 0]])],
    ids=["groups", "labels"],
)
def test_machines_of_different_datasets_are_refused(labels: list[list[int]], groups: list[list[int]]) -> None:
    class Server:
        def ask(self, *_: Any) -> list[Payload]:
            return [
                Payload(numbers={"examples": 1, "label-counts": by_label, "group-counts": by_group})
                for by_label, by_group in zip(labels, groups, strict=True)
            ]

    with pytest.raises(EngineError, match="do not agree on the groups"):
        count_population(Server(), "machines")  # type: ignore[arg-type]
