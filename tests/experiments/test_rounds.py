"""Which of a run's rounds were kept, by hand."""

from typing import Any

from experiments.results import flatten
from experiments.rounds import COLUMNS, kept_pass, passes, rounds_csv
from experiments.settings import by_setting
from tests.experiments.test_results import synthetic_result


def line(number: int, worst: float | None, average: float = 0.5, **more: Any) -> dict[str, Any]:
    scores = {"validation.worst-group-accuracy": worst, "validation.average-accuracy": average}
    return {"stage": "robust", "round": number, **scores, **more}


FIRST = [line(1, 0.1), line(2, 0.6), line(3, 0.2)]
SECOND = [line(1, 0.3), line(2, 0.4), line(3, 0.5)]
OTHER = {"stage": "identify", "round": 1}


def test_a_pass_begins_where_the_rounds_do() -> None:
    assert passes([OTHER, *FIRST, *SECOND]) == [FIRST, SECOND]
    assert passes([OTHER]) == []


def test_the_kept_pass_has_the_best_selected_round() -> None:
    assert kept_pass([*FIRST, *SECOND], "val-worst-group") == FIRST  # .6 against .5
    assert kept_pass([*FIRST, *SECOND], "last") == SECOND  # .2 against .5
    assert kept_pass([*FIRST, *FIRST], "val-worst-group") == FIRST
    better = [line(1, 0.6, 0.7)]
    assert kept_pass([*FIRST, *better], "val-worst-group") == better  # ties by the average
    assert kept_pass([], "last") == []


def test_another_score_decides_where_the_selection_has_none_or_says_so() -> None:
    other = [line(1, None, **{"validation.worst-class-accuracy": 0.9})]
    first = [line(1, None, **{"validation.worst-class-accuracy": 0.8})]
    assert kept_pass([*first, *other], "last", "worst-class-accuracy") == other
    assert kept_pass([*first, *other], "val-worst-class") == other


def test_the_csv_has_a_line_a_round_and_marks_the_kept_one() -> None:
    results = [synthetic_result({"method": "erm", "seed": seed}) for seed in (1, 0)]
    looks = [line(number, 0.05 * number, steps=10 * number, epochs=0.5 * number, loss=1.0) for number in (8, 9)]
    groups = by_setting([flatten(result) for result in results])
    text = rounds_csv(groups, {results[0]["run-id"]: looks})  # seed 0 has no metrics.jsonl
    assert text.splitlines() == [
        ",".join(COLUMNS),
        '"ERM, central, 10 machines",1,8,80,4.0,0,0.4,,0.5',
        '"ERM, central, 10 machines",1,9,90,4.5,1,0.45,,0.5',
    ]
