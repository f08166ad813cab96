"""A small run made by hand; every expected number is worked out in the comments beside it."""

from typing import Any

import pytest

from experiments.findings import Facts, Identification, Machine, facts_of, percent

# Two labels, two attributes. Test: 10 each, 36 of 40 right; validation: 20 each, 71 of 80 right.
CORRECT = {"test": (10, 8, 9, 9), "validation": (20, 15, 18, 18)}
COUNT = {"test": 10, "validation": 20}
CONFIG: dict[str, Any] = {
    "dataset": "digits", "method": "jtt", "machines": 2, "robust": "federated", "seed": 3, "partition": "iid",
    "identify": "local", "identify-epochs": 4, "identify-min-steps": 0, "identify-learning-rate": 0.1,
    "identify-weight-decay": 0.03, "identify-clip-norm": 0.0, "identify-guard": True, "upsample": "auto",
    "upsample-fraction": 1.0, "upsample-convention": "copies", "robust-epochs": 5, "robust-rounds": 3,
    "robust-schedule": "same-epochs", "learning-rate": 0.02, "weight-decay": 0.01, "selection": "val-worst-group",
}  # fmt: skip


def split(name: str, correct: tuple[int, ...] | None = None, known: bool = True) -> dict[str, Any]:
    right, count = correct or CORRECT[name], COUNT[name]
    pairs = [(0, 0), (0, 1), (1, 0), (1, 1)] if known else [(label, None) for label in range(len(right))]
    classes = [sum(right[:2]) / 2 / count, sum(right[2:]) / 2 / count] if known else [each / count for each in right]
    return {
        "worst-group-accuracy": min(right) / count if known else None, "worst-class-accuracy": min(classes),
        "average-accuracy": sum(right) / count / len(right), "adjusted-average-accuracy": None,
        "groups": [{"label": label, "attribute": attribute, "count": count, "correct": each}
                   for (label, attribute), each in zip(pairs, right, strict=True)],
        "empty-groups": 0,
    }  # fmt: skip


def machine(samples: int, errors: int, minority: int | None, hits: int = 0, **more: Any) -> dict[str, Any]:
    known = {} if minority is None else {"minority": minority}
    return {
        "samples": samples, "error-set-size": errors, "steps": 30, **known,
        "precision": hits / errors if errors and minority is not None else None,
        "recall": hits / minority if minority else None, "tries": 1, "useless": False, "seconds": 0.5, **more,
    }  # fmt: skip


def identified(*machines: dict[str, Any], factor: int = 7, **more: Any) -> dict[str, Any]:
    """Add the machines up: precision = hits / errors, recall = hits / minority, nominal = (N - |E|) / |E|."""
    examples, errors = (sum(each[key] for each in machines) for key in ("samples", "error-set-size"))
    known = all("minority" in each for each in machines)
    minority = sum(each.get("minority", 0) for each in machines)
    hits = sum(round((each["recall"] or 0) * each.get("minority", 0)) for each in machines)
    return {
        "error-set-size": errors, "precision": hits / errors if errors and known else None,
        "recall": hits / minority if minority else None, **({"minority": minority} if known else {}),
        "unevenness": 0.05, "upsample-factor": factor, "nominal": (examples - errors) / errors if errors else None,
        "machines": list(machines), **more,
    }  # fmt: skip


def usual() -> dict[str, Any]:
    """160 examples, 20 called wrong, 16 minority, 15 of them found."""
    return identified(machine(100, 12, 10, 9), machine(60, 8, 6, 6))


