"""What is accepted of a machine's sums where effects are measured; the machine has two labels and 24 rows a split."""

from typing import Any

import numpy as np
import pytest

from fedjtt.methods.attribute import SCORES, align, gram, squares
from fedjtt.methods.base import Payload
from fedjtt.methods.census import census
from fedjtt.methods.removal import BINS, LIMIT, ZERO, drop, rank
from fedjtt.methods.targets import FOUND, divide, scatter, target
from strategies.acceptance import Acceptance
from strategies.known import nobody
from tests.tiny import node_of, tiny_config, tiny_splits

WIDTH = 6
ACTIONS = {"gram": gram, "squares": squares, "target": target, "scatter": scatter, "divide": divide, "align": align,
           "rank": rank, "drop": drop}  # fmt: skip
CONFIG = tiny_config(method="auto-d3m", robust="federated", projection_dimension=WIDTH)
NODE = node_of(CONFIG, tiny_splits().validation)
NODE.memo.update({SCORES: np.linspace(-1, 1, 24), FOUND: np.arange(24) % 4})
WEIGHTS = NODE.initial_model().vector.numpy().copy()
STACKED = {"weights": WEIGHTS[None], "basis": np.ones((WIDTH, 3))}
REQUESTS = {
    "gram": Payload({"weights": WEIGHTS}, {"model": 0, "width": WIDTH}),
    "squares": Payload({"weights": np.stack([WEIGHTS, WEIGHTS])}, {"width": WIDTH}),
    "target": Payload({"weights": WEIGHTS}, {"model": 0, "width": WIDTH}),
    "scatter": Payload(STACKED, {"width": WIDTH}),
    "divide": Payload({**STACKED, "centres": np.zeros((2, 3)), "components": np.ones((2, 3))}, {"width": WIDTH}),
    "align": Payload({"weights": WEIGHTS[None], "vectors": np.ones((1, WIDTH))}, {"width": WIDTH}),
    "rank": Payload(numbers={"level": 0, "prefix": 0}),
    "drop": Payload(numbers={LIMIT: ZERO}),
}
SCORES_KEPT = NODE.memo[SCORES]
GOOD = {}
for _name, _act in ACTIONS.items():
    GOOD[_name] = _act(NODE, REQUESTS[_name])
    NODE.memo[SCORES] = SCORES_KEPT


def judge(**changes: Any) -> Acceptance:
    accept = Acceptance.of_run(CONFIG.replace(**changes), nobody)
    assert accept.objection("census", 2, Payload(), census(NODE, Payload())) == ""
    accept.held[2, 1] = [6, 6, 6, 6]
    return accept


def objection(action: str, arrays: dict[str, Any] | None = None, **numbers: Any) -> str:
    """What is said of the true reply with some things other than they were."""
    good = GOOD[action]
    named = {name.replace("_", "-"): value for name, value in numbers.items()}
    changed = Payload({**good.arrays, **(arrays or {})}, {**good.numbers, **named})
    return judge().objection(action, 2, REQUESTS[action], changed)


@pytest.mark.parametrize("action", ACTIONS)
def test_what_a_machine_says_is_accepted(action: str) -> None:
    assert judge().objection(action, 2, REQUESTS[action], GOOD[action]) == ""


@pytest.mark.parametrize(("action", "name"), [(a, n) for a, good in GOOD.items() for n in good.arrays])
def test_arrays_have_the_lengths_that_the_request_asks_for(action: str, name: str) -> None:
    good = GOOD[action].arrays[name]
    for bad in (good[:-1], good[None], good.astype(np.float32)):
        assert f"its {name} is" in objection(action, {name: bad})
    assert "not finite" in objection(action, {name: good * np.nan})
    assert "was not asked for" in objection(action, {"row": good})
    lacking = Payload({key: a for key, a in GOOD[action].arrays.items() if key != name}, GOOD[action].numbers)
    assert judge().objection(action, 2, REQUESTS[action], lacking) == f"it lacks {name}"


@pytest.mark.parametrize(
    ("action", "changes", "why"),
    [
        ("gram", {"rows": 23}, "it sums over 23 of its 24 rows"),
        ("gram", {"rows": 0}, "its gram is no sum of squares over 0 rows"),
        ("gram", {"arrays": {"gram": -np.ones(21)}}, "its gram is no sum of squares over 24 rows"),
        ("squares", {"rows": 25}, "it sums over 25 of its 24 rows"),
        ("target", {"count": [6, 6, 6, 7]}, "it counts 25 validation rows and has 24"),
        ("target", {"losses": [1.0, 1.0, 1.0]}, "its losses do not fit"),
        ("target", {"losses": [1.0, 1.0, 1.0, -1.0]}, "its losses do not fit"),
        ("target", {"count": [6, 6, 6, 0]}, "its losses do not fit"),
        ("scatter", {"arrays": {"total": np.full(6, 99.0)}}, "its sums are larger than its validation rows allow"),
        ("scatter", {"count": [20, 20]}, "it counts 40 validation rows and has 24"),
        ("divide", {"count": [12, 12]}, "it counts 2 groups"),
        ("divide", {"count": [12, 12, 1, 0]}, "it counts 25 validation rows and has 24"),
        ("align", {"rows": 23}, "it scores 23 examples"),
        ("align", {"negative": 25}, "25 negatively, and has 24"),
        ("align", {"seconds": -1.0}, "seconds is negative"),
        ("rank", {"counts": [24]}, "it counts in 1 bins"),
        ("rank", {"counts": [23] + [0] * (BINS - 1)}, "it counts 23 of its 24 examples"),
        ("drop", {"removed": 3}, "its counts do not add up to 3 removed examples"),
        ("drop", {"removed": 13, "label_removed": [13, 0]}, "it removes more examples of a label than it has"),
        ("drop", {"group_removed": [1, 0, 0, 0]}, "its counts do not add up to 12 removed examples"),
    ],
)
def test_what_does_not_fit_is_refused(action: str, changes: dict[str, Any], why: str) -> None:
    arrays = changes.pop("arrays", None) if "arrays" in changes else None
    assert why in objection(action, arrays, **changes)


def test_later_bins_may_hold_fewer() -> None:
    request = Payload(numbers={"level": 1, "prefix": 7})
    empty = Payload(numbers={"counts": [0] * BINS})
    assert judge().objection("rank", 2, request, empty) == ""


def test_ids_are_the_machine_s_own_and_as_many_as_it_counts() -> None:
    good = GOOD["drop"]
    ids = NODE.data.train.id[:12].numpy()
    accept = judge(robust="central")
    request = REQUESTS["drop"]
    assert accept.objection("drop", 2, request, Payload({"ids": ids}, good.numbers)) == ""
    assert "names 11 ids" in accept.objection("drop", 2, request, Payload({"ids": ids[:11]}, good.numbers))
    accept.owner = lambda machine: ids[:9]  # noqa: ARG005
    assert "3 of its 12 ids are not its own" in accept.objection(
        "drop", 2, request, Payload({"ids": ids}, good.numbers)
    )
    assert "was not asked for" in judge().objection("drop", 2, request, Payload({"ids": ids}, good.numbers))
