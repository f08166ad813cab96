"""What is accepted of a machine's sums for a new last layer; the machine has four groups and 24 validation rows."""

from typing import Any

import numpy as np
import pytest

from fedjtt.methods.base import Payload
from fedjtt.methods.head import draw, features, moments, score, slope
from fedjtt.methods.subsets import EVERY
from strategies.acceptance import Acceptance
from strategies.known import nobody
from tests.tiny import node_of, tiny_config, tiny_splits

ACTIONS = {"features": features, "moments": moments, "draw": draw, "slope": slope, "score": score}
NODE = node_of(tiny_config(method="dfr"), tiny_splits().validation)
WEIGHTS = NODE.initial_model().vector.numpy().copy()
LIMITS = np.full((3, 4), EVERY)
REQUESTS = {
    "features": Payload({"weights": WEIGHTS}),
    "moments": Payload({"group-weights": np.ones(4)}),
    "draw": Payload({"prefix": np.zeros((3, 4), np.int64)}, {"draws": [0, 1, 2], "level": 0}),
    "slope": Payload({"heads": np.zeros((2, 3, 2, 129)), "limits": LIMITS}, {"draws": [0, 1, 2]}),
    "score": Payload({"heads": np.zeros((5, 2, 129)), "limits": LIMITS[:1] // 2}, {"draws": [0]}),
}
GOOD = {name: ACTIONS[name](NODE, request) for name, request in REQUESTS.items()}


def judge() -> Acceptance:
    accept = Acceptance.of_run(tiny_config(method="dfr", robust="federated"), nobody)
    assert accept.objection("features", 2, REQUESTS["features"], GOOD["features"]) == ""
    return accept


def objection(action: str, arrays: dict[str, Any] | None = None, **numbers: Any) -> str:
    """What is said of the true reply with some things other than they were."""
    good = GOOD[action]
    changed = Payload({**good.arrays, **(arrays or {})}, {**good.numbers, **numbers})
    return judge().objection(action, 2, REQUESTS[action], changed)


@pytest.mark.parametrize("action", ACTIONS)
def test_what_a_machine_says_is_accepted_and_again(action: str) -> None:
    accept = judge()
    for _ in range(2):
        assert accept.objection(action, 2, REQUESTS[action], GOOD[action]) == ""


@pytest.mark.parametrize("action", [action for action in ACTIONS if action != "features"])
def test_sums_of_a_machine_that_has_not_counted_its_rows_are_refused(action: str) -> None:
    accept = Acceptance.of_run(tiny_config(method="dfr", robust="federated"), nobody)
    assert "has not said before how many validation rows" in accept.objection(action, 2, REQUESTS[action], GOOD[action])


@pytest.mark.parametrize(("action", "name"), [(a, n) for a, good in GOOD.items() for n in good.arrays])
def test_arrays_have_the_shapes_and_kinds_that_the_request_asks_for(action: str, name: str) -> None:
    good = GOOD[action].arrays[name]
    for bad in (good[..., None], good[:-1], good.astype(np.float32)):
        assert f"its {name} is" in objection(action, {name: bad})
    if good.dtype == np.float64:
        wild = good.copy()
        wild.flat[0] = np.nan
        assert objection(action, {name: wild}) == f"{name} has values that are not finite"


def test_rows_cannot_change_nor_labels_differ_from_trains() -> None:
    accept = judge()
    other = Payload({}, {**GOOD["features"].numbers, "count": [6, 6, 6, 7]})
    assert "not those that it had before" in accept.objection("features", 2, REQUESTS["features"], other)
    accept = judge()
    accept.census[2] = [1, 2, 3]
    assert "2 labels in validation and 3 in train" in accept.objection(
        "features", 2, REQUESTS["features"], GOOD["features"]
    )
    assert "features of width" in objection("features", width=10**6)
    assert "it has 4 groups" in objection("features", labels=3)
    assert "it has 4 groups" in objection("features", labels=0)


def test_moments_fit_their_rows() -> None:
    assert "sums over 23 of its 24 rows" in objection("moments", rows=23)
    assert "sums over 0 of its 24 rows" in objection("moments", rows=0)  # the column of ones says 24
    nothing = {name: np.zeros_like(array) for name, array in GOOD["moments"].arrays.items()}
    assert objection("moments", nothing, rows=0) == ""
    total = GOOD["moments"].arrays["total"].copy()
    total[0] += 1e6  # by Cauchy and Schwarz a sum's square is at most rows times the sum of squares
    assert "smaller than its sums allow" in objection("moments", {"total": total})
    gram = GOOD["moments"].arrays["gram"].copy()
    gram[3, 3] = -1.0
    assert "smaller than its sums allow" in objection("moments", {"gram": gram})


def test_bins_hold_the_rows_that_are_there() -> None:
    counts = GOOD["draw"].arrays["counts"]
    for bad in (counts + 1, -counts, np.zeros_like(counts)):
        assert "counts in bins do not fit" in objection("draw", {"counts": bad})
    inner = Payload(REQUESTS["draw"].arrays, {"draws": [0, 1, 2], "level": 2})
    assert judge().objection("draw", 2, inner, Payload({"counts": np.zeros_like(counts)})) == ""


def test_gradients_are_bounded_by_their_rows() -> None:
    """An intercept's gradient is a sum over rows of a probability less 0 or 1."""
    gradient = GOOD["slope"].arrays["gradient"].copy()
    gradient[0, 0, 0, -1] = 24.5
    assert "larger than its rows allow" in objection("slope", {"gradient": gradient})
    assert "it sums over [25, 24, 24] rows and has 24" in objection("slope", rows=[25, 24, 24])
    assert "it sums over [24] rows" in objection("slope", rows=[24])


def test_scores_are_counts_of_the_rows() -> None:
    correct, count = GOOD["score"].arrays["correct"], GOOD["score"].arrays["count"]
    assert 0 < count.sum() < 24
    for arrays in ({"correct": correct + 30}, {"correct": correct - 30}, {"count": count + 30}):
        assert "more correct predictions than rows" in objection("score", arrays)
