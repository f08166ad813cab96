"""What the server accepts of a reply, rule by rule; every machine here has ten examples, six of label 0."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fedjtt.methods.base import Payload
from strategies.acceptance import Acceptance

LABELS, GROUPS = [6, 4], [5, 1, 1, 3]
SENT = np.zeros(4, np.float32)
FIT = {"round": 1, "first": 2, "last": 5, "total": 9, "factor": 3}


def reply(arrays: dict[str, Any] | None = None, **numbers: Any) -> Payload:
    return Payload(arrays or {}, {name.replace("_", "-"): value for name, value in numbers.items()})


def but(good: Payload, arrays: dict[str, Any] | None = None, without: str = "", **numbers: Any) -> Payload:
    """The reply with some things other than they were, and one left out."""
    changed = {**good.numbers, **{name.replace("_", "-"): value for name, value in numbers.items()}}
    held = {**good.arrays, **(arrays or {})}
    changed.pop(without, None)
    held.pop(without, None)
    return Payload(held, changed)


CENSUS = reply(examples=10, label_counts=LABELS, group_counts=GROUPS)
UPDATE = reply({"weights": np.ones(4, np.float32)}, size=16.0, loss=0.5, seconds=0.1, steps=3)
LEARNT = reply({"weights": np.ones(4, np.float32)}, size=10.0, seconds=0.1)
REPORT = reply(
    {"error-ids": np.array([20, 23, 29])},
    examples=10, errors=3, label_errors=[1, 2], label_sizes=LABELS, minority=2, true_positives=1, steps=5, seconds=0.1,
    tries=1, useless=0,
)  # fmt: skip
LOOK = reply(label_errors=[1, 1], label_sizes=[3, 2], both=1, either=3, seconds=0.1)
MODEL = reply({"model": np.ones(4, np.float32)}, machine=2, steps=5, seconds=0.1, tries=1, useless=0)
SUMS = reply(correct=[2, 0, 1, 1], count=[3, 0, 1, 2], attributes=2)

GOOD = {
    "census": CENSUS, "fit": UPDATE, "learn": LEARNT, "identify": REPORT, "judge": REPORT, "look": LOOK,
    "lend": MODEL, "assess": SUMS,
}  # fmt: skip
REQUESTS = {
    "fit": Payload({"weights": SENT}, FIT),
    "learn": Payload({"weights": SENT}, {"round": 1}),
    "identify": Payload({}, {"examples": 30, "majority": [0, 1]}),
    "judge": Payload({}, {"examples": 30, "majority": [0, 1]}),
    "look": Payload({"weights": SENT}, {"sample": 5}),
    "assess": Payload({"weights": SENT}, {"split": 1}),
}


def owner(machine: int) -> Any:
    """Machine 2 has the ids 20 to 29."""
    return np.arange(10 * machine, 10 * machine + 10)


def judge_of(**settings: Any) -> Acceptance:
    accept = Acceptance(**{"owner": owner, "ids": True, "parameters": 4, **settings})
    assert accept.objection("census", 2, Payload(), CENSUS) == ""
    return accept


def objection(action: str, said: Payload, request: Payload | None = None, **settings: Any) -> str:
    return judge_of(**settings).objection(action, 2, request or REQUESTS.get(action, Payload()), said)


@pytest.mark.parametrize("action", GOOD)
def test_a_good_reply_is_accepted_and_again(action: str) -> None:
    accept = judge_of()
    for _ in range(2):
        assert accept.objection(action, 2, REQUESTS.get(action, Payload()), GOOD[action]) == ""


def test_what_has_no_rule_is_accepted() -> None:
    assert objection("initial", reply({"weights": SENT})) == ""


@pytest.mark.parametrize(("action", "name"), [(a, n) for a in GOOD for n in (*GOOD[a].arrays, *GOOD[a].numbers)])
def test_what_is_missing_is_named(action: str, name: str) -> None:
    assert objection(action, but(GOOD[action], without=name)) == f"it lacks {name}"


@pytest.mark.parametrize("action", GOOD)
def test_an_array_that_nobody_asked_for_is_refused(action: str) -> None:
    assert objection(action, but(GOOD[action], {"rows": SENT})) == "it sends rows, which was not asked for"


def test_where_only_counts_may_leave_a_machine_no_id_may() -> None:
    for action in ("identify", "judge"):
        assert objection(action, GOOD[action], ids=False) == "it sends error-ids, which was not asked for"
        assert objection(action, but(GOOD[action], without="error-ids"), ids=False) == ""


WHOLE = [(a, n) for a in GOOD for n, value in GOOD[a].numbers.items() if isinstance(value, int)]
LISTS = [(a, n) for a in GOOD for n, value in GOOD[a].numbers.items() if isinstance(value, list)]


@pytest.mark.parametrize(("action", "name"), WHOLE)
def test_a_float_is_no_count_and_no_count_is_negative(action: str, name: str) -> None:
    assert objection(action, but(GOOD[action], **{name: 1.5})) == f"{name} is 1.5, not a whole number"
    assert objection(action, but(GOOD[action], **{name: -1})) != ""


@pytest.mark.parametrize(("action", "name"), LISTS)
def test_a_list_of_counts_holds_whole_numbers_from_0(action: str, name: str) -> None:
    good: Any = GOOD[action].numbers[name]
    assert "not whole numbers" in objection(action, but(GOOD[action], **{name: [value + 0.5 for value in good]}))
    assert "is negative" in objection(action, but(GOOD[action], **{name: [-1, *good[1:]]}))
    assert objection(action, but(GOOD[action], **{name: 7})) == f"{name} is 7, not a list"
    assert objection(action, but(GOOD[action], **{name: [*good, 1]})) != ""


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("action", ["fit", "learn", "lend"])
def test_what_is_not_finite_is_refused(action: str, value: float) -> None:
    name = "model" if action == "lend" else "weights"
    bad = np.array([0, value, 0, 0], np.float32)
    assert objection(action, but(GOOD[action], {name: bad})) == f"{name} has values that are not finite"
    assert objection(action, but(GOOD[action], seconds=value)) == "seconds is not finite"


def test_text_is_no_number() -> None:
    assert "str" in objection("fit", but(UPDATE, size="many"))


@pytest.mark.parametrize("action", ["fit", "learn"])
@pytest.mark.parametrize(
    ("weights", "said"),
    [
        (np.ones(5, np.float32), "weights is float32 [5], not float32 [4]"),
        (np.ones((2, 2), np.float32), "weights is float32 [2, 2], not float32 [4]"),
        (np.ones(4), "weights is float64 [4], not float32 [4]"),
        (np.ones(4, np.int64), "weights is int64 [4], not float32 [4]"),
    ],
)
def test_an_update_has_the_shape_and_the_type_of_what_was_sent(action: str, weights: Any, said: str) -> None:
    assert objection(action, but(GOOD[action], {"weights": weights})) == said


def test_averages_are_sent_where_they_are_wanted_and_only_there() -> None:
    both = but(UPDATE, {"average": SENT})
    assert objection("fit", both, average=True) == ""
    assert objection("fit", UPDATE, average=True) == "it lacks average"
    assert objection("fit", both) == "it sends average, which was not asked for"
    assert objection("learn", but(LEARNT, {"average": SENT}), average=True) != ""
    assert "average is float32 [3]" in objection("fit", but(UPDATE, {"average": SENT[:3]}), average=True)


@pytest.mark.parametrize(
    ("numbers", "size", "good"),
    [
        # a factor of 3: ten examples stand from 10 to 40 times (copies: 3 in all; extra: 3 further ones)
        ({"factor": 3}, 10.0, True), ({"factor": 3}, 40.0, True), ({"factor": 3}, 9.0, False),
        ({"factor": 3}, 41.0, False), ({"factor": 3}, 1e9, False), ({"factor": 3}, 0.0, False),
        # ERM: every example once
        ({}, 10.0, True), ({}, 11.0, False), ({}, 9.0, False), ({}, 1e9, False),
        # groups of 5, 1, 1 and 3 by their weights: 5 * .5 + 1 * 2.5 + 1 * 2.5 + 3 * 5/6 = 10
        ({"group-weights": [0.5, 2.5, 2.5, 5 / 6]}, 10.0, True),
        ({"group-weights": [0.5, 2.5, 2.5, 5 / 6]}, 10.1, False),
        # some were cut, nobody else knows how many
        ({"group-weights": [1.0] * 4, "group-cut": [9] * 4}, 0.0, True),
        ({"group-weights": [1.0] * 4, "group-cut": [9] * 4}, 10.0, True),
        ({"group-weights": [1.0] * 4, "group-cut": [9] * 4}, 10.1, False),
    ],
)  # fmt: skip
def test_a_weighted_size_is_one_that_the_examples_can_have(numbers: dict[str, Any], size: float, good: bool) -> None:
    plain = {name: value for name, value in FIT.items() if name != "factor"}
    request = Payload({"weights": SENT}, {**plain, **numbers})
    said = objection("fit", but(UPDATE, size=size), request)
    assert (said == "") == good
    assert good or "which 10 examples do not have" in said


@pytest.mark.parametrize(
    ("kind", "weights", "size", "good"),
    [
        ("class", [1.0, 2.0], 14.0, True), ("class", [1.0, 2.0], 13.0, False),  # 6 and 4
        ("inferred", [1.0, 3.0, 1.0, 2.0], 30.0, True), ("inferred", [1.0, 3.0, 1.0, 2.0], 31.0, False),
        ("machine", [9.0, 9.0, 0.5], 5.0, True), ("machine", [9.0, 9.0, 0.5], 9.0, False),  # it is machine 2
    ],
)  # fmt: skip
def test_weights_are_by_the_groups_of_the_run(kind: str, weights: list[float], size: float, good: bool) -> None:
    request = Payload({"weights": SENT}, {**FIT, "group-weights": weights})
    assert (objection("fit", but(UPDATE, size=size), request, kind=kind) == "") == good


@pytest.mark.parametrize(("seen", "gains"), [([-1.0, 2.0], [0.0, 0.0]), ([1.0, 2.0], [0.0, -0.1])])
def test_losses_and_examples_are_not_negative(seen: list[float], gains: list[float]) -> None:
    said = objection("fit", but(UPDATE, dro_seen=seen, dro_gains=gains), REQUESTS["fit"])
    assert said == "it saw a negative number of examples, or losses"
    assert objection("fit", but(UPDATE, dro_seen=[1.0, 2.0], dro_gains=[0.0, 0.1]), REQUESTS["fit"]) == ""


@pytest.mark.parametrize(
    ("counts", "bins", "good"),
    [
        ([4, 6], False, True),
        ([4, 5], False, False),
        ([4, 5], True, True),
        ([4, 7], True, False),
        ([4, 3, 3], False, False),
    ],
)  # fmt: skip
def test_bins_hold_the_examples(counts: list[int], bins: bool, good: bool) -> None:
    asked = Payload({}, {"group-sizes": [7, 3], **({"bins": [0, 1]} if bins else {})})
    assert (objection("tally", reply(counts=counts), asked) == "") == good


def test_a_machine_names_its_own_examples_where_ids_may_travel() -> None:
    own = reply({"ids": np.arange(20, 30)})
    assert objection("name", own) == ""
    assert objection("name", reply({"ids": np.arange(21, 31)})) == "1 of its 10 ids are not its own"
    assert objection("name", own, ids=False) == "it sends ids, which was not asked for"


@pytest.mark.parametrize("size", [9.0, 11.0, 0.0, 1e12])
def test_the_common_model_weighs_a_machine_by_its_examples(size: float) -> None:
    assert objection("learn", but(LEARNT, size=size)) == f"its weighted size is {size:g}, which 10 examples do not have"


@pytest.mark.parametrize("steps", [0, 2, 4])
def test_a_machine_makes_the_steps_that_it_was_asked_for(steps: int) -> None:
    """Steps 2 to 5 are three; FedNova scales them by the machine's size over the mean: 16 / 8 = 2 makes 4 to 10."""
    assert objection("fit", but(UPDATE, steps=steps)) == f"it made {steps} steps of 3"
    request = Payload({"weights": SENT}, {**FIT, "mean-size": 8.0})
    assert objection("fit", but(UPDATE, steps=steps), request) == f"it made {steps} steps of 6"
    assert objection("fit", but(UPDATE, steps=6), request) == ""


