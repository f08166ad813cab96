"""Each warning where it is due, with its numbers, and none where all is well."""

import re
from typing import Any

import pytest

from experiments.cautions import Caution, cautions_of
from fedjtt.config import RunConfig
from tests.experiments.test_findings import facts, history, identified, machine, split, usual

NAMES = re.compile(r"\b(?:identify|upsample|robust|learning|weight|proximal)-[a-z]+(?:-[a-z]+)*")


def cautions(lines: list[dict[str, Any]] | None = None, **changes: Any) -> tuple[Caution, ...]:
    """Return the warnings; whatever they name in their advice is a key of the configuration."""
    seen = cautions_of(facts(lines, **changes))
    for caution in seen:
        assert set(NAMES.findall(caution.advice)) <= set(RunConfig.keys()), caution.advice
        assert caution.advice
    return seen


def only(lines: list[dict[str, Any]] | None = None, **changes: Any) -> Caution:
    (caution,) = cautions(lines, **changes)
    return caution


def with_test(*correct: int) -> dict[str, Any]:
    """Test and validation with the same shares, so that only their level is odd."""
    doubled = tuple(2 * each for each in correct)
    return {"test": split("test", correct), "validation": split("validation", doubled)}


def test_nothing_is_odd_about_a_good_run() -> None:
    assert cautions() == ()
    assert cautions(config={"method": "erm"}, identification=None) == ()
    unknown = identified(machine(100, 12, None), machine(60, 8, None))
    known_not = {"test": split("test", (9, 8), False), "validation": split("validation", (18, 16), False)}
    assert cautions(identification=unknown, **known_not) == ()


def test_an_empty_error_set() -> None:
    caution = only(identification=identified(machine(100, 0, 10), machine(60, 0, 6), factor=1))
    assert "error set is empty" in caution.text
    assert "identify-epochs (now 4)" in caution.advice
    assert caution.covers == "error set is empty"


def test_a_common_model_that_was_left_out() -> None:
    empty = identified(machine(100, 0, 10), machine(60, 0, 6), factor=1, rounds=2, tries=2, flaw="90 of 160 are wrong")
    caution = only(config={"identify": "federated"}, identification=empty)
    assert "useless in 2 tries (90 of 160 are wrong)" in caution.text
    assert "identify-clip-norm = 1 (now 0.0)" in caution.advice


def test_a_second_try_of_a_common_model() -> None:
    again = {**usual(), "rounds": 4, "tries": 2, "flaw": ""}
    caution = only(config={"identify": "federated", "identify-clip-norm": 1.0}, identification=again)
    assert "a second try was used" in caution.text
    assert caution.advice == "a smaller identify-learning-rate (now 0.1)"  # the gradients are short already


def test_useless_machines_and_second_tries_are_counted() -> None:
    rows = [machine(50, 0, 2, useless=True, tries=2), machine(50, 6, 6, 6, tries=2), machine(60, 8, 6, 6)]
    first, second = cautions(identification=identified(*rows))
    assert first.text.startswith("The identification model is useless on 1 of 3 machines (number 0)")
    assert second.text.startswith("The identification model was useless at first on 1 of 3 machines (number 1)")


def test_low_precision() -> None:
    # 30 called wrong, of which 12 are among the 16 minority: precision 12/30, recall .75
    caution = only(identification=identified(machine(100, 20, 10, 8), machine(60, 10, 6, 4), factor=4))
    assert caution.text.startswith("Precision is 40.0 %: 18 of the 30 upsampled examples are of the majority")
    assert "misses" not in caution.text
    assert "a machine's model took 30 steps" in caution.advice


def test_low_precision_and_recall_are_one_warning() -> None:
    rows = [machine(100, 20, 10, 2, steps=25), machine(60, 10, 6, 1)]  # 3 of 30, and of 16
    caution = only(identification=identified(*rows, factor=4))
    assert "Precision is 10.0 %: 27 of the 30" in caution.text
    assert "it misses 13 of the 16 minority examples" in caution.text
    assert "25 to 30 steps" in caution.advice


