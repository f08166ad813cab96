"""What leaves a machine, message by message: under ``robust = federated`` no id, no row, no label."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedjtt.client_app import make_client_app
from fedjtt.data.host import NoRows
from fedjtt.hosts import hosts_of
from fedjtt.methods import secure, summed
from fedjtt.methods.base import Payload
from fedjtt.provide import provide_parts
from fedjtt.server_app import run_method
from fedjtt.simulation import InProcessGrid
from tests.own_hosts import own_config, write_hosts
from tests.tiny import asked, parts_of_a_run, tiny_config, tiny_splits

PARAMETERS = 5 * 128 + 129 * 128 + 129 * 2
COUNTS = {
    "examples",
    "errors",
    "steps",
    "seconds",
    "tries",
    "useless",
    "minority",
    "true-positives",
    "label-errors",
    "label-sizes",
}
# By action: the arrays that a reply may hold, each a whole network's parameters, and the numbers.
ARRAYS = {"learn": {"weights"}, "lend": {"model"}, "fit": {"weights", "average"}}
NUMBERS = {
    "census": {"examples", "label-counts", "group-counts"},
    "identify": COUNTS,
    "judge": COUNTS,
    "look": {"label-errors", "label-sizes", "both", "either", "seconds"},
    "learn": {"size", "seconds"},
    "lend": {"machine", "steps", "seconds", "tries", "useless"},
    "fit": {"size", "loss", "seconds", "steps"},
    "assess": {"correct", "count", "attributes"},
}
# Lists have an entry for each label or group, never for each example; the tiny data has 2 labels and 4 groups.
LENGTHS = {"label-counts": 2, "group-counts": 4, "label-errors": 2, "label-sizes": 2, "correct": 4, "count": 4}


def replies(**changes: Any) -> list[tuple[str, Payload]]:
    settings = {"evaluation_at": "machines", "identify_learning_rate": 0.05, "identify_epochs": 3, **changes}
    strategy, grid = parts_of_a_run(tiny_config(**settings), tiny_splits())
    seen = asked(grid)
    strategy.run(grid)
    return [(action, reply) for action, _, _, reply in seen]


WAYS = [
    {"identify": "local", "identify_guard": True},
    {"identify": "local", "identify_split": "clusters", "identify_stop": "stable"},
    {"identify": "federated", "identify_guard": True},
    {"identify": "federated", "identify_stop": "stable", "identify_rounds": 4},
    {"identify": "federated", "identify_stop": "stable", "identify_averaging": "rounds", "identify_optimizer": "adamw"},
    {"identify": "federated", "identify_label_correction": 0.9, "identify_optimizer": "adamw"},
    {"identify": "federated", "identify_stop": "val-groups"},
    {"identify": "peers", "identify_guard": True},
    {"identify": "peers", "peer_vote": "mean-loss", "aggregator": "fednova", "averaging": "none"},
]


@pytest.mark.parametrize("changes", WAYS, ids=str)
def test_federated_replies_are_weights_and_the_documented_numbers(changes: dict[str, Any]) -> None:
    seen = replies(robust="federated", **changes)
    expected = {"local": {"identify"}, "federated": {"learn", "judge"}, "peers": {"lend", "judge"}}
    looking = {"look"} if changes["identify"] == "federated" and "identify_stop" in changes else set()
    assert {action for action, _ in seen} == {"census", "fit", "assess"} | expected[changes["identify"]] | looking
    for action, reply in seen:
        assert set(reply.arrays) <= ARRAYS.get(action, set()), action
        for array in reply.arrays.values():
            assert (array.dtype, array.shape) == (np.float32, (PARAMETERS,))
        assert set(reply.numbers) <= NUMBERS[action] | {"partition-id"}, action
        for name, value in reply.numbers.items():
            assert (len(value) if isinstance(value, list) else 0) == LENGTHS.get(name, 0), name


@pytest.mark.parametrize(
    ("identify", "stop"),
    [("local", "last"), ("local", "stable"), ("federated", "last"), ("federated", "stable"),
     ("federated", "val-groups"), ("peers", "last")],
)  # fmt: skip
def test_under_central_the_error_sets_ids_are_all_that_comes_on_top(identify: str, stop: str) -> None:
    """The ids of the set that is used: a look on the way names none."""
    for action, reply in replies(robust="central", identify=identify, identify_stop=stop):
        allowed = ARRAYS.get(action, set()) | ({"error-ids"} if action in ("identify", "judge") else set())
        assert set(reply.arrays) <= allowed
        if "error-ids" in reply.arrays:
            assert len(reply.arrays["error-ids"]) == reply.integer("errors")
        assert set(reply.numbers) <= NUMBERS[action] | {"partition-id"}


WIDTH, FITS = 129, 3
# Sums over rows of validation: of inputs, of their outer products, of gradients for each fit; and counts.
HEAD: dict[str, dict[str, tuple[int, ...]]] = {
    "features": {}, "moments": {"total": (WIDTH,), "squares": (WIDTH,), "gram": (WIDTH, WIDTH)},
    "draw": {"counts": (FITS + 2, 4, 32)}, "score": {"correct": (7, 4), "count": (4,)},
}  # fmt: skip


def test_for_a_new_last_layer_counts_and_sums_over_rows_travel() -> None:
    """Nothing is as long as a machine's rows (eight), and every array has an entry for each feature, bin or group."""
    seen = replies(robust="federated", method="dfr", dfr_fits=FITS)
    assert {action for action, _ in seen} == {"census", "fit", "assess", "slope", *HEAD}
    for action, reply in seen:
        shapes = {name: array.shape for name, array in reply.arrays.items()}
        if action == "slope":
            assert set(shapes) == {"gradient"}
            places, fits, labels, width = shapes["gradient"]
            assert places in (1, 2)
            assert 1 <= fits <= 7
            assert (labels, width) == (2, WIDTH)
            assert set(reply.numbers) == {"rows", "partition-id"}
        elif action in HEAD:
            assert shapes == HEAD[action]
            assert set(reply.numbers) <= {"rows", "count", "labels", "width", "partition-id"}