def test_a_bound_on_the_norm_is_kept() -> None:
    """The update (1, 1, 1, 1) from 0 is 2 long."""
    for action in ("fit", "learn"):
        assert objection(action, GOOD[action], max_update_norm=2.0) == ""
        assert objection(action, GOOD[action], max_update_norm=1.9) == "its update is 2 long; max-update-norm is 1.9"


def test_an_average_lies_no_further_than_the_weights_and_the_bound() -> None:
    """The weights sent, 0, are 3 * 2 = 6 from the average sent, (3, 3, 3, 3): it may move by 6 and the bound of 2."""
    request = Payload({"weights": SENT, "average": SENT + 3}, FIT)
    for moved, good in ((0.0, True), (-3.0, True), (-4.0, True), (-4.1, False), (1e6, False)):
        said = objection("fit", but(UPDATE, {"average": SENT + 3 + np.float32(moved)}), request, average=True,
                         max_update_norm=2.0)  # fmt: skip
        assert (said == "") == good
    first = but(UPDATE, {"average": SENT + 1.1})
    assert "its average moved by 2.2" in objection("fit", first, average=True, max_update_norm=2.0)


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (but(CENSUS, examples=11), "its counts do not add up to its 11 examples"),
        (but(CENSUS, label_counts=[6, 5]), "its counts do not add up to its 10 examples"),
        (but(CENSUS, group_counts=[5, 1, 1, 4]), "its counts per group are not those per label"),
        (but(CENSUS, group_counts=[5, 2, 1, 2]), "its counts per group are not those per label"),  # 7 and 3
        (but(CENSUS, examples=12, label_counts=[8, 4], group_counts=[7, 1, 1, 3]), "it counts 12 examples, and its "
         "part has 10"),
        (but(CENSUS, label_counts=[5, 5], group_counts=[4, 1, 2, 3]), "its counts are not those that it gave before"),
        (but(CENSUS, group_counts=[4, 2, 1, 3]), "its counts are not those that it gave before"),
        (but(CENSUS, group_counts=[]), "its counts are not those that it gave before"),
    ],
)  # fmt: skip
def test_a_census_adds_up_and_stays(bad: Payload, said: str) -> None:
    assert objection("census", bad) == said


