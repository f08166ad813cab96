"""Who shares secrets with whom."""

import pytest

from fedjtt.secagg.neighbours import neighbours_of, number_of_neighbours, threshold_of


@pytest.mark.parametrize("machines", [3, 10, 21])
def test_up_to_21_machines_everybody_is_everybodys_neighbour(machines: int) -> None:
    graph = neighbours_of(range(machines), seed=0, server_round=1)
    assert graph == {machine: [m for m in range(machines) if m != machine] for machine in range(machines)}


@pytest.mark.parametrize(("machines", "neighbours"), [(22, 20), (25, 20), (100, 28), (1000, 40)])
def test_beyond_the_neighbours_on_a_ring_are(machines: int, neighbours: int) -> None:
    """4 x bits of (machines - 1), at least 20: 7 bits for 100 and 10 for 1,000."""
    assert number_of_neighbours(machines) == neighbours
    graph = neighbours_of(range(machines), seed=0, server_round=1)
    assert {len(set(others) - {machine}) for machine, others in graph.items()} == {neighbours}
    assert all(machine in graph[other] for machine, others in graph.items() for other in others)
    reached, frontier = {0}, {0}
    while frontier:
        frontier = {new for machine in frontier for new in graph[machine]} - reached
        reached |= frontier
    assert len(reached) == machines


def test_the_ring_depends_on_seed_round_and_who_is_there_and_not_on_their_order() -> None:
    graph = neighbours_of(range(30), seed=0, server_round=1)
    assert neighbours_of(reversed(range(30)), seed=0, server_round=1) == graph
    assert neighbours_of(range(30), seed=1, server_round=1) != graph
    assert neighbours_of(range(30), seed=0, server_round=2) != graph


@pytest.mark.parametrize(("holders", "threshold"), [(3, 2), (4, 3), (10, 6), (21, 11)])
def test_two_sets_that_know_a_secret_have_a_holder_in_common(holders: int, threshold: int) -> None:
    assert threshold_of(holders) == threshold
    assert 2 * threshold > holders
