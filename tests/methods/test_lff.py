"""Learning from failure: smoothing, weights and the second network, by hand."""

import math

import numpy as np
import pytest
import torch

import fedjtt
from fedjtt.errors import ConfigError
from fedjtt.methods.base import Node, Payload
from fedjtt.methods.lff import BIASED, LARGEST, SLOT, LffCourse, LffLesson, Smoothed
from fedjtt.methods.network import initial
from tests.tiny import node_of, tiny_config, tiny_splits


def machine() -> Node:
    return node_of(tiny_config(method="lff"), tiny_splits().train)


def request_of(node: Node, largest: float = 1.0) -> Payload:
    biased = initial(node, Payload(numbers={"slot": SLOT})).arrays["weights"]
    return Payload({BIASED: biased}, {"first": 0, "last": 4, "total": 8, **{name: [largest] * 2 for name in LARGEST}})


def test_smoothing_by_hand() -> None:
    """A first visit gives the loss itself, a second one .7 of it and .3 of the new one."""
    smoothed = Smoothed(3)
    assert smoothed.take(torch.tensor([2.0, 4.0]), torch.tensor([0, 2])).tolist() == [2.0, 4.0]
    assert smoothed.take(torch.tensor([1.0]), torch.tensor([2])).tolist() == pytest.approx([0.7 * 4 + 0.3])
    assert smoothed.largest(torch.tensor([0, 0, 1]), 2) == pytest.approx([2.0, 3.1])


def test_a_label_that_was_not_seen_has_no_largest_loss() -> None:
    smoothed = Smoothed(2)
    smoothed.take(torch.tensor([5.0]), torch.tensor([1]))
    assert smoothed.largest(torch.tensor([0, 1]), 2) == [0.0, 5.0]


def test_weights_by_hand() -> None:
    """The weight is l_B / (l_B + l_D), each divided by its label's largest: here 2 for both, which cancels."""
    node = machine()
    lesson = LffLesson(node, request_of(node, largest=2.0))
    places = torch.arange(6)
    logits = node.load(lesson.sent, SLOT).module(lesson.part.dataset.x[places])
    biased = torch.nn.functional.cross_entropy(logits, lesson.label[places], reduction="none").detach()
    losses = torch.tensor([0.1, 0.2, 0.5, 1.0, 2.0, 4.0])
    terms = lesson._weighed(losses, places)
    np.testing.assert_allclose(terms, losses * biased / (biased + losses), rtol=1e-5)


def test_the_second_network_starts_elsewhere_and_is_trained_by_the_step() -> None:
    node = machine()
    request = request_of(node)
    assert not np.array_equal(request.arrays[BIASED], initial(node, Payload()).arrays["weights"])
    lesson = LffLesson(node, request)
    lesson._weighed(torch.ones(6), torch.arange(6))
    told = lesson.told()
    assert not np.array_equal(told.arrays[BIASED], request.arrays[BIASED])
    assert all(value > 0 for name in LARGEST for value in told.reals(name))


def test_the_server_averages_networks_and_takes_the_largest_of_the_largest() -> None:
    course = LffCourse(np.zeros(2, np.float32), 2)
    replies = [
        Payload({BIASED: np.array([1, 1], np.float32)}, {"size": 1.0, LARGEST[0]: [1.0, 0.0], LARGEST[1]: [0.5, 0.0]}),
        Payload({BIASED: np.array([5, 5], np.float32)}, {"size": 3.0, LARGEST[0]: [2.0, 0.0], LARGEST[1]: [0.25, 3.0]}),
    ]
    course.learn(1, replies)
    assert course.weights.tolist() == [4.0, 4.0]
    assert course.largest == {LARGEST[0]: [2.0, 1.0], LARGEST[1]: [0.5, 3.0]}  # 1 where nobody saw the label
    other = LffCourse(np.zeros(2, np.float32), 2)
    other.resume(course.state())
    assert other.largest == course.largest
    assert other.weights.tolist() == [4.0, 4.0]


@pytest.mark.parametrize("robust", ["central", "federated"])
def test_a_run_trains_and_its_second_network_is_not_the_result(robust: str) -> None:
    config = tiny_config(method="lff", robust=robust, robust_epochs=3)
    outcome = fedjtt.simulate(config, tiny_splits())
    erm = fedjtt.simulate(config.replace(method="erm"), tiny_splits())
    assert outcome.result["missing"] == []
    assert outcome.result["digest"] != erm.result["digest"]
    assert math.isfinite(outcome.history[-1]["loss"])


def test_a_rule_that_is_no_mean_is_refused() -> None:
    with pytest.raises(ConfigError, match="aggregator is krum, but method is lff, which averages two networks"):
        tiny_config(method="lff", aggregator="krum")
