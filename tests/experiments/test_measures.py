import pytest

from experiments.measures import bytes_of, error_set_f1, human_bytes


def row(seed: int, **values: float | None) -> dict[str, float | None]:
    names = {"precision": "identification.precision", "recall": "identification.recall",
             "sent": "bytes.sent", "received": "bytes.received"}  # fmt: skip
    return {"config.seed": seed, **{names[name]: value for name, value in values.items()}}


def test_bytes_are_the_sum_of_both_directions_over_the_seeds_that_have_both() -> None:
    value = bytes_of([row(0, sent=1, received=2), row(1, sent=3, received=4), row(2, sent=100, received=None)])
    assert value is not None
    assert (value.mean, value.n) == (5.0, 2)  # of 3 and 7
    assert value.half == pytest.approx(12.7062 * 2, abs=1e-3)  # deviation sqrt(8), over sqrt(2)
    assert bytes_of([row(0)]) is None


def test_f1_is_the_harmonic_mean_seed_by_seed() -> None:
    value = error_set_f1([row(0, precision=0.5, recall=1.0), row(1, precision=0.25, recall=0.25)])
    assert value is not None
    assert value.mean == pytest.approx((2 / 3 + 1 / 4) / 2)


def test_an_empty_or_wholly_wrong_error_set_has_an_f1_of_zero_and_an_unknown_one_none() -> None:
    zero = error_set_f1([row(0, precision=None, recall=0.0), row(1, precision=0.0, recall=0.0)])
    assert zero is not None
    assert (zero.mean, zero.n) == (0.0, 2)
    assert error_set_f1([row(0, precision=None, recall=None), row(1)]) is None


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (360, "360 B"), (999.4, "999 B"), (999.7, "1 kB"), (6084, "6.08 kB"), (10_000, "10 kB"),
     (999_499, "999 kB"), (999_500, "1 MB"), (96.1e6, "96.1 MB"), (1.5e9, "1.5 GB")],
)  # fmt: skip
def test_bytes_for_people_have_three_digits_and_a_unit(count: float, text: str) -> None:
    assert human_bytes(count) == text