WIDE = 16
TRIANGLE = WIDE * (WIDE + 1) // 2
# Sums over rows of train or validation, as triangles or by group; 2 labels, 4 groups.
ATTRIBUTION: dict[str, dict[str, set[int]]] = {
    "gram": {"gram": {TRIANGLE}}, "squares": {"squares": {TRIANGLE}}, "target": {"sums": {4 * WIDE}}, "align": {},
    "scatter": {"total": {2 * r for r in range(1, WIDE + 1)},
                "products": {r * (r + 1) for r in range(1, WIDE + 1)}},
    "divide": {}, "rank": {}, "drop": {},
}  # fmt: skip


@pytest.mark.parametrize("method", ["d3m", "auto-d3m"])
@pytest.mark.parametrize("robust", ["central", "federated"])
def test_for_what_examples_do_sums_travel_and_scores_stay(method: str, robust: str) -> None:
    """Of train one sum of products a model (auto-d3m: one more), of validation sums by group; no score, no label."""
    seen = replies(robust=robust, method=method, d3m_remove=7, projection_dimension=WIDE)
    auto = {"squares", "scatter", "divide"}
    others = {"census", "assess"} | ({"fit"} if robust == "federated" else set())
    assert {action for action, _ in seen} == others | (set(ATTRIBUTION) - (auto if method == "d3m" else set()))
    for action, reply in [each for each in seen if each[0] in ATTRIBUTION]:
        named = {"ids"} if action == "drop" and robust == "central" else set()
        assert set(reply.arrays) == set(ATTRIBUTION[action]) | named
        for name, lengths in ATTRIBUTION[action].items():
            assert reply.arrays[name].ndim == 1
            assert len(reply.arrays[name]) in lengths
        counts = {"rows", "negative", "count", "counts", "removed", "label-removed", "group-removed"}
        assert set(reply.numbers) <= counts | {"losses", "seconds", "partition-id"}
        assert all(len(v) in (2, 4, 8192) for v in reply.numbers.values() if isinstance(v, list))