def result(config: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    """Return the result of a run about which nothing is odd, but for the changes."""
    return {
        "config": {**CONFIG, **(config or {})}, "run-id": "0123456789abcdef", "digest": "ab" * 32,
        "test": split("test"), "validation": split("validation"), "identification": usual(), "selected-round": 2,
        "seconds": {"identify": {"sum": 0.9, "slowest": 0.5}, "robust": 1.5, "robust-sum": 2.6, "total": 2.0,
                    "wall": 3.0},
        "bytes": {"sent": 5_001_500, "received": 6_000_300, "identify": {"sent": 1500, "received": 300},
                  "robust": {"sent": 5_000_000, "received": 6_000_000}},
        "notes": [], **changes,
    }  # fmt: skip


def history(*worst: float, loss: float = 0.05) -> list[dict[str, Any]]:
    """Return a line a round, ten steps each, with these worst-group (and -class) accuracies on validation."""
    first = {"stage": "identify", "round": 2, "rounds": 2, "error-set-size": 20, "time": 1.0}
    return [first] + [
        {"stage": "robust", "round": number, "rounds": len(worst), "steps": 10 * number, "loss": loss,
         "validation.worst-group-accuracy": value, "validation.worst-class-accuracy": value,
         "validation.average-accuracy": 0.5 + value / 4}
        for number, value in enumerate(worst, start=1)
    ]  # fmt: skip


def facts(lines: list[dict[str, Any]] | None = None, **changes: Any) -> Facts:
    return facts_of(result(**changes), history(0.2, 0.75, 0.7) if lines is None else lines)


def found_of(given: Facts) -> Identification:
    assert given.identification is not None
    return given.identification


def test_groups_and_the_worst_of_them() -> None:
    seen = facts()
    assert [group.accuracy for group in seen.groups] == [1.0, 0.8, 0.9, 0.9]
    assert [group.validation for group in seen.groups] == [1.0, 0.75, 0.9, 0.9]
    assert seen.worst is not None
    assert seen.worst.name == "label 0, attribute 1"
    assert (seen.measure, seen.worst_accuracy(), seen.worst_accuracy("validation")) == ("group", 0.8, 0.75)


def test_an_empty_group_has_no_accuracy_and_is_not_the_worst() -> None:
    test = split("test")
    test["groups"][1] |= {"count": 0, "correct": 0}
    seen = facts(test=test)
    assert seen.groups[1].accuracy is None
    assert seen.worst is not None
    assert seen.worst.name == "label 1, attribute 0"  # 9 of 10, and the first of two such


def test_without_attributes_the_labels_are_the_groups() -> None:
    found = identified(machine(100, 12, None), machine(60, 8, None))
    seen = facts(test=split("test", (10, 7), False), validation=split("validation", (18, 16), False),
                 identification=found)  # fmt: skip
    assert (seen.measure, seen.worst_accuracy()) == ("class", 0.7)
    assert seen.worst is not None
    assert seen.worst.name == "label 1"
    assert (found_of(seen).precision, found_of(seen).recall, found_of(seen).hits) == (None, None, None)


def test_the_error_set_against_the_minority() -> None:
    found = found_of(facts())
    assert (found.examples, found.errors, found.minority, found.hits) == (160, 20, 16, 15)
    assert (found.precision, found.recall) == (0.75, 15 / 16)
    assert [each.number for each in found.machines] == [0, 1]
    assert (found.rounds, found.tries, found.flaw) == (0, 0, "")
    together = found_of(facts(identification={**usual(), "rounds": 3, "tries": 2, "flaw": "it collapsed"}))
    assert (together.rounds, together.tries, together.flaw) == (3, 2, "it collapsed")


def test_an_older_result_says_less_of_a_machine() -> None:
    given = usual()
    given["machines"] = [{k: v for k, v in each.items() if k not in ("tries", "useless")} for each in given["machines"]]
    assert [(each.tries, each.useless) for each in found_of(facts(identification=given)).machines] == [
        (None, False)
    ] * 2


@pytest.mark.parametrize(
    ("convention", "times"),
    [("copies", 7), ("extra", 8)],  # `extra` adds the factor to the one that is there
)
def test_upsampling_beside_the_balance_point(convention: str, times: int) -> None:
    up = facts(config={"upsample-convention": convention}).upsampling
    assert up is not None
    # nominal (160 - 20) / 20 = 7; two labels, so the balance point is (2 - 1) x 7
    assert (up.factor, up.times, up.labels, up.nominal, up.balance) == (7, times, 2, 7.0, 7.0)


def test_without_errors_there_is_no_balance_point() -> None:
    up = facts(identification=identified(machine(100, 0, 10), machine(60, 0, 6), factor=1)).upsampling
    assert up is not None
    assert (up.factor, up.nominal, up.balance) == (1, None, None)


def test_the_worst_machine_first() -> None:
    rows = [
        machine(10, 4, 5, 4),  # 0: precision 1, recall .8
        machine(10, 0, 2),  # 1: found nothing
        machine(10, 0, 0),  # 2: nothing to find, and nothing found: as good as can be
        machine(10, 0, 2, useless=True),  # 3
        machine(10, 4, 2, 1),  # 4: precision .25
    ]
    machines = found_of(facts(identification=identified(*rows))).machines
    assert [each.number for each in sorted(machines, key=lambda each: each.quality)] == [3, 1, 4, 0, 2]


def test_without_attributes_the_largest_error_set_is_the_worst() -> None:
    rows = [machine(10, 2, None), machine(10, 9, None), machine(10, 0, None)]
    machines = found_of(facts(identification=identified(*rows))).machines
    assert [each.number for each in sorted(machines, key=lambda each: each.quality)] == [2, 1, 0]
    assert Machine(0, 0, 0, 0, None, None, None, None, False).quality == (True, False, 1.0)  # no examples: no division


def test_the_robust_stage_by_round() -> None:
    robust = facts().robust
    assert [(each.number, each.steps, each.worst) for each in robust.rounds] == [
        (1, 10, 0.2),
        (2, 20, 0.75),
        (3, 30, 0.7),
    ]
    assert (robust.selected, robust.measure, robust.candidates) == (2, "worst-group-accuracy", 1)


def test_selection_is_judged_by_its_own_measure() -> None:
    robust = facts(config={"selection": "val-average"}).robust
    assert (robust.measure, robust.rounds[1].judged, robust.rounds[1].worst) == ("average-accuracy", 0.6875, 0.75)


def test_of_several_factors_the_best_pass_is_the_one_kept() -> None:
    robust = facts([*history(0.2, 0.3), *history(0.1, 0.9), *history(0.4, 0.5)]).robust
    assert [each.worst for each in robust.rounds] == [0.1, 0.9]
    assert robust.candidates == 3


def test_no_history_and_no_identification() -> None:
    seen = facts([], config={"method": "erm"}, identification=None)
    assert (seen.identification, seen.upsampling, seen.robust.rounds, seen.robust.candidates) == (None, None, (), 1)


def test_traffic_by_stage_without_the_sums() -> None:
    assert facts().traffic == {"identify": (1500, 300), "robust": (5_000_000, 6_000_000)}


def test_a_share_as_a_percentage() -> None:
    assert [percent(value) for value in (0.51666, 1.0, None)] == ["51.7 %", "100.0 %", "unknown"]
