"""A question and its steps."""

import pytest

from fedjtt.methods.base import Payload
from strategies.question import Question


@pytest.mark.parametrize(
    ("step", "sent", "begins", "acts", "drawn"),
    [("", "fit", True, True, True), ("keys", "keys", True, False, True), ("shares", "shares", False, False, False),
     ("masked", "fit", False, True, False), ("reveal", "reveal", False, False, False)],
)  # fmt: skip
def test_what_a_step_sends_and_whom_it_is_for(step: str, sent: str, begins: bool, acts: bool, drawn: bool) -> None:
    question = Question("machines", "fit", Payload(), 3, step)
    assert (question.sent, question.begins, question.acts, question.is_drawn) == (sent, begins, acts, drawn)
    assert not Question("machines", "census", Payload(), 0, step).is_drawn


def test_every_step_is_paid_by_the_stage_that_it_serves() -> None:
    for step in ("", "keys", "shares", "masked", "reveal"):
        assert Question("machines", "fit", Payload(), 3, step).where == "robust stage, round 3"
        assert Question("machines", "assess", Payload(), 0, step).where == "evaluate stage"