def test_without_attributes_there_are_no_groups_to_count() -> None:
    accept = Acceptance()
    plain = but(CENSUS, group_counts=[])
    assert [accept.objection("census", 2, Payload(), plain) for _ in range(2)] == ["", ""]


def test_a_refused_census_is_not_remembered() -> None:
    accept = Acceptance(owner=owner)
    assert accept.objection("census", 2, Payload(), but(CENSUS, examples=9, label_counts=[5, 4], group_counts=[])) != ""
    assert accept.objection("census", 2, Payload(), CENSUS) == ""


@pytest.mark.parametrize("action", ["fit", "learn", "identify", "judge", "look"])
def test_a_machine_that_was_never_counted_cannot_be_checked(action: str) -> None:
    said = Acceptance(ids=True).objection(action, 2, REQUESTS[action], GOOD[action])
    assert said == "it has not said before how many examples it has"


@pytest.mark.parametrize("action", ["identify", "judge"])
@pytest.mark.parametrize(
    ("ids", "said"),
    [
        ([20, 23, 30], "1 of its 3 ids are not its own"),
        ([10, 11, 12], "3 of its 3 ids are not its own"),
        ([20, 20, 23], "1 ids stand in it more than once"),
        ([20, 23], "it names 2 ids and announces 3 errors"),
        ([20, 23, 24, 29], "it names 4 ids and announces 3 errors"),
        ([20.0, 23.0, 29.0], "its ids are float64 [3], not a list of whole numbers"),
        ([[20], [23], [29]], "its ids are int64 [3, 1], not a list of whole numbers"),
        ([-20, 23, 29], "1 of its 3 ids are not its own"),
    ],
)
def test_ids_are_the_machines_own_and_each_stands_once(action: str, ids: Any, said: str) -> None:
    assert objection(action, but(GOOD[action], {"error-ids": np.array(ids)})) == said


