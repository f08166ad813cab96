"""Replies as vectors, and sums of them as one reply."""

from typing import Any

import numpy as np
import pytest

from fedjtt.methods.base import Payload
from fedjtt.methods.summed import FORMS, Flat, flatten, length_of, read_sum


def added(action: str, replies: list[Payload]) -> Payload:
    flats = [flatten(action, reply, len(replies)) for reply in replies]
    assert all(flat.layout == flats[0].layout for flat in flats)
    total = np.zeros(len(flats[0].vector), dtype=np.uint64)
    for flat in flats:
        assert len(flat.vector) == length_of(action, flat.layout)
        total = total + flat.vector
    return read_sum(action, Flat(total, flats[0].layout), [0.5] * len(replies), len(replies))


def test_counts_are_added_exactly() -> None:
    replies = [
        Payload(numbers={"label-errors": [1, 2], "label-sizes": [9, 8], "both": 3, "either": 3, "seconds": 1.0}),
        Payload(numbers={"label-errors": [0, 4], "label-sizes": [7, 6], "both": 1, "either": 5, "seconds": 2.0}),
    ]
    assert added("look", replies).numbers == {
        "label-errors": [1, 6], "label-sizes": [16, 14], "both": 4, "either": 8, "seconds": [0.5, 0.5], "machines": 2,
    }  # fmt: skip


def test_weights_and_losses_count_by_size() -> None:
    """(1 x 10 + 4 x 30) / 40 = 3.25 and so on: binary fractions, so nothing is rounded."""
    replies = [
        Payload(
            {"weights": np.array([1.0, -2.0], np.float32)}, {"size": 10.0, "loss": 0.5, "steps": 3, "seconds": 1.0}
        ),
        Payload({"weights": np.array([4.0, 2.0], np.float32)}, {"size": 30.0, "loss": 1.5, "steps": 3, "seconds": 1.0}),
    ]
    total = added("fit", replies)
    assert total.arrays["weights"].tolist() == [3.25, 1.0]
    assert total.arrays["weights"].dtype == np.float32
    assert "average" not in total.arrays  # no machine sent one
    assert (total.real("size"), total.real("loss"), total.integer("steps")) == (40.0, 1.25, 3)


def test_the_mean_of_weights_is_that_of_exact_arithmetic_but_for_the_derived_bound() -> None:
    """Each product is off by half a unit of 2^-28, the mean by n times that over the sum of sizes; then float32."""
    chance, machines = np.random.default_rng(0), 10
    vectors = [chance.normal(size=400).astype(np.float32) for _ in range(machines)]
    sizes = [float(size) for size in chance.integers(5, 500, machines)]
    replies = [
        Payload({"weights": vector}, {"size": size, "seconds": 0.0})
        for vector, size in zip(vectors, sizes, strict=True)
    ]
    exact = sum(v.astype(np.float64) * s for v, s in zip(vectors, sizes, strict=True)) / sum(sizes)
    found = added("learn", replies).arrays["weights"]
    bound = machines * 2.0**-29 / sum(sizes) + np.abs(exact) * 2.0**-24 + 1e-15
    assert (np.abs(found - exact) <= bound).all()


def test_a_part_that_is_missing_a_number_and_a_list_are_told_apart() -> None:
    known: dict[str, Any] = {"examples": 3, "errors": 1, "useless": 0, "seconds": 0.0, "label-errors": [1, 0]}
    flat = flatten("identify", Payload(numbers=known), 3)
    assert flat.layout == [-1, -1, -1, -2, -2, 2, -2]
    assert "minority" not in added("identify", [Payload(numbers=known)] * 3).numbers
    census: dict[str, Any] = {"examples": 3, "label-counts": [1, 2], "group-counts": []}
    assert flatten("census", Payload(numbers=census), 3).layout == [-1, 2, 0]
    assert added("census", [Payload(numbers=census)] * 3).numbers["group-counts"] == []


def test_machines_without_anything_to_train_on_have_no_mean() -> None:
    nothing = Payload({"weights": np.ones(2, np.float32)}, {"size": 0.0, "seconds": 0.0})
    with pytest.raises(ValueError, match="the machines' sizes add up to 0"):
        added("learn", [nothing, nothing])


def test_a_count_must_be_whole() -> None:
    with pytest.raises(TypeError, match=r"1\.5 is not a count"):
        flatten("identify", Payload(numbers={"examples": 3, "errors": 1.5, "useless": 0, "seconds": 0.0}), 3)


def test_no_part_is_counted_and_weighted() -> None:
    for form in FORMS.values():
        assert bool(form.counts) != bool(form.weighted)


def test_other_numbers_are_added_up_and_not_weighed() -> None:
    """Gains of 1.5 and .25 are 1.75 whatever the sizes, 1 and 3; the mean of the losses is (1 + 3 * 2) / 4."""
    weights, common = {"weights": np.zeros(2, np.float32)}, {"seconds": 0.0, "steps": 1}
    replies = [
        Payload(weights, {**common, "size": 1.0, "loss": 1.0, "dro-gains": [1.5, 0.0], "dro-seen": [1.0, 2.0]}),
        Payload(weights, {**common, "size": 3.0, "loss": 2.0, "dro-gains": [0.25, 4.0], "dro-seen": [1.0, 3.0]}),
    ]
    total = added("fit", replies)
    assert total.reals("dro-gains") == pytest.approx([1.75, 4.0], abs=1e-6)
    assert total.reals("dro-seen") == pytest.approx([2.0, 5.0], abs=1e-6)
    assert total.real("loss") == pytest.approx(1.75, abs=1e-6)
    assert "eta-sum" not in total.numbers
