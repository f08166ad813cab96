"""What a machine knows and reports of its error set, and what the server makes of the reports."""

from typing import Any

import numpy as np
import pytest
import torch

from fedjtt.methods.base import Payload
from fedjtt.methods.census import Population
from fedjtt.methods.identification import (
    Found,
    errors_by_label,
    flag_large_sets,
    join_reports,
    pack_found,
    recall_found,
    report_found,
    request_of,
    unpack_found,
)  # fmt: skip
from tests.tiny import node_of, parts_of_a_run, tiny_config, tiny_splits

FOUND = Found(torch.arange(9) % 4 == 1, seconds=1.5, steps=7, flaw="what is wrong", tries=2)


def test_what_was_found_goes_round() -> None:
    again = unpack_found(pack_found(FOUND), 9)
    assert torch.equal(again.mask, FOUND.mask)
    assert (again.seconds, again.steps, again.flaw, again.tries) == (1.5, 7, "what is wrong", 2)


def test_a_machine_recalls_what_its_memo_holds_and_nothing_else() -> None:
    node = node_of(tiny_config(), tiny_splits().train, torch.arange(9))
    assert recall_found(node) is None
    node.memo.update(pack_found(FOUND))
    recalled = recall_found(node)
    assert recalled is not None
    assert torch.equal(recalled.mask, FOUND.mask)


# Rows 3 to 11 of the tiny train set: labels 1 0 1 0 1 0 1 0 1, attribute 1 - label in rows 3 to 7. Rows 4 and 8 are
# in the set: one of the five minority examples and one other, both of label 0.
ROWS, MASK = torch.arange(3, 12), torch.tensor([False, True, False, False, False, True, False, False, False])


@pytest.mark.parametrize("robust", ["central", "federated"])
def test_a_report_by_hand(robust: str) -> None:
    node = node_of(tiny_config(robust=robust), tiny_splits().train, ROWS)
    reply = report_found(node, Payload(numbers={"majority": [0, 1]}), Found(MASK, 0.5, 3, "", 1))
    assert dict(reply.numbers) == {
        "examples": 9, "errors": 2, "label-errors": [2, 0], "label-sizes": [4, 5], "steps": 3, "seconds": 0.5,
        "tries": 1, "useless": 0,
        "minority": 5, "true-positives": 1,
    }  # fmt: skip
    if robust == "central":
        assert reply.arrays["error-ids"].tolist() == [4, 8]
    else:
        assert dict(reply.arrays) == {}


def test_without_a_majority_nothing_is_said_of_the_minority() -> None:
    node = node_of(tiny_config(), tiny_splits(known=False).train, ROWS)
    reply = report_found(node, Payload(), Found(MASK, 0.5, 3, "useless", 1))
    assert set(reply.numbers) == {
        "examples", "errors", "label-errors", "label-sizes", "steps", "seconds", "tries", "useless",
    }  # fmt: skip
    assert reply.integer("useless") == 1


def test_counts_per_label_by_hand() -> None:
    node = node_of(tiny_config(), tiny_splits().train, ROWS)
    assert errors_by_label(node, MASK) == ([2, 0], [4, 5])


def test_a_request_says_what_the_true_minority_is_where_it_is_known() -> None:
    assert request_of(Population([2, 3], [1, 2, 2, 0], [3, 2], 0.0)) == {"examples": 5, "majority": [1, 0]}
    assert request_of(Population([2, 3], None, [3, 2], None)) == {"examples": 5}


def report(examples: int, ids: list[int], seconds: float, **more: Any) -> Payload:
    numbers = {
        "examples": examples, "errors": len(ids), "steps": 3, "seconds": seconds, "tries": 1, "useless": 0,
        "label-errors": [len(ids), 0],
    }  # fmt: skip
    return Payload({"error-ids": np.array(ids, dtype=np.int64)}, {**numbers, **more})


def test_reports_are_joined_by_hand() -> None:
    strategy, _ = parts_of_a_run(tiny_config(), tiny_splits())
    replies = [
        report(10, [8, 2], 1.0, **{"minority": 4, "true-positives": 1}),
        report(20, [], 3.0, **{"minority": 0, "true-positives": 0, "useless": 1, "tries": 2}),
        report(30, [5, 30, 12], 2.0, **{"minority": 2, "true-positives": 2}),
    ]
    found = join_reports(strategy, replies, {"sum": 10.0, "slowest": 4.0}, {"rounds": 5})
    assert (found.examples, found.errors) == ([10, 20, 30], [2, 0, 3])
    assert found.ids is not None
    assert found.ids.tolist() == [2, 5, 8, 12, 30]
    assert found.seconds == {"sum": 16.0, "slowest": 7.0}
    assert found.label_errors == [5, 0]
    machines = found.report.pop("machines")
    assert found.report == {
        "samples": 60, "error-set-size": 5, "precision": 3 / 5, "recall": 3 / 6, "minority": 6, "rounds": 5,
        "flagged": [],
    }  # fmt: skip
    assert [(each["precision"], each["recall"]) for each in machines] == [(1 / 2, 1 / 4), (None, None), (2 / 3, 1.0)]
    assert [(each["tries"], each["useless"]) for each in machines] == [(1, False), (2, True), (1, False)]


def test_where_one_machine_knows_no_attribute_the_whole_is_not_known() -> None:
    strategy, _ = parts_of_a_run(tiny_config(robust="federated"), tiny_splits())
    found = join_reports(strategy, [report(10, [1], 1.0, **{"minority": 4, "true-positives": 1}), report(5, [2], 2.0)])
    assert found.ids is None
    assert (found.report["precision"], found.report["recall"]) == (None, None)
    assert "minority" not in found.report
    assert found.seconds == {"sum": 3.0, "slowest": 2.0}


def test_a_machine_that_calls_too_much_wrong_is_named() -> None:
    """Of 10 examples each, 6 are more than half; 5 are not."""
    strategy, _ = parts_of_a_run(tiny_config(max_error_fraction=0.5), tiny_splits())
    replies = [
        report(10, list(range(errors)), 1.0, **{"minority": 0, "true-positives": 0, "partition-id": machine})
        for machine, errors in ((3, 6), (5, 5), (8, 10))
    ]
    assert flag_large_sets(strategy, replies) == [3, 8]
    assert strategy.notes == ["machines 3, 8 call more than 0.5 of their examples wrong: look at their data"]
    assert flag_large_sets(strategy, replies[1:2]) == []
    assert len(strategy.notes) == 1
