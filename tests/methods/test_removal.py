"""Who is removed: the order of keys, the limit over machines, and that a quota is met to the example."""

from typing import Any

import numpy as np
import pytest
import torch

from fedjtt.methods.attribute import SCORES
from fedjtt.methods.base import Node, Payload
from fedjtt.methods.cut import drawn_numbers
from fedjtt.methods.removal import BINS, IDS, LIMIT, MAJORITY, ZERO, drop, keys_of, limit_for, ordered, rank, stays
from tests.tiny import node_of, tiny_config, tiny_splits


def machines_with(scores: np.ndarray, parts: int = 1, **changes: Any) -> list[Node]:
    config = tiny_config(method="d3m", machines=parts, **changes)
    rows = torch.arange(len(scores)).tensor_split(parts)
    nodes = [node_of(config, tiny_splits().train, own, number, parts) for number, own in enumerate(rows)]
    for node, own in zip(nodes, rows, strict=True):
        node.memo[SCORES] = scores[own]
    return nodes


class Asking:
    """A server that hears nodes without an engine."""

    def __init__(self, nodes: list[Node]) -> None:
        self.nodes = nodes

    def ask(self, place: str, action: str, request: Payload) -> list[Payload]:
        assert (place, action) == ("machines", "rank")
        return [rank(node, request) for node in self.nodes]


def gone(nodes: list[Node], quota: int, **told: Any) -> list[int]:
    limit = limit_for(Asking(nodes), quota, told)  # type: ignore[arg-type]
    request = Payload(numbers={**told, LIMIT: limit})
    return sorted(each for node in nodes for each in node.data.train.id[~stays(node, request)].tolist())


def test_numbers_are_in_the_order_of_scores() -> None:
    scores = torch.tensor([-torch.inf, -2.5, -1e-30, -0.0, 0.0, 1e-30, 3.0, torch.inf], dtype=torch.float64)
    found = ordered(scores)
    assert found.diff().tolist() == sorted(found.diff().tolist(), key=lambda gap: gap < 0)
    assert (found.diff() >= 0).all()
    assert found[3] == found[4] == ZERO >> 20
    assert int(found.min()) >= 0
    assert int(found.max()) < 2**32


@pytest.mark.parametrize("parts", [1, 7])
@pytest.mark.parametrize("quota", [1, 2, 17, 59])
def test_a_quota_takes_the_lowest_scores(parts: int, quota: int) -> None:
    scores = np.random.default_rng(quota).normal(size=60)
    assert gone(machines_with(scores, parts), quota) == sorted(scores.argsort()[:quota].tolist())


@pytest.mark.parametrize("parts", [1, 4])
def test_equal_scores_go_by_their_ids_numbers_and_the_quota_is_met(parts: int) -> None:
    """Duplicates and zeros: 30 examples share a score, of which 20 of the smallest numbers go with the 10 below."""
    scores = np.concatenate([np.full(10, -1.0), np.full(30, 0.5), np.full(20, 2.0)])
    numbers = drawn_numbers(torch.arange(60), 0)[10:40]
    expected = [*range(10), *(10 + numbers.argsort()[:20]).tolist()]
    assert gone(machines_with(scores, parts), 30) == sorted(expected)


def test_the_limit_of_signs_takes_negative_scores_only() -> None:
    (node,) = machines_with(np.array([-1.0, -1e-30, -0.0, 0.0, 2.0]))
    assert stays(node, Payload(numbers={LIMIT: ZERO})).tolist() == [False, False, True, True, True]


def test_bins_count_every_example_once_and_then_those_inside() -> None:
    (node,) = machines_with(np.random.default_rng(0).normal(size=60))
    first = rank(node, Payload(numbers={"level": 0, "prefix": 0})).integers("counts")
    assert (len(first), sum(first)) == (BINS, 60)
    place = max(range(BINS), key=lambda each: first[each])
    assert sum(rank(node, Payload(numbers={"level": 1, "prefix": place})).integers("counts")) == first[place]


def test_random_removal_is_a_function_of_seed_and_id() -> None:
    scores = np.zeros(60)
    one = gone(machines_with(scores, 3, d3m_remove_by="random", d3m_remove=12), 12)
    assert len(one) == 12
    assert one == gone(machines_with(scores, 1, d3m_remove_by="random", d3m_remove=12), 12)
    assert one != gone(machines_with(scores, 1, d3m_remove_by="random", d3m_remove=12, seed=1), 12)


def test_majority_goes_first() -> None:
    nodes = machines_with(np.zeros(60), 2, d3m_remove_by="majority", d3m_remove=12)
    assert min(gone(nodes, 52, **{MAJORITY: [0, 1]})) == 8  # the first 8 are the minority
    assert min(gone(nodes, 53, **{MAJORITY: [0, 1]})) < 8
    assert int(keys_of(nodes[0], Payload(numbers={MAJORITY: [0, 1]})).max()) < 2**21


@pytest.mark.parametrize("robust", ["central", "federated"])
def test_counts_are_told_and_ids_under_central_alone(robust: str) -> None:
    scores = np.ones(60)
    scores[[0, 1, 2, 30]] = -1.0
    (node,) = machines_with(scores, robust=robust)
    reply = drop(node, Payload(numbers={LIMIT: ZERO}))
    assert reply.numbers == {"removed": 4, "label-removed": [3, 1], "group-removed": [1, 2, 1, 0]}
    assert {name: array.tolist() for name, array in reply.arrays.items()} == (
        {"ids": [0, 1, 2, 30]} if robust == "central" else {}
    )


def test_ids_in_a_request_are_who_goes() -> None:
    (node,) = machines_with(np.zeros(60))
    left = stays(node, Payload({IDS: np.array([3, 5, 99])}))
    assert torch.nonzero(~left).flatten().tolist() == [3, 5]
    assert stays(node, Payload()).all()
