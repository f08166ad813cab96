"""What a reader sees: the verdict first, the warnings last, and the right numbers between."""

from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from experiments.explain import explain
from experiments.explanation import identification_lines, robust_lines, show, size, upsampling_lines
from experiments.findings import Upsampling
from tests.experiments.test_findings import facts, found_of, history, identified, machine, result, split, usual


def shown(lines: list[dict[str, Any]] | None = None, width: int = 200, **changes: Any) -> str:
    stream = StringIO()
    given = history(0.2, 0.75, 0.7) if lines is None else lines
    show(explain(result(**changes), given), Console(file=stream, width=width))
    return stream.getvalue()


def cells(text: str, first: str) -> list[list[str]]:
    """Return the table rows whose first cell is `first`."""
    rows = [
        [cell.strip() for cell in line.strip("│ ").split("│")] for line in text.splitlines() if line.startswith("│")
    ]
    return [row for row in rows if row[0] == first]


def test_a_good_run_from_top_to_bottom() -> None:
    text = shown()
    first, second, *_, last = text.strip().splitlines()
    assert first == (
        "Test worst-group accuracy 80.0 % (label 0, attribute 1: 8 of 10), average 90.0 %; nothing is odd."
    )
    assert second == "JTT, robust stage federated, 2 machines, digits, seed 3"
    assert last == "Nothing is odd about this run."
    heads = ["Groups", "Identification (local)", "Upsampling", "Robust stage", "Costs"]
    assert sorted(heads, key=text.index) == heads


def test_groups_with_wilson_intervals() -> None:
    # Wilson by hand, z = 1.96: 8 of 10 is .4901 to .9433; 10 of 10 is 10 / (10 + z^2) = .7225 to 1
    text = shown()
    assert ["0", "1", "10", "80.0", "49.0 to 94.3", "75.0", "worst"] in cells(text, "0")
    assert ["0", "0", "10", "100.0", "72.2 to 100.0", "100.0"] in [row[:6] for row in cells(text, "0")]
    assert text.count("worst │") == 1


def test_an_empty_group_has_dashes() -> None:
    test = split("test")
    test["groups"][1] |= {"count": 0, "correct": 0}
    assert ["0", "1", "0", "–", "–", "75.0"] in [row[:6] for row in cells(shown(test=test), "0")]


def test_of_very_many_groups_the_worst_are_shown() -> None:
    groups = [{"label": n, "attribute": 0, "count": 50, "correct": 50 - n} for n in range(40)]
    text = shown(test={**split("test"), "groups": groups})
    assert "the worst 36 of 40" in text
    assert cells(text, "39")[0][3] == "22.0"  # 11 of 50
    assert cells(text, "3") == []  # label 4 is the 36th from below


def test_the_error_set_in_sentences() -> None:
    assert identification_lines(found_of(facts())) == [
        "Error set: 20 of 160 train examples (12.5 %).",
        "True minority: 16 examples, 15 of them in the error set: precision 75.0 %, recall 93.8 %.",
    ]
    together = found_of(facts(identification={**usual(), "rounds": 3, "tries": 2, "flaw": "it collapsed"}))
    assert identification_lines(together)[-1] == "One common model, 3 rounds in all, 2 tries; left out: it collapsed."
    unknown = found_of(facts(identification=identified(machine(100, 12, None), machine(60, 8, None))))
    assert identification_lines(unknown)[1].startswith("Precision and recall are unknown")


def test_few_machines_are_all_shown_in_their_order() -> None:
    text = shown()
    assert ["0", "100", "12", "30", "10", "75.0", "90.0", "1", "no"] in cells(text, "0")
    assert ["1", "60", "8", "30", "6", "75.0", "100.0", "1", "no"] in cells(text, "1")
    assert "median" not in text


def test_columns_that_nothing_is_known_of_are_left_out() -> None:
    rows = [{k: v for k, v in machine(100, 12, None).items() if k != "tries"}, machine(60, 8, None, tries=None)]
    text = shown(identification=identified(*rows))
    assert "precision, %" not in text
    assert "tries" not in text
    assert ["0", "100", "12", "30", "no"] in cells(text, "0")


def test_of_many_machines_the_worst_and_the_spread() -> None:
    # 15 machines: number n finds n of its 20 minority examples and nothing else; number 3 was useless.
    rows = [machine(100 + n, n, 20, n) for n in range(15)]
    rows[3] = machine(103, 0, 20, useless=True)
    text = shown(identification=identified(*rows))
    table = text[text.index("The worst 12 of 15 machines") :].splitlines()
    numbers = [line.strip("│ ").split()[0] for line in table if line.startswith("│")][:15]
    # Useless first, then the one without errors, then by recall n / 20.
    assert numbers == ["3", "0", "1", "2", "4", "5", "6", "7", "8", "9", "10", "11", "min", "median", "max"]
    assert cells(text, "median") == [["median", "107", "7", "30", "20", "100.0", "35.0", "1"]]
    assert cells(text, "max") == [["max", "114", "14", "30", "20", "100.0", "70.0", "1", "1 in all"]]
    assert cells(text, "min")[0][1:3] == ["100", "0"]


