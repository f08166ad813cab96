"""GroupDRO's q: against the closed form, groups that are absent, and what machines make of it together."""

import math
from typing import Any

import pytest
import torch

import fedjtt
from fedjtt.config import RunConfig
from fedjtt.methods.base import Payload
from fedjtt.methods.group_dro import GAINS, LOG_Q, SEEN, DroCourse, DroLesson, normalised_log
from tests.tiny import tiny_config, tiny_splits


def lesson_of(group: list[int], sizes: list[int], log_q: list[float] | None = None, **changes: Any) -> DroLesson:
    course = DroCourse(sizes)
    start = torch.tensor(course.request(1).reals(LOG_Q) if log_q is None else log_q, dtype=torch.float64)
    config = tiny_config(**{"method": "group-dro", "dro_step": 0.1, **changes})
    weights = torch.tensor(course.weights, dtype=torch.float64)
    return DroLesson(torch.tensor(group), torch.tensor(sizes, dtype=torch.float64), weights, start, config)


def step(lesson: DroLesson, losses: list[float], places: list[int]) -> list[float]:
    assert lesson.terms is not None
    terms: list[float] = lesson.terms(torch.tensor(losses), torch.tensor(places)).tolist()
    return terms


def test_q_under_constant_losses_is_the_closed_form() -> None:
    """After t steps with losses l_g: q_g = exp(t step l_g) / sum; here l = (0, 1, 3), step .1, t = 20."""
    lesson = lesson_of([0, 1, 2], [4, 4, 4])
    for _ in range(20):
        step(lesson, [0.0, 1.0, 3.0], [0, 1, 2])
    grown = [math.exp(20 * 0.1 * loss) for loss in (0, 1, 3)]
    assert lesson.log_q.exp().tolist() == pytest.approx([value / sum(grown) for value in grown], rel=1e-9)


def test_the_server_takes_over_exactly_the_q_of_its_only_machine() -> None:
    lesson, course = lesson_of([0, 0, 1, 2], [2, 1, 1]), DroCourse([2, 1, 1])
    for losses in ([1.0, 2.0, 0.5, 3.0], [0.1, 0.2, 0.3, 0.4]):
        step(lesson, losses, [0, 1, 2, 3])
    course.learn(1, [lesson.told()])
    assert course.log_q.tolist() == pytest.approx(lesson.log_q.tolist(), abs=1e-12)


def test_two_machines_with_all_examples_in_a_step_are_one() -> None:
    """Group 0: losses 1, 2 on one machine and 6 on the other, mean 3; group 1 only on the second, 5."""
    course = DroCourse([3, 1])
    one, other = lesson_of([0, 0], [3, 1]), lesson_of([0, 1], [3, 1])
    step(one, [1.0, 2.0], [0, 1])
    step(other, [6.0, 5.0], [0, 1])
    course.learn(1, [one.told(), other.told()])
    grown = [math.exp(0.1 * 3), math.exp(0.1 * 5)]
    assert course.log_q.exp().tolist() == pytest.approx([value / sum(grown) for value in grown])


def test_a_group_that_is_not_in_the_batch_has_no_loss_and_not_a_loss_of_0() -> None:
    """Both groups' q would stay alike if an absent group's gain were that of a loss of 0 and the other's loss 0."""
    lesson = lesson_of([0, 1], [1, 1], dro_adjustment=1.0)
    step(lesson, [0.0], [0])
    assert lesson.gains.tolist() == pytest.approx([0.1 * 1.0, 0.0])  # the adjustment counts for what is there only
    assert lesson.seen.tolist() == [1.0, 0.0]
    course = DroCourse([1, 1])
    course.learn(1, [lesson.told()])
    assert course.log_q.exp().tolist() == pytest.approx([math.exp(0.1) / (1 + math.exp(0.1)), 1 / (1 + math.exp(0.1))])


def test_the_adjustment_favours_small_groups() -> None:
    """C / sqrt(n): 2 / sqrt(4) = 1 and 2 / sqrt(16) = .5, times the step of .1."""
    lesson = lesson_of([0, 1], [4, 16], dro_adjustment=2.0)
    step(lesson, [0.0, 0.0], [0, 1])
    assert lesson.gains.tolist() == pytest.approx([0.1, 0.05])