def test_where_the_server_does_not_know_the_ids_they_may_be_any() -> None:
    foreign = but(REPORT, {"error-ids": np.array([1, 2, 3])})
    accept = Acceptance(ids=True)
    accept.objection("census", 2, Payload(), CENSUS)
    assert accept.objection("identify", 2, REQUESTS["identify"], foreign) == ""


@pytest.mark.parametrize("action", ["identify", "judge"])
@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"examples": 11}, "it reports on 11 examples and has 10"),
        ({"minority": 11}, "1 true positives do not fit 3 errors and 11 minority examples"),
        ({"true_positives": 3}, "3 true positives do not fit 3 errors and 2 minority examples"),
        ({"minority": -1}, "1 true positives do not fit 3 errors and -1 minority examples"),
    ],
)
def test_counts_of_an_error_set_fit_the_examples(action: str, changes: dict[str, Any], said: str) -> None:
    assert objection(action, but(GOOD[action], **changes)) == said


def test_there_are_no_more_errors_than_examples() -> None:
    eleven = but(REPORT, {"error-ids": np.arange(20, 31)}, errors=11)
    assert objection("identify", eleven) == "its errors per label do not add up to 11 of its examples"
    everything = but(REPORT, {"error-ids": np.arange(20, 30)}, errors=10, label_errors=LABELS, true_positives=2)
    assert objection("identify", everything) == ""


