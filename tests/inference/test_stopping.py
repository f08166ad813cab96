"""When to stop, by hand: sets given as (size, examples in both, examples in either)."""

import pytest

from fedjtt.inference.stopping import GROWTH, STABLE_OVERLAP, Watch

Look = tuple[int, int, int]


def watched(looks: list[Look], flawed: tuple[int, ...] = ()) -> tuple[int, int, bool]:
    """Return the number of the look that is kept, how many were taken, and whether there was a stop."""
    watch, kept = Watch(), -1
    for number, look in enumerate(looks):
        if watch.keeps(*look, flawed=number in flawed):
            kept = number
        if watch.stop:
            break
    assert watch.looks == number + 1
    return kept, watch.looks, watch.stop


def test_a_first_look_is_kept_for_want_of_another_and_never_stable() -> None:
    assert watched([(10, 0, 60)]) == (0, 1, False)
    assert watched([(10, 10, 10)]) == (0, 1, False)


def test_the_largest_stable_set_is_kept_and_no_growth_is_the_end() -> None:
    # 20 after 30 others; then overlaps 20/22 = .91 and 22/24 = .92 (stable, growing); then 24/24 without growth.
    looks = [(30, 0, 60), (20, 5, 45), (22, 20, 22), (24, 22, 24), (24, 24, 24), (60, 24, 60)]
    assert watched(looks) == (3, 5, True)


def test_a_row_that_breaks_off_is_replaced_by_a_later_one_and_only_by_one() -> None:
    # stable at the third look; 22/25 = .88 is not: the model learns again, and the third look stands until
    looks = [(30, 0, 60), (20, 5, 45), (22, 20, 22), (25, 22, 25)]
    assert watched(looks) == (2, 4, False)
    # ... the next stable one (19/21 = .9), which may be smaller, and which no growth then ends
    assert watched([*looks, (19, 19, 21), (19, 19, 19)]) == (4, 6, True)


@pytest.mark.parametrize(("both", "stable"), [(89, False), (90, True), (100, True)])
def test_stable_is_an_overlap_of_nine_tenths(both: int, stable: bool) -> None:
    assert STABLE_OVERLAP == 0.9
    watch = Watch()
    watch.keeps(90, 0, 200, flawed=False)
    assert watch.keeps(90, both, 100, flawed=False)  # stable, or the last look: either way the one to keep
    assert watch.settled is stable
    assert watch.kept == (90 if stable else 0)


@pytest.mark.parametrize(("size", "grows"), [(100, False), (102, False), (103, True)])
def test_growth_is_more_than_two_per_cent(size: int, grows: bool) -> None:
    assert GROWTH == 1.02
    watch = Watch()
    watch.keeps(100, 0, 200, flawed=False)
    watch.keeps(100, 98, 102, flawed=False)
    assert watch.keeps(size, 100, size, flawed=False) is grows
    assert watch.stop is not grows


def test_a_shrinking_set_is_the_end() -> None:
    """The model learns the minority by heart: the set before is the better one."""
    # overlaps 39/41 = .95 and 37/40 = .93
    assert watched([(40, 0, 60), (40, 39, 41), (37, 37, 40)]) == (1, 3, True)


def test_a_flawed_set_is_never_stable() -> None:
    looks = [(50, 0, 60), (50, 50, 50), (50, 50, 50)]
    assert watched(looks, flawed=(0, 1, 2))[2] is False
    assert watched(looks)[2] is True


def test_without_a_stable_set_the_last_one_is_kept() -> None:
    # overlaps .1, .5, .3: nothing is stable, the model still learns
    assert watched([(30, 0, 60), (10, 4, 40), (12, 8, 16), (10, 6, 20)]) == (3, 4, False)


def test_an_empty_set_is_not_stable_but_stands_as_the_last() -> None:
    assert watched([(10, 0, 60), (0, 0, 10), (0, 0, 0)]) == (2, 3, False)


def test_a_set_that_shrinks_look_by_look_is_learned_by_heart_and_its_plateau_is_kept() -> None:
    """Overlaps of 90/100 = .9 (stable), then below .9; 60/90, 40/60 are no break; 29 < 90 / 3 is the end."""
    watch = Watch()
    looks = [(100, 0, 150), (90, 90, 100), (60, 60, 90), (40, 40, 60), (29, 29, 40)]
    kept = [watch.keeps(*look, flawed=False) for look in looks]
    assert kept == [True, True, False, False, False]
    assert (watch.plateau, watch.stop, watch.back) == (90, True, True)


@pytest.mark.parametrize(("both", "ends"), [(40, True), (39, False)])
def test_after_a_break_a_small_set_is_what_the_model_has_learned_since(both: int, ends: bool) -> None:
    """Two fifths of the examples in common are no break; fewer are one, and the plateau is forgotten."""
    watch = Watch()
    watch.keeps(1000, 0, 2000, flawed=False)
    watch.keeps(900, 850, 1000, flawed=False)  # .85: near enough for a plateau
    assert (watch.plateau, watch.at_plateau) == (900, True)
    watch.keeps(100, both, 100, flawed=False)
    assert watch.stop is watch.back is ends
    assert watch.plateau == (900 if ends else 0)


def test_a_flawed_look_forgets_the_plateau() -> None:
    watch = Watch()
    watch.keeps(900, 0, 2000, flawed=False)
    watch.keeps(900, 850, 1000, flawed=False)
    watch.keeps(800, 700, 800, flawed=True)
    assert (watch.plateau, watch.stop) == (0, False)