@pytest.mark.parametrize("min_count", [1, 30])
def test_of_own_rows_no_kernel_is_over_fewer_than_min_count(tmp_path: Path, min_count: int) -> None:
    """The third host has 24 train rows: its kernel is empty, and it scores its examples all the same."""
    folder = write_hosts(tmp_path, (1400, 1000, 40))
    config = own_config(folder, method="auto-d3m", min_count=min_count, d3m_remove=9, projection_dimension=WIDE)
    grid = InProcessGrid(make_client_app(provide_parts(hosts_of(config))), config, 3)
    seen = asked(grid)
    removal = run_method(config, grid, provide_parts([NoRows()])).result["removal"]
    kernels = [reply for action, machine, _, reply in seen if action in ("gram", "squares") and machine == 2]
    assert len(kernels) == 2
    for reply in kernels:
        assert any(array.any() for array in reply.arrays.values()) == (min_count == 1)
        assert (reply.integer("rows") > 0) == (min_count == 1)
    for action, _, _, reply in seen:
        if action in ("target", "scatter"):
            assert all(each == 0 or each >= min_count for each in reply.integers("count"))
    assert (removal["removed"], removal["scored"]) == (9, removal["examples"])


@pytest.mark.parametrize("min_count", [1, 6])
def test_of_own_validation_rows_no_sum_is_over_fewer_than_min_count(tmp_path: Path, min_count: int) -> None:
    """The third host has eight validation rows, and fewer in a balanced subset."""
    folder = write_hosts(tmp_path, (600, 400, 40))
    config = own_config(folder, method="dfr", dfr_fits=FITS, min_count=min_count, dfr_penalty=0.3)
    grid = InProcessGrid(make_client_app(provide_parts(hosts_of(config))), config, 3)
    seen = asked(grid)
    wanted = run_method(config, grid, provide_parts([NoRows()])).result["head"]["rows"]
    told = [reply for action, _, _, reply in seen if action == "slope"]
    rows = [each for reply in told for each in reply.integers("rows")]
    assert all(each == 0 or each >= min_count for each in rows)
    taking_part = sum(reply.integers("rows")[0] for reply in told[:3])
    assert (taking_part == wanted) == (min_count == 1)
    for reply in told:
        left_out = [fit for fit, each in enumerate(reply.integers("rows")) if not each]
        assert not reply.arrays["gradient"][:, left_out].any()


@pytest.mark.parametrize("method", ["erm", "group-balanced"])
def test_methods_that_look_for_no_minority_ask_for_none(method: str) -> None:
    for action, reply in replies(robust="federated", method=method):
        assert action in ("census", "fit", "assess")
        assert set(reply.arrays) <= ARRAYS.get(action, set())
        assert set(reply.numbers) <= NUMBERS[action] | {"partition-id"}


def test_what_a_machine_is_sent_holds_no_other_machines_data() -> None:
    """Models, spans and totals: nothing that is as long as a machine's data."""
    for identify, stop in (("local", "last"), ("federated", "last"), ("federated", "stable"), ("peers", "last")):
        config = tiny_config(robust="federated", identify=identify, identify_stop=stop)
        strategy, grid = parts_of_a_run(config, tiny_splits())
        seen = asked(grid)
        strategy.run(grid)
        for action, _, request, _ in seen:
            for array in request.arrays.values():
                assert array.dtype == np.float32
                assert array.shape[-1] == PARAMETERS, action
            assert all(len(value) <= 4 for value in request.numbers.values() if isinstance(value, list))


SECURE_WAYS: list[dict[str, Any]] = [
    {"identify": "local"},
    {"identify": "federated", "identify_stop": "stable", "identify_rounds": 4},
    {"method": "group-balanced"},
]


