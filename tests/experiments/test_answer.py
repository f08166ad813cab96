from experiments.answer import answer, question
from tests.experiments.test_tables import groups_of


def test_the_answer_names_cost_interval_and_robust_mode() -> None:
    groups = groups_of(
        ({"machines": 1}, [0.80, 0.82, 0.84]), ({"machines": 5}, [0.70, 0.73, 0.74]),
        ({"machines": 1, "robust": "federated"}, [0.80, 0.82, 0.84]),
        ({"machines": 5, "robust": "federated"}, [0.81, 0.81, 0.84]),
    )  # fmt: skip
    text = answer(groups)
    assert question(groups) == "What distribution costs the worst group"
    assert text.startswith("On 5 machines instead of one, JTT's worst-group accuracy on test falls by 9.7 points with")
    assert "(72.3 % instead of 82.0 %; 95 % interval −11.1 to −8.2, 3 paired seeds)" in text
    assert "is not distinguishable with federated robust training (0.0 points, 82.0 % instead of 82.0 %" in text
    assert "From central to federated robust training, on as many machines, it rises by 9.7 points" in text


def test_the_answer_says_when_there_is_one_seed_or_nothing_to_compare() -> None:
    assert "one seed, so there is no interval" in answer(groups_of(({"machines": 1}, [0.8]), ({"machines": 2}, [0.7])))
    alone = answer(groups_of(({"machines": 4}, [0.75])))
    assert "do not say what distribution costs" in alone
    assert "JTT, central, 4 machines: 75.0 %" in alone


def test_runs_that_all_failed_the_worst_group_are_not_called_equal() -> None:
    assert "cannot tell the settings apart" in answer(
        groups_of(({"machines": 1}, [0.0, 0.0]), ({"machines": 5}, [0.0, 0.0]))
    )


def test_the_answer_pairs_the_modes_where_only_one_uses_a_key() -> None:
    federated = {"robust": "federated", "machines": 5}
    groups = groups_of(
        ({"machines": 1}, [0.8, 0.8]), ({"machines": 5}, [0.7, 0.7]),
        ({**federated, "robust-schedule": "same-epochs"}, [0.6, 0.6]), ({**federated, "machines": 2}, [0.75, 0.75]),
    )  # fmt: skip
    assert "it falls by 10.0 points (60.0 % instead of 70.0 %" in answer(groups)


def test_of_methods_the_best_is_named_with_those_that_are_as_good() -> None:
    """GroupDRO is 5 points below the oracle in every seed; JTT's differences, +10, -10 and 0 points, cover 0."""
    groups = groups_of(
        ({"method": "erm", "machines": 1}, [0.2, 0.3, 0.1]), ({"method": "jtt", "machines": 1}, [0.8, 0.8, 0.9]),
        ({"method": "group-balanced", "machines": 1}, [0.9, 0.7, 0.92]),
        ({"method": "group-dro", "machines": 1}, [0.85, 0.65, 0.87]),
    )  # fmt: skip
    text = answer(groups)
    assert question(groups) == "Methods for the worst group"
    assert text.startswith("The best worst-group accuracy on test has oracle (group-balanced)")
    assert "Not distinguishable from it, paired by seed: JTT" in text
    assert "GroupDRO" not in text
    assert "Beside it, ERM, central, 1 machine: 20.0 ± 24.8 %." in text  # t of three values 4.303 x 10 / sqrt(3)
