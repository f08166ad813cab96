"""What a machine trains on and what the server tells: the parts that all methods share."""

import pytest
import torch

from fedjtt.methods.base import Payload
from fedjtt.methods.lesson import Course, Lesson, all_places, whole_batch


def test_the_mean_over_a_whole_batch_is_the_mean_of_draws_by_weight() -> None:
    """Weights 1, 1, 2 of losses 1, 2, 5: (1 + 2 + 10) / 4 = 3.25."""
    terms = whole_batch(Lesson(torch.tensor([1, 1, 2])))
    losses = torch.tensor([1.0, 2.0, 5.0])
    assert float(terms(losses, torch.arange(3)).mean()) == pytest.approx(3.25)


def test_a_lessons_own_terms_are_weighed_too() -> None:
    """Doubled losses: 6.5; in another order of the examples the same."""
    terms = whole_batch(Lesson(torch.tensor([1.0, 1.0, 2.0]), lambda losses, places: 2 * losses))  # noqa: ARG005
    assert float(terms(torch.tensor([1.0, 2.0, 5.0]), torch.arange(3)).mean()) == pytest.approx(6.5)
    swapped = terms(torch.tensor([5.0, 2.0, 1.0]), torch.tensor([2, 1, 0]))
    assert float(swapped.mean()) == pytest.approx(6.5)


def test_all_places_are_in_every_step() -> None:
    assert all_places(3, 2).tolist() == [[0, 1, 2], [0, 1, 2]]


def test_a_plain_course_tells_and_learns_nothing() -> None:
    course, replies = Course(), [Payload(numbers={"size": 3.0}), Payload(numbers={"size": 4.5})]
    assert dict(course.request(1).numbers) == {}
    assert course.sizes(replies) == [3.0, 4.5]
    assert course.learn(1, replies) == {}
    assert course.state() == {}
    assert Lesson(torch.ones(2)).told().numbers == {}