def test_terms_are_the_losses_by_the_q_of_the_step_before() -> None:
    """Two groups at q = (.25, .75): G q = (.5, 1.5); the second step has what the first one made of it."""
    lesson = lesson_of([0, 1], [1, 1], [math.log(0.25), math.log(0.75)])
    assert step(lesson, [2.0, 2.0], [0, 1]) == pytest.approx([1.0, 3.0])
    q = lesson.log_q.exp().tolist()
    assert step(lesson, [1.0, 1.0], [0, 1]) == pytest.approx([2 * q[0], 2 * q[1]])


def test_groups_are_drawn_equally_often() -> None:
    lesson = lesson_of([0, 0, 0, 1], [3, 1])
    assert lesson.weights.tolist() == pytest.approx([4 / 6, 4 / 6, 4 / 6, 2.0])


def test_a_group_that_does_not_exist_has_no_q() -> None:
    course = DroCourse([3, 0, 1])
    assert course.log_q.exp().tolist() == pytest.approx([0.5, 0.0, 0.5])
    told = course.request(1).reals(LOG_Q)
    assert all(math.isfinite(value) for value in told)
    lesson = lesson_of([0, 2], [3, 0, 1])
    step(lesson, [1.0, 1.0], [0, 1])
    assert torch.isfinite(lesson.gains).all()
    course.learn(1, [lesson.told()])
    assert course.log_q.exp().tolist() == pytest.approx([0.5, 0.0, 0.5])


def test_the_state_goes_round() -> None:
    course, other = DroCourse([3, 1]), DroCourse([3, 1])
    course.learn(1, [Payload(numbers={GAINS: [1.0, 0.0], SEEN: [2.0, 0.0]})])
    other.resume(course.state())
    assert torch.equal(course.log_q, other.log_q)
    other.resume({})  # of a run that was killed before its first round
    assert torch.equal(course.log_q, other.log_q)


def test_logarithms_of_shares_add_up_to_one() -> None:
    assert float(normalised_log(torch.tensor([3.0, -2.0, 800.0]).double()).exp().sum()) == pytest.approx(1)


@pytest.mark.parametrize("robust", ["central", "federated"])
@pytest.mark.parametrize("groups", ["true", "inferred", "class"])
def test_the_history_has_q_and_the_worse_group_the_larger_one(robust: str, groups: str) -> None:
    config = tiny_config(
        method="group-dro", groups=groups, robust=robust, dro_step=0.5, robust_epochs=10, identify_learning_rate=0.05
    )
    outcome = fedjtt.simulate(config, tiny_splits())
    q = [line["q"] for line in outcome.history]
    assert all(sum(each) == pytest.approx(1) for each in q)
    assert len(q[-1]) == {"true": 4, "inferred": 4, "class": 2}[groups]
    assert max(q[-1]) - min(q[-1]) > 0.1  # some groups are harder than others
    assert (outcome.result["identification"] is not None) == (groups == "inferred")


def test_agnostic_weighs_machines_alike_in_both_places() -> None:
    """Both find the same machine the hardest."""
    parts = [torch.arange(8), torch.arange(8, 40), torch.arange(40, 60)]
    last = []
    for robust in ("central", "federated"):
        config = tiny_config(method="agnostic", robust=robust, machines=3, dro_step=0.5, robust_epochs=10)
        last.append(fedjtt.simulate(config, tiny_splits(), parts).history[-1]["q"])
    assert last[0].index(max(last[0])) == last[1].index(max(last[1]))
    assert max(last[0]) > 0.4


def test_no_machine_names_an_id_where_training_is_federated() -> None:
    from tests.tiny import asked, parts_of_a_run

    for robust, names in (("central", True), ("federated", False)):
        strategy, grid = parts_of_a_run(tiny_config(method="agnostic", robust=robust), tiny_splits())
        seen = asked(grid)
        strategy.run(grid)
        assert ("name" in {action for action, *_ in seen}) is names


@pytest.mark.parametrize("key", ["dro-step", "dro-adjustment"])
def test_negative_settings_are_refused(key: str) -> None:
    with pytest.raises(fedjtt.ConfigError, match=f"{key} is -1"):
        RunConfig.parse({key: -1})