def test_without_attributes_no_true_positive_is_asked_for() -> None:
    plain = but(but(REPORT, without="minority"), without="true-positives")
    assert objection("identify", plain, Payload({}, {"examples": 30})) == ""


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"label_errors": [1, 1]}, "its errors per label do not add up to 3 of its examples"),
        ({"label_errors": [7, 0]}, "its errors per label do not add up to 3 of its examples"),
        ({"label_sizes": [5, 5]}, "its counts per label are not those that it gave before"),
    ],
)
def test_a_judgements_counts_per_label_fit(changes: dict[str, Any], said: str) -> None:
    assert objection("judge", but(REPORT, **changes)) == said


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"label_sizes": [7, 2]}, "more examples than it has"),
        ({"label_sizes": [3, 3]}, "more examples than it has"),  # six, and five were asked for
        ({"label_errors": [4, 1]}, "do not fit"),
        ({"both": 3}, "do not fit"),  # of two errors
        ({"either": 0}, "do not fit"),
        ({"either": 6}, "do not fit"),  # of five examples
    ],
)
def test_a_looks_counts_fit_the_sample(changes: dict[str, Any], said: str) -> None:
    assert said in objection("look", but(LOOK, **changes))


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (but(MODEL, machine=1), "it hands out the model of machine 1"),
        (but(MODEL, {"model": np.ones(5, np.float32)}), "its model is float32 [5], not float32 [4]"),
        (but(MODEL, {"model": np.ones(4)}), "its model is float64 [4], not float32 [4]"),
        (but(MODEL, {"model": np.ones((2, 2), np.float32)}), "its model is float32 [2, 2], not float32 [4]"),
    ],
)
def test_a_lent_model_is_the_machines_own_and_has_all_parameters(bad: Payload, said: str) -> None:
    assert objection("lend", bad) == said


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"correct": [4, 0, 1, 1]}, "it has more correct predictions than examples in a group"),
        ({"correct": [2, 0, 1]}, "it has more correct predictions than examples in a group"),
        ({"correct": [2, 0], "count": [3, 3]}, "it counts 2 groups and has 4"),
        ({"attributes": 0}, "it counts 4 groups and has 2"),
    ],
)
def test_correct_predictions_are_among_the_examples(changes: dict[str, Any], said: str) -> None:
    assert objection("assess", but(SUMS, **changes)) == said