@pytest.mark.parametrize(
    ("times", "said"),
    [
        (14, "That is 50 % of the balance point, (K - 1) x nominal = 28.0 with K = 5 labels: below it"),
        (27, "That is 96 % of the balance point"),
        (28, "That is the balance point, (K - 1) x nominal = 28.0 with K = 5 labels: the spurious attribute does not"),
        (29, "That is the balance point"),  # one more under `extra`
        (30, "That is above the balance point"),
    ],
)
def test_the_factor_beside_the_balance_point(times: int, said: str) -> None:
    first, second = upsampling_lines(Upsampling(times, times, labels=5, nominal=7.0, balance=28.0))
    assert f"stands {times} times in an epoch (factor {times}): {times / 7:.2f} x nominal" in first
    assert "the original takes 0.8 x nominal" in first
    assert second.startswith(said)


@pytest.mark.parametrize(("nominal", "said"), [(None, "without errors"), (0.0, "every example is called wrong")])
def test_no_balance_point(nominal: float | None, said: str) -> None:
    balance = None if nominal is None else 0.0
    (line,) = upsampling_lines(Upsampling(1, 1, 5, nominal, balance))
    assert line.startswith("An error example stands 1 time in an epoch")
    assert said in line


def test_the_robust_stage_in_sentences() -> None:
    rule = "(best worst group on validation: selection val-worst-group)"
    assert robust_lines(facts()) == [
        f"3 rounds, 30 steps on every machine; round 2 is kept {rule}.",
        "Validation worst-group accuracy: 20.0 % in round 1, at best 75.0 % in round 2, 70.0 % in the last.",
        "Training loss: 0.05 in the first round, 0.05 in the last.",
    ]
    central = robust_lines(facts(history(0.4, 0.4), config={"robust": "central", "selection": "last"}))
    assert central[0] == "2 rounds, 20 steps on the server; round 2 is kept (selection last)."
    assert central[1] == "Validation worst-group accuracy: 40.0 % in every round."
    assert robust_lines(facts([]))[0].startswith(f"Round 2 is kept {rule}. No metrics.jsonl")
    assert robust_lines(facts([*history(0.2, 0.3), *history(0.2, 0.75)]))[-1].startswith("2 factors were tried")


def test_costs_by_stage_and_in_all() -> None:
    text = shown()
    assert cells(text, "identify") == [["identify", "0.5", "0.9", "1.5 kB", "300 B"]]
    assert cells(text, "robust") == [["robust", "1.5", "2.6", "5.0 MB", "6.0 MB"]]
    assert cells(text, "total") == [["total", "2.0", "3.5", "5.0 MB", "6.0 MB"]]
    assert [size(number) for number in (0, 999, 1000, 2_500_000_000)] == ["0 B", "999 B", "1.0 kB", "2.5 GB"]


def test_warnings_come_last_with_what_to_try() -> None:
    rows = [machine(100, 40, 10, 8), machine(60, 10, 6, 4)]  # 12 of 50, and more than a third of machine 0's
    text = shown(identification=identified(*rows, factor=2), notes=["three [of] them"], width=400)
    lines = text[text.index("Warnings") :].splitlines()
    assert text.splitlines()[0].endswith("3 warnings, at the end.")
    assert lines[1].startswith("  1. Precision is 24.0 %: 38 of the 50 upsampled examples")
    assert lines[2].startswith("     Try: identify for longer")
    assert lines[3].startswith("  2. More than a third")
    assert lines[4] == "     Try: as for 1."
    assert lines[5] == "  3. Noted by the run: three [of] them."


def test_lines_fit_the_terminal_and_keys_stay_whole() -> None:
    text = shown(width=80, identification=identified(machine(100, 0, 10), machine(60, 0, 6), factor=1))
    assert max(map(len, text.splitlines())) <= 80
    assert "identify-weight-decay" in text


def test_without_identification_there_is_nothing_of_it() -> None:
    text = shown(config={"method": "erm", "robust": "central", "machines": 1}, identification=None)
    assert "ERM, robust stage central, 1 machine, digits, seed 3" in text
    assert "Identification" not in text
    assert "Upsampling" not in text


def test_without_attributes_it_speaks_of_classes() -> None:
    known_not = {"test": split("test", (10, 8), False), "validation": split("validation", (20, 16), False)}
    text = shown(identification=identified(machine(100, 12, None), machine(60, 8, None)), **known_not)
    assert text.startswith("Test worst-class accuracy 80.0 % (label 1: 8 of 10), average 90.0 %")
    assert ["1", "unknown", "10", "80.0", "49.0 to 94.3", "80.0", "worst"] in cells(text, "1")


@pytest.mark.parametrize("changes", [{}, {"precision": 0.1}, {"error-set-size": 0, "precision": None, "recall": 0.0}])
def test_where_only_sums_are_known_no_machine_is_shown(changes: dict[str, Any]) -> None:
    """A result under secure-aggregation: 20 of 160 examples, 12.5 %, or none."""
    found = {**usual(), "samples": 160, "machines": None, "unevenness": None, **changes}
    text = shown(identification=found)
    assert f"Error set: {found['error-set-size']} of 160 train examples" in text
    assert "Nothing is known of single machines: under secure-aggregation the server sees sums." in text
    assert "useless" not in text
    assert ("The error set is empty" in text) == (found["error-set-size"] == 0)
