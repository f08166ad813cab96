"""Tables by hand: two seeds of made-up spectra."""

from experiments.analyse.spectrum import Names, settings_of
from experiments.analyse.spectrum_tables import correlation_table, imbalance_table, remarks
from fedjtt.spectrum import Imbalance
from tests.experiments.analyse.made_runs import analysed, group, two_classes

NAMES = Names(("cat", "dog"), ("day", "night"))


def test_imbalance_is_a_mean_over_seeds() -> None:
    """t for two seeds is 12.706: rho 1 and 2 have mean 1.5 and half width 12.706 x .7071 / sqrt(2) = 6.353."""
    settings = settings_of([two_classes((1.0, 0.5), (0.2, 0.1)), two_classes((2.0, 0.5), (0.4, 0.1), seed=1)], {})
    table = imbalance_table(settings, NAMES)
    cells = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    assert cells[0] == {
        "setting": "ERM, central, 1 machine", "class": "cat", "minority / majority": "night / day", "rows": "9 / 90",
        "seeds": "2", "λ₁ minority": "3 ± 13", "λ₁ majority": "2 ± 0", "rho": "1.5 ± 6.4", "rho by seed": "1, 2",
        "difference": "+30.0 ± 127.1",
    }  # fmt: skip
    assert (cells[1]["class"], cells[1]["minority / majority"], cells[1]["rho"]) == ("dog", "day / night", "0.5 ± 0")


def test_a_class_without_rho_shows_why() -> None:
    classes = {0: Imbalance(0, None, None, None, "one group"), 1: Imbalance(1, 0, 1, 3.0)}
    groups = [group(0, 0, 9, 1.0), group(0, 1, 0), group(1, 0, 2, 3.0), group(1, 1, 8, 1.0)]
    run = analysed(classes, groups, {(1, 0): 0.5, (1, 1): 0.5})
    table = imbalance_table(settings_of([run], {}), NAMES)
    assert table.rows[0][1:] == ("cat", "one group", "–", "0", "–", "–", "–", "–", "–")
    assert table.rows[1][1:] == ("dog", "day / night", "2 / 8", "1", "3", "1", "3", "3", "0.0")
    assert remarks(settings_of([run], {}), NAMES) == ["class cat has no rho: one group (1 of 1 run)"]


def test_who_the_minority_is_may_differ_between_seeds() -> None:
    classes = {0: Imbalance(0, 0, 1, 0.5), 1: Imbalance(1, 0, 1, 0.5)}
    groups = [group(0, 0, 8, 1.0), group(0, 1, 88, 2.0), group(1, 0, 7, 1.0), group(1, 1, 80, 2.0)]
    other = analysed(classes, groups, {}, seed=1)
    runs = [two_classes((1.0, 0.5), (0.2, 0.1)), other, two_classes((1.0, 0.5), (0.2, 0.1), seed=2)]
    first = imbalance_table(settings_of(runs, {}), NAMES).rows[0]
    assert first[2:4] == ("night / day (2); day / night (1)", "8–9 / 88–90")


def test_correlation_is_by_setting_and_over_all() -> None:
    """ERM: rho 1, 2, 3, 4 with differences rising: 1. The oracle's two points have none."""
    runs = [
        two_classes((1.0, 2.0), (0.1, 0.2)), two_classes((3.0, 4.0), (0.3, 0.5), seed=1),
        two_classes((0.5, 0.7), (0.6, 0.7), method="group-balanced"),
    ]  # fmt: skip
    table = correlation_table(settings_of(runs, {}))
    assert table.rows[0] == ("ERM, central, 1 machine", "4", "1.00", "4 of 4")
    assert table.rows[1] == ("oracle (group-balanced), central, 1 machine", "2", "–", "0 of 2")
    # Ranks of rho 3, 4, 5, 6, 1, 2 beside those of the differences 1, 2, 3, 4, 5, 6: 1 - 6 x 48 / (6 x 35)
    assert table.rows[2] == ("all settings", "6", "−0.37", "4 of 6")
    assert len(correlation_table(settings_of(runs[:2], {})).rows) == 1


def test_what_was_left_out_is_said() -> None:
    classes = {0: Imbalance(0, 1, 0, None, "attribute 1 has 1 of at least 2 rows"), 1: Imbalance(1, 0, 1, 1.0)}
    groups = [group(0, 0, 9, 1.0, n=7), group(0, 1, 1), group(1, 0, 2, 1.0), group(1, 1, 8, 1.0)]
    said = remarks(settings_of([analysed(classes, groups, {}), two_classes((1, 1), (0, 0), seed=1)], {}), NAMES)
    assert said == [
        "class cat has no rho: attribute 1 has 1 of at least 2 rows (1 of 2 runs)",
        "group (cat, day): some rows are in no sum, for machines have fewer than min-count of them (1 of 2 runs)",
        "group (cat, night) has no spectrum: its covariance is over 1 rows, and needs 2 (1 of 2 runs)",
    ]