@pytest.mark.parametrize("changes", SECURE_WAYS, ids=str)
def test_under_secure_aggregation_no_machines_own_counts_or_weights_reach_the_server(changes: dict[str, Any]) -> None:
    """What each machine would have said is noted on the machine; what it did say has none of it.

    Beside masked numbers there are keys, encrypted shares, shares, seconds, and layouts that are the same on all
    machines.
    """
    own: list[bytes] = []
    original = summed.flatten

    def noting(action: str, reply: Payload, machines: int) -> summed.Flat:
        flat = original(action, reply, machines)
        own.extend(array[:4].tobytes() for array in (*reply.arrays.values(), flat.vector))
        return flat

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(secure, "flatten", noting)
        seen = replies(robust="federated", secure_aggregation=True, **changes)
    assert {action for action, _ in seen} >= {"census", "fit", "assess", "keys", "shares", "reveal"}
    received = b"".join(array.tobytes() for _, reply in seen for array in reply.arrays.values())
    assert len(own) >= 12
    assert not any(numbers in received for numbers in own)
    for action, reply in seen:
        assert set(reply.arrays) <= {"masked", "public-keys", "sealed-shares", "shares"}, action
        assert set(reply.numbers) <= {"layout", "seconds", "partition-id"}, action
        # A number of the ring below 2^30 would be a count: of uniform ones that is one in 17 billion.
        assert (reply.arrays.get("masked", np.array([2**63]))[:50] > 2**30).all(), action
    layouts = [reply.integers("layout") for _, reply in seen if "layout" in reply.numbers]
    assert all(layouts[place] == layouts[place - place % 3] for place in range(len(layouts)))  # of three machines


# Of own rows: counts (whole numbers), and sums with an entry for each numeric column.
MOMENTS = {"present": np.int64, "total": np.float64, "squares": np.float64, "category-0": np.int64, "schema": np.uint8}
OWN_PARAMETERS = 7 * 128 + 129 * 128 + 129 * 2
FLOATS = {"seconds", "loss", "size"}


@pytest.mark.parametrize("min_count", [1, 5, 30])
@pytest.mark.parametrize("identify", ["local", "federated", "peers"])
def test_of_own_rows_counts_sums_and_updates_travel(tmp_path: Path, identify: str, min_count: int) -> None:
    """Every message of a whole run, down to the last evaluation; no sum is over fewer than min-count rows."""
    config = own_config(write_hosts(tmp_path), identify=identify, identify_stop="last", min_count=min_count)
    grid = InProcessGrid(make_client_app(provide_parts(hosts_of(config))), config, 3)
    seen = asked(grid)
    run_method(config, grid, provide_parts([NoRows()]))
    assert {"describe", "prepare", "fit", "assess"} <= {action for action, *_ in seen}
    for action, _, _, reply in seen:
        if action == "describe":
            assert {name: array.dtype for name, array in reply.arrays.items()} == MOMENTS
            assert all(array.size <= 6 for name, array in reply.arrays.items() if name != "schema")
            assert all(count == 0 or count >= min_count for count in reply.arrays["present"])
            assert not reply.arrays["total"][reply.arrays["present"] == 0].any()
            assert not reply.arrays["squares"][reply.arrays["present"] == 0].any()
            assert set(reply.numbers) == {"examples", "labels", "attributes", "partition-id"}
            continue
        assert set(reply.arrays) <= ARRAYS.get(action, set()), action
        # A column of which a host may not tell is one that misses numbers: one more input says so.
        expected = OWN_PARAMETERS + (128 if min_count == 30 else 0)
        assert all(array.shape == (expected,) for array in reply.arrays.values()), action
        assert set(reply.numbers) <= NUMBERS.get(action, set()) | {"partition-id"}, action
        for name, value in reply.numbers.items():
            whole = isinstance(value, int) or (isinstance(value, list) and all(isinstance(each, int) for each in value))
            assert whole or name in FLOATS, (action, name)
            assert (len(value) if isinstance(value, list) else 0) == LENGTHS.get(name, 0), name


def test_what_machines_are_told_of_each_other_is_an_encoding_and_models(tmp_path: Path) -> None:
    config = own_config(write_hosts(tmp_path), identify="federated")
    grid = InProcessGrid(make_client_app(provide_parts(hosts_of(config))), config, 3)
    seen = asked(grid)
    run_method(config, grid, provide_parts([NoRows()]))
    for action, _, request, _ in seen:
        for name, array in request.arrays.items():
            assert array.shape[-1] == OWN_PARAMETERS or (action == "prepare" and array.size in (2, 4, 32)), name
