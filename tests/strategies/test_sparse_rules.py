"""What is accepted of a machine's slopes: as many as there are dead weights, or as were to be named."""

import re
from typing import Any

import numpy as np
import pytest

from fedjtt.methods.base import Payload
from fedjtt.methods.census import census
from fedjtt.methods.fit import fit
from fedjtt.methods.growth import slopes
from fedjtt.methods.masked import DEAD, QUOTAS, TRACED, WHOLE, drawn_mask, layout_of
from fedjtt.methods.rest import REST
from fedjtt.sparse.wire import PLACES, SLOPES, VALUES
from strategies.acceptance import Acceptance
from strategies.known import nobody
from tests.methods.test_masked import machine, request

NODE = machine()
CENSUS = census(NODE, Payload())
NUMBER_DEAD = int((~drawn_mask(NODE.config, layout_of(NODE))).sum())
ASKED: dict[str, Any] = {QUOTAS: [0, 4, 0], DEAD: NUMBER_DEAD}
ALL, SOME = request(NODE, **ASKED, **{WHOLE: 1}), request(NODE, **ASKED)


def objection(action: str, asked: Payload, arrays: dict[str, Any] | None = None, **numbers: Any) -> str:
    """What is said of the true reply with some things other than they were; None takes an array away."""
    good = slopes(NODE, asked, REST().lesson) if action == "slopes" else fit(NODE, asked, REST())
    told = {name: array for name, array in {**good.arrays, **(arrays or {})}.items() if array is not None}
    accept = Acceptance.of_run(NODE.config.replace(robust="federated"), nobody)
    assert accept.objection("census", 2, Payload(), CENSUS) == ""
    return accept.objection(action, 2, asked, Payload(told, {**good.numbers, **numbers}))


@pytest.mark.parametrize("asked", [ALL, SOME])
def test_true_slopes_are_accepted(asked: Payload) -> None:
    assert objection("slopes", asked) == ""
    traced = Payload(asked.arrays, {**asked.numbers, TRACED: 1})
    assert objection("fit", traced) == ""


@pytest.mark.parametrize(
    ("asked", "arrays", "said"),
    [
        (ALL, {SLOPES: np.zeros(3, np.float32)}, r"its slopes is float32 \[3\], not float32 \[\d+\]"),
        (ALL, {SLOPES: np.zeros(NUMBER_DEAD)}, "its slopes is float64"),
        (ALL, {SLOPES: np.full(NUMBER_DEAD, np.nan, np.float32)}, "slopes has values that are not finite"),
        (ALL, {SLOPES: None}, "it lacks slopes"),
        (ALL, {VALUES: np.zeros(4, np.float32)}, "it sends slope-values, which was not asked for"),
        (SOME, {PLACES: np.array([3, 2, 1, 0], np.int32)}, "are not 4 different ones of .* ascending"),
        (SOME, {PLACES: np.array([1, 1, 2, 3], np.int32)}, "are not 4 different ones"),
        (SOME, {PLACES: np.array([-1, 0, 1, 2], np.int32)}, "are not 4 different ones"),
        (SOME, {PLACES: np.array([0, 1, 2, NUMBER_DEAD], np.int32)}, "are not 4 different ones"),
        (SOME, {PLACES: np.arange(5, dtype=np.int32)}, r"slope-places is int32 \[5\], not int32 \[4\]"),
        (SOME, {VALUES: np.zeros(5, np.float32)}, r"slope-values is float32 \[5\], not float32 \[4\]"),
        (SOME, {SLOPES: np.zeros(NUMBER_DEAD, np.float32)}, "it sends slopes, which was not asked for"),
    ],
)
def test_other_slopes_are_refused(asked: Payload, arrays: dict[str, Any], said: str) -> None:
    assert re.search(said, objection("slopes", asked, arrays))


@pytest.mark.parametrize(
    ("size", "said"), [(61.0, "its weighted size is 61, and it has 60 examples"), (-1.0, "negative")]
)
def test_a_size_that_the_machine_does_not_have_is_refused(size: float, said: str) -> None:
    assert said in objection("slopes", ALL, size=size)


def test_weights_of_another_mask_are_refused() -> None:
    said = objection("fit", request(NODE), {"weights": np.zeros(NUMBER_DEAD, np.float32)})
    assert "weights is float32" in said


def test_momentum_that_was_not_asked_for_is_refused() -> None:
    said = objection("fit", request(NODE), {SLOPES: np.zeros(NUMBER_DEAD, np.float32)})
    assert said == "it sends slopes, which was not asked for"
