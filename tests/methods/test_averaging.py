"""Means of weights over machines and rounds, and FedNova's normalised updates: by hand and by simulating the steps."""

import math

import numpy as np
import pytest

from fedjtt.methods.averaging import by_size, normalised, ordered_sum, running_mean, shortened, weighted_mean
from fedjtt.training import Span


def test_the_mean_of_one_vector_is_that_vector_to_the_last_bit() -> None:
    vector = np.random.default_rng(0).normal(size=1000).astype(np.float32)
    assert weighted_mean([vector], [0.1]).tobytes() == vector.tobytes()


def test_the_weighted_mean_is_numpys() -> None:
    chance = np.random.default_rng(0)
    vectors = [chance.normal(size=100).astype(np.float32) for _ in range(5)]
    sizes = [1.0, 2.0, 30.0, 4.0, 5.5]
    mean = weighted_mean(vectors, sizes)
    assert mean.dtype == np.float32
    np.testing.assert_allclose(mean, np.average(np.stack(vectors), axis=0, weights=sizes), rtol=1e-6)


@pytest.mark.parametrize(
    ("share", "expected"),
    [
        (1.0, Span(10, 20, 60)),
        (0.5, Span(5, 10, 30)),
        (2.0, Span(20, 40, 120)),
        (0.04, Span(0, 1, 2)),  # round(.4), round(.8), round(2.4)
        (0.01, Span(0, 1, 1)),  # at least one step, and a stage that holds it
    ],
)
def test_a_machines_span_by_its_share_of_the_mean(share: float, expected: Span) -> None:
    assert by_size(Span(10, 20, 60), share) == expected


def test_spans_by_size_have_no_gap_and_always_a_step() -> None:
    for share in (0.05, 0.3, 0.77, 1.0, 1.9):
        spans = [by_size(Span(first, first + 10, 60), share) for first in range(0, 60, 10)]
        assert all(0 <= span.first < span.last <= span.total for span in spans)
        if share * 10 >= 1:
            assert [span.first for span in spans[1:]] == [span.last for span in spans[:-1]]


def test_machines_with_equal_steps_are_averaged_as_they_are() -> None:
    chance = np.random.default_rng(0)
    current, *weights = (chance.normal(size=50).astype(np.float32) for _ in range(4))
    updates = [(vector, size) for vector, size in zip(weights, [1.0, 2.0, 5.0], strict=True)]
    for momentum in (0.0, 0.9):
        for (before, size), (after, same) in zip(
            updates, normalised(current, updates, [7, 7, 7], momentum), strict=True
        ):
            assert size == same
            np.testing.assert_allclose(after, before, rtol=1e-5, atol=1e-6)


def test_without_momentum_a_change_is_divided_by_its_steps() -> None:
    """Wang et al. 2020: x + tau_eff * sum p_i d_i / tau_i, tau_eff = sum p_i tau_i.

    p = (1/4, 3/4), tau = (2, 6): tau_eff = 5. Changes 4 and 12 from 1: 5 * 4/2 = 10 and 5 * 12/6 = 10.
    """
    current = np.array([1.0], np.float32)
    updates = [(np.array([5.0], np.float32), 1.0), (np.array([13.0], np.float32), 3.0)]
    (first, one), (second, three) = normalised(current, updates, [2, 6], momentum=0.0)
    assert (first.tolist(), second.tolist(), one, three) == ([11.0], [11.0], 1.0, 3.0)
    assert first.dtype == np.float32


def reach(steps: int, momentum: float) -> float:
    """How far `steps` steps of gradient 1 at rate 1 go, step by step."""
    velocity, way = 0.0, 0.0
    for _ in range(steps):
        velocity = momentum * velocity + 1
        way += velocity
    return way


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
def test_machines_that_go_the_same_way_come_equally_far(momentum: float) -> None:
    """All see the gradient 1; after normalising, each stands where the mean of their ways is.

    With momentum .5, two steps go 1 + 1.5 = 2.5 and three go 1 + 1.5 + 1.75 = 4.25.
    """
    if momentum == 0.5:
        assert (reach(2, 0.5), reach(3, 0.5)) == (2.5, 4.25)
    steps, sizes = [2, 3, 11], [1.0, 4.0, 5.0]
    ways = [reach(count, momentum) for count in steps]
    updates = [(np.array([way], np.float32), size) for way, size in zip(ways, sizes, strict=True)]
    mean = float(np.average(ways, weights=sizes))
    for vector, _ in normalised(np.zeros(1, np.float32), updates, steps, momentum):
        assert float(vector[0]) == pytest.approx(mean, rel=1e-6)


def test_the_running_mean_of_one_vector_is_that_vector_to_the_last_bit() -> None:
    chance = np.random.default_rng(0)
    start, vector = (chance.normal(size=1000).astype(np.float32) for _ in range(2))
    assert running_mean(start, vector, 1).tobytes() == vector.tobytes()  # whatever the mean was


def test_the_running_mean_counts_later_vectors_for_more() -> None:
    """Shamir and Zhang 2013, eta = 3: the t-th weighs t (t + 1) (t + 2), here 6, 24, 60, 120, with the sum 210.

    The unit vectors' mean is then these weights themselves. For the fourth: 4 / (4 + 3) = 120 / 210.
    """
    mean = np.zeros(4, np.float32)
    for number, vector in enumerate(np.eye(4, dtype=np.float32), start=1):
        mean = running_mean(mean, vector, number)
    np.testing.assert_allclose(mean, np.float32([6, 24, 60, 120]) / 210, rtol=1e-6)
    assert mean.dtype == np.float32


def test_the_running_mean_changes_neither_vector() -> None:
    mean, vector = np.float32([1, 2]), np.float32([3, 6])
    # 4 / (2 + 3) of the way from the first to the second
    np.testing.assert_allclose(running_mean(mean, vector, 2), [1 + 0.8 * 2, 2 + 0.8 * 4], rtol=1e-6)
    assert (mean.tolist(), vector.tolist()) == ([1, 2], [3, 6])


def test_an_update_is_shortened_to_the_bound_along_its_own_direction() -> None:
    """(3, 4) is 5 long; at most 2.5 leaves half of it."""
    sent = np.array([1.0, 1.0], dtype=np.float32)
    trained = np.array([4.0, 5.0], dtype=np.float32)
    assert shortened(sent, trained, 2.5).tolist() == [2.5, 3.0]
    assert shortened(sent, trained, 5.0) is trained
    assert shortened(sent, trained, 0.0) is trained
    assert shortened(sent, trained, 2.5).dtype == np.float32


def test_an_ordered_sum_has_the_same_bits_in_any_order() -> None:
    """Plain sums of these have not; math.fsum gives the exact one, 1e-12 of the largest term away at most."""
    chance = np.random.default_rng(0)
    arrays = list(chance.normal(size=(7, 50)) * 10.0 ** chance.integers(-6, 6, size=(7, 50)))
    found = [ordered_sum([arrays[place] for place in chance.permutation(7)]) for _ in range(10)]
    assert len({array.tobytes() for array in found}) == 1
    assert len({sum(arrays[place] for place in chance.permutation(7)).tobytes() for _ in range(10)}) > 1
    exact = np.array([math.fsum(column) for column in zip(*arrays, strict=True)])
    assert (np.abs(found[0] - exact) <= 1e-12 * np.abs(arrays).max(axis=0)).all()
