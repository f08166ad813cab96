import math

import pytest

from experiments.statistics import (
    group_accuracy_intervals,
    mean_interval,
    paired_difference,
    spearman,
    speed_up,
    t_quantile,
    wilson,
)


@pytest.mark.parametrize(("n", "from_a_table"), [(2, 12.706), (3, 4.303), (5, 2.776), (10, 2.262)])
def test_t_quantiles_are_those_of_a_printed_table(n: int, from_a_table: float) -> None:
    assert t_quantile(n) == pytest.approx(from_a_table, abs=5e-4)


def test_the_interval_of_three_values_by_hand() -> None:
    # .6, .7, .8: mean .7, deviation .1, so half = 4.3027 x .1 / sqrt(3) = .24842
    value = mean_interval([0.6, 0.7, 0.8])
    assert value is not None
    assert value.half is not None
    assert (value.mean, value.half, value.n) == (pytest.approx(0.7), pytest.approx(0.248414, abs=1e-6), 3)
    assert (value.low, value.high) == (pytest.approx(0.451586, abs=1e-6), pytest.approx(0.948414, abs=1e-6))


def test_one_seed_has_no_interval_and_no_seed_has_no_mean() -> None:
    one = mean_interval([0.5])
    assert one is not None
    assert (one.mean, one.half, one.n, one.low, one.high) == (0.5, None, 1, 0.5, 0.5)
    assert mean_interval([]) is None


def test_a_paired_difference_uses_the_shared_seeds_only() -> None:
    # Differences .1, .2, .3: mean .2, half = 4.3027 x .1 / sqrt(3) = .24842, so 0 is inside.
    difference = paired_difference({0: 0.5, 1: 0.7, 2: 0.9, 7: 0.0}, {2: 0.6, 1: 0.5, 0: 0.4, 8: 1.0})
    assert difference is not None
    assert difference.estimate.mean == pytest.approx(0.2)
    assert difference.estimate.half == pytest.approx(0.248414, abs=1e-6)
    assert list(difference.by_seed) == [0, 1, 2]
    assert (difference.first, difference.second) == (pytest.approx(0.7), pytest.approx(0.5))
    assert difference.verdict == "not distinguishable"


def test_pairing_tells_apart_what_the_spread_between_seeds_hides() -> None:
    difference = paired_difference({0: 0.10, 1: 0.51, 2: 0.90}, {0: 0.12, 1: 0.54, 2: 0.92})
    assert difference is not None
    assert (difference.covers_zero, difference.verdict) == (False, "lower")


@pytest.mark.parametrize(
    ("first", "second", "verdict"),
    [
        ({0: 0.5}, {0: 0.4}, "one seed: no interval"),
        ({0: 0.5, 1: 0.6}, {0: 0.5, 1: 0.6}, "equal in every seed"),
        ({0: 0.50, 1: 0.61}, {0: 0.40, 1: 0.50}, "higher"),
    ],
)
def test_verdicts(first: dict[int, float], second: dict[int, float], verdict: str) -> None:
    difference = paired_difference(first, second)
    assert difference is not None
    assert difference.verdict == verdict


def test_settings_that_share_no_seed_are_not_compared() -> None:
    assert paired_difference({0: 0.5}, {1: 0.4}) is None


def test_wilson_by_hand() -> None:
    # 8 of 10, z = 1.95996, z^2 = 3.84146: centre (.8 + 3.84146/20) / 1.384146 = .716739;
    # half 1.95996 sqrt(.016 + 3.84146/400) / 1.384146 = .226577.
    low, high = wilson(8, 10) or (math.nan, math.nan)
    assert (low, high) == (pytest.approx(0.490162, abs=1e-5), pytest.approx(0.943317, abs=1e-5))
    assert wilson(0, 10) == (0.0, pytest.approx(3.84146 / 13.84146, abs=1e-5))  # z^2 / (n + z^2)
    assert wilson(10, 10) == (pytest.approx(10 / 13.84146, abs=1e-5), pytest.approx(1.0))
    assert wilson(0, 0) is None


def test_a_speed_up_is_a_ratio_seed_by_seed() -> None:
    def rows(*seconds: float) -> list[dict[str, float]]:
        return [{"config.seed": seed, "seconds.total": value} for seed, value in enumerate(seconds)]

    value = speed_up(rows(2.0, 5.0), rows(8.0, 10.0, 99.0))
    assert value is not None
    assert (value.mean, value.n) == (pytest.approx(3.0), 2)  # 8/2 and 10/5
    assert speed_up(rows(1.0), [{"config.seed": 5, "seconds.total": 1.0}]) is None


def test_group_intervals_are_wilsons_with_one_seed_and_students_with_several() -> None:
    def run(name: str, correct: int) -> dict[str, object]:
        groups = [{"label": 0, "attribute": 0, "count": 10, "correct": correct},
                  {"label": 0, "attribute": 1, "count": 0, "correct": 0}]  # fmt: skip
        return {"run-id": name, "test": {"groups": groups}}

    runs = [run("a", 8), run("b", 6), run("c", 7)]
    assert group_accuracy_intervals(runs, {"a"}) == {(0, 0): (0.8, *(wilson(8, 10) or ()))}
    assert group_accuracy_intervals(runs, {"a", "b", "c"}) == {
        (0, 0): (pytest.approx(0.7), pytest.approx(0.451586, abs=1e-6), pytest.approx(0.948414, abs=1e-6))
    }


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ([1.0, 2.0, 3.0], [10.0, 20.0, 15.0], 0.5),  # ranks 1 2 3 and 1 3 2: 1 - 6 x 2 / (3 x 8)
        ([1.0, 2.0, 30.0, 4.0], [1.0, 4.0, 900.0, 16.0], 1.0),
        ([1.0, 2.0, 3.0], [3.0, 2.0, 1.0], -1.0),
        ([1.0, 1.0, 2.0, 3.0], [1.0, 2.0, 3.0, 3.0], 0.8889),  # ranks 1.5 1.5 3 4 and 1 2 3.5 3.5: 4 / 4.5
        ([1.0, 2.0], [1.0, 2.0], None),
        ([1.0, 1.0, 1.0], [1.0, 2.0, 3.0], None),
    ],
)
def test_rank_correlations_by_hand(first: list[float], second: list[float], expected: float | None) -> None:
    found = spearman(first, second)
    assert found == expected if expected is None else found == pytest.approx(expected, abs=1e-4)