def test_evaluation_is_on_the_same_examples_every_time() -> None:
    accept = judge_of()
    request: Callable[[int], Payload] = lambda split: Payload({}, {"split": split})  # noqa: E731
    more = but(SUMS, count=[300, 0, 1, 2])
    assert accept.objection("assess", 2, request(1), SUMS) == ""
    assert accept.objection("assess", 2, request(1), more) == "it evaluates on other counts than before"
    assert accept.objection("assess", 2, request(2), more) == ""


def test_counts_by_the_reference_are_of_the_same_examples() -> None:
    accept = Acceptance()
    accept.census[2] = [5, 7]
    asked = Payload({}, {"split": 1, "by-reference": 1})

    def said(correct: list[int], count: list[int]) -> str:
        cells = {"reference-correct": correct, "reference-count": count}
        return accept.objection("assess", 2, asked, Payload(numbers={**figures, **cells}))

    figures = {"correct": [3, 4], "count": [4, 6], "attributes": 0}
    assert said([2, 1, 4, 0], [3, 1, 5, 1]) == ""
    assert said([2, 1, 4, 0], [3, 1, 4, 2]) == "its reference predicts otherwise than before"
    assert said([4, 1, 2, 0], [3, 1, 5, 1]).startswith("it has more correct predictions than examples in a group of")
    assert said([2, 1, 4, -1], [3, 1, 5, 1]).startswith("it has more correct predictions")
    assert said([2, 1, 4, 0], [3, 1, 5, 2]) == "its counts by the reference are of other examples"
    assert said([2, 5], [4, 6]) == "it counts 2 groups of the reference for 2 labels"
    bare = Payload(numbers=figures)
    assert accept.objection("assess", 2, asked, bare) == "it lacks reference-correct"


KINDS = but(SUMS, kind_correct=[1, 0, 0, 1, 0, 1], kind_count=[2, 0, 1, 1, 0, 3])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, ""),
        ({"kind_correct": [3, 0, 0, 1, 0, 1]}, "it has more correct predictions than examples in an overlapping group"),
        ({"kind_correct": [1], "kind_count": [1]}, "it counts 1 overlapping groups for 2 labels"),
        # Of label 0 it evaluates on 3 examples, of label 1 on 3.
        (
            {"kind_count": [4, 0, 1, 1, 0, 3]},
            "it counts more examples in an overlapping group than it has of the label",
        ),
        ({"without": "kind-count"}, "it lacks kind-count"),
    ],
    ids=str,
)
def test_overlapping_groups_fit_the_groups(changes: dict[str, Any], said: str) -> None:
    accept = Acceptance(owner)
    assert accept.objection("census", 2, Payload(), CENSUS) == ""
    assert accept.objection("assess", 2, REQUESTS["assess"], but(KINDS, **changes)) == said


def test_overlapping_groups_stay_the_same() -> None:
    accept = Acceptance(owner)
    assert accept.objection("census", 2, Payload(), CENSUS) == ""
    assert accept.objection("assess", 2, REQUESTS["assess"], KINDS) == ""
    other = but(KINDS, kind_count=[3, 0, 1, 1, 0, 3])
    assert accept.objection("assess", 2, REQUESTS["assess"], other).endswith("overlapping groups than before")