def test_low_recall() -> None:
    caution = only(identification=identified(machine(100, 3, 10, 3), machine(60, 2, 6, 2), factor=31))
    assert caution.text.startswith("Recall is 31.2 %: 11 of the 16 minority examples are not in the error set")
    assert "identify = federated" in caution.advice


def test_what_useless_machines_hold_was_not_learned_by_heart() -> None:
    # 6 of the 14 minority examples are found, but 8 of them stand on a useless machine: 6 of the others' 6.
    rows = [machine(60, 0, 8, useless=True), machine(100, 6, 6, 6)]
    assert only(identification=identified(*rows, factor=25)).covers == "useless"


def test_machines_without_minority_and_without_errors() -> None:
    rows = [machine(100, 20, 22, 18), machine(60, 4, 0), machine(60, 0, 1), *[machine(60, 9, 9, 9)] * 2]
    none, silent = cautions(identification=identified(*rows, factor=7))
    assert "no minority example on 1 of 5 machines (number 1): what is called wrong there (4)" in none.text
    assert "Nothing is called wrong on 1 of 5 machines (number 2)" in silent.text


def test_many_machines_are_named_in_part() -> None:
    rows = [machine(100, 20, 20, 20), *[machine(60, 0, 0)] * 7]
    caution = only(identification=identified(*rows))
    assert "on 7 of 8 machines (number 1, 2, 3, 4, 5 and 2 more)" in caution.text


def test_one_machine_that_is_worse_than_the_rest() -> None:
    # Together 27 of 35 and of 37; machine 1 has 4 of 12 and 4 of 6, machine 2 has 3 of 3 and 3 of 11.
    rows = [machine(100, 20, 20, 20), machine(60, 12, 6, 4), machine(60, 3, 11, 3)]
    precision, recall = cautions(identification=identified(*rows))
    assert precision.text == "Precision is below 50 % on 1 of 3 machines (number 1); over all it is 77.1 %."
    assert recall.text == "Recall is below 50 % on 1 of 3 machines (number 2); over all it is 73.0 %."


@pytest.mark.parametrize(("guard", "first"), [(True, "identify for longer"), (False, "identify-guard = true")])
def test_more_than_a_third_called_wrong(guard: bool, first: str) -> None:
    rows = [machine(90, 31, None), machine(90, 30, None)]  # a third of 90 is still allowed
    caution = only(config={"identify-guard": guard}, identification=identified(*rows))
    assert "More than a third of the examples are called wrong on 1 of 2 machines (number 0)" in caution.text
    assert caution.advice.startswith(first)


def test_uneven_machines() -> None:
    rows = [machine(120, 15, 12, 12), machine(40, 5, 4, 4)]  # three times as large
    assert "40 to 120 examples each" in only(identification=identified(*rows)).text
    uneven = {**usual(), "unevenness": 0.4}
    assert cautions(identification=uneven) == ()  # iid: by chance
    caution = only(config={"partition": "group-dirichlet", "robust": "central"}, identification=uneven)
    assert "unevenness of their groups 0.40" in caution.text
    assert "partition = iid (now group-dirichlet)" in caution.advice
    assert "fedprox" not in caution.advice
    assert "fedprox" in only(config={"partition": "group-dirichlet"}, identification=uneven).advice


def test_a_factor_of_one() -> None:
    caution = only(identification={**usual(), "upsample-factor": 1})
    assert caution.text == "No upsampling: the factor is 1 (20 of 160 examples are called wrong)."
    assert "a larger upsample-fraction (now 1.0)" in caution.advice
    assert (
        only(config={"upsample": 1}, identification={**usual(), "upsample-factor": 1}).advice
        == "upsample = auto (now 1)"
    )
    extra = {**usual(), "upsample-factor": 1}  # twice in all, and the worst group is not far behind
    assert cautions(config={"upsample-convention": "extra"}, identification=extra) == ()


def test_a_factor_below_the_balance_point_matters_where_the_worst_group_lags() -> None:
    low = {**usual(), "upsample-factor": 5}  # the balance point is 7
    assert cautions(identification=low) == ()
    caution = only(identification=low, **with_test(10, 5, 9, 9))  # .5 against 33/40
    assert "32.5 points behind the average and the factor, 5, is below the balance point, 7.0" in caution.text
    assert caution.advice == "upsample-fraction = 1, the balance point (now 1.0)"


