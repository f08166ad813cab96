"""What is accepted of a machine's moments; it has four groups of 26, 4, 4 and 26 rows."""

from typing import Any

import numpy as np
import pytest

from fedjtt.methods.base import Payload
from fedjtt.methods.census import census
from fedjtt.methods.group_moments import sum_features
from strategies.acceptance import Acceptance
from strategies.known import nobody
from tests.tiny import node_of, tiny_config, tiny_splits

WIDTH = 128
NODE = node_of(tiny_config(), tiny_splits().train)
REQUEST = Payload({"weights": NODE.initial_model().vector.numpy().copy()})
GOOD = sum_features(NODE, REQUEST)


def objection(arrays: dict[str, Any] | None = None, **numbers: Any) -> str:
    accept = Acceptance.of_run(tiny_config(robust="federated"), nobody)
    assert accept.objection("census", 2, Payload(), census(NODE, Payload())) == ""
    changed = Payload({**GOOD.arrays, **(arrays or {})}, {**GOOD.numbers, **numbers})
    return accept.objection("spectrum", 2, REQUEST, changed)


def sums(place: int, value: float) -> dict[str, Any]:
    changed = GOOD.arrays["sums"].copy()
    changed[place] = value
    return {"sums": changed}


FIRST_SQUARE = 4 * WIDTH  # where the outer products begin, with z_0 z_0 of the first group


def test_what_a_machine_says_is_accepted() -> None:
    assert objection() == ""


def test_a_group_may_be_left_out_whole() -> None:
    """Of the first group, which begins the sums and the outer products, nothing."""
    left = GOOD.arrays["sums"].copy()
    left[:WIDTH] = 0
    left[FIRST_SQUARE : FIRST_SQUARE + WIDTH * (WIDTH + 1) // 2] = 0
    assert objection({"sums": left}, count=[0, 4, 4, 26]) == ""
    left[FIRST_SQUARE + 1] = 1e-6  # z_0 z_1
    assert "groups without rows" in objection({"sums": left}, count=[0, 4, 4, 26])


@pytest.mark.parametrize(
    ("arrays", "numbers", "said"),
    [
        ({}, {"count": [25, 4, 4, 26]}, "groups that it does not have"),
        ({}, {"count": [26, 4, 4]}, "groups that it does not have"),
        ({}, {"count": [26, 4, 4, 26.5]}, "not whole numbers"),
        ({}, {"count": [-1, 4, 4, 26]}, "count is negative"),
        ({}, {"width": 100}, "features of width 100"),
        ({}, {"width": 10**6}, "its features have width 1000000"),
        ({"sums": GOOD.arrays["sums"].astype(np.float32)}, {}, "its sums are float32"),
        ({"sums": GOOD.arrays["sums"][:-1]}, {}, "its sums are float64"),
        (sums(0, 1e6), {}, "smaller than its sums allow"),
        (sums(FIRST_SQUARE, -1.0), {}, "smaller than its sums allow"),
        (sums(5, float("nan")), {}, "not finite"),
        ({"rows": np.zeros(3)}, {}, "it sends rows, which was not asked for"),
        ({}, {"count": [0, 4, 4, 26]}, "smaller than its sums allow"),
    ],
)
def test_what_does_not_fit_is_refused(arrays: dict[str, Any], numbers: dict[str, Any], said: str) -> None:
    assert said in objection(arrays, **numbers)


def test_sums_of_a_machine_that_has_not_counted_its_rows_are_refused() -> None:
    accept = Acceptance.of_run(tiny_config(robust="federated"), nobody)
    assert accept.objection("spectrum", 2, REQUEST, GOOD) != ""