def test_a_worst_group_that_lags_for_another_reason() -> None:
    lag = with_test(10, 5, 9, 9)
    assert "what was trained on is learned (training loss 0.05)" in only(**lag).text
    # guessing between two labels costs ln 2 = 0.69; .3 of that is 0.21
    unlearned = only(history(0.2, 0.75, 0.7, loss=0.4), **lag)
    assert "training loss is 0.40 (guessing: 0.69)" in unlearned.text
    assert unlearned.advice == "a smaller learning-rate (now 0.02), or clip-norm = 1 (now 0)"  # it does not fall at all
    falling = history(0.2, 0.75, 0.7, loss=0.4)
    falling[1]["loss"] = 0.6  # in the first round
    assert "robust-epochs (now 5)" in only(falling, **lag).advice
    erm = only(config={"method": "erm"}, identification=None, **lag)
    assert (erm.advice, "plain training takes the shortcut" in erm.text) == ("method = jtt", True)
    poor = identified(machine(100, 20, 10, 8), machine(60, 10, 6, 4), factor=5)
    assert only(identification=poor, **lag).text.startswith("Precision")  # which is reason enough


def test_a_model_that_guesses() -> None:
    # 22 of 40 is below 1.5 / 2
    assert "average accuracy 55.0 % with 2 labels" in only(**with_test(6, 5, 6, 5)).text


def test_the_first_round_selected() -> None:
    caution = only(history(0.75, 0.5, 0.6), **{"selected-round": 1})
    assert (
        "The first of 3 rounds was selected (worst group accuracy on validation 75.0 %, in the last round 60.0 %)"
        in (caution.text)
    )
    assert "learning-rate (now 0.02)" in caution.advice
    assert cautions(history(0.0, 0.0), **{"selected-round": 1}) == ()  # no round was better than another


def test_the_last_round_selected_while_climbing() -> None:
    caution = only(history(0.2, 0.6, 0.75), **{"selected-round": 3})
    assert "still climbing: worst group accuracy on validation 75.0 %, at best 60.0 % before" in caution.text
    assert "robust-epochs (now 5) or robust-min-steps; or robust-schedule = same-updates" in caution.advice
    central = only(history(0.2, 0.6, 0.75), config={"robust": "central"}, **{"selected-round": 3})
    assert "robust-schedule" not in central.advice
    assert cautions(history(0.2, 0.745, 0.75), **{"selected-round": 3}) == ()  # half a point: it has arrived


def test_the_last_round_kept_although_another_was_better() -> None:
    caution = only(history(0.2, 0.75, 0.6), config={"selection": "last"}, **{"selected-round": 3})
    assert "75.0 % against 60.0 %" in caution.text
    assert cautions(history(0.2, 0.64, 0.6), config={"selection": "last"}, **{"selected-round": 3}) == ()


@pytest.mark.parametrize("lines", [[], history(0.75)], ids=["no history", "one round"])
def test_there_is_no_choice_of_a_round_to_judge(lines: list[dict[str, Any]]) -> None:
    assert cautions(lines, **{"selected-round": 1}) == ()


def test_validation_and_test_apart() -> None:
    caution = only(validation=split("validation", (20, 13, 18, 18)))  # .65 against .8
    assert "differs by 15.0 points between validation (65.0 %) and test (80.0 %)" in caution.text
    # Wilson, 8 of 10: .490 to .943, so half is 22.7
    assert "with 10 test examples in the worst group, ±22.7 points is chance" in caution.advice


def test_empty_groups() -> None:
    test, validation = split("test"), split("validation")
    test["groups"][2] |= {"count": 0, "correct": 0}
    validation["groups"][3] |= {"count": 0, "correct": 0}
    first, second = cautions(test=test, validation=validation)
    assert first.text.startswith("There is no test example of 1 of 4 groups (label 1, attribute 0)")
    assert second.text.startswith("There is no validation example of 1 of 4 groups (label 1, attribute 1)")
