"""A cut takes the quota, the same examples however they are spread, and no particular ones."""

import pytest
import torch

from fedjtt.data.grouped import Splits
from fedjtt.methods.balance import Balance
from fedjtt.methods.base import Payload
from fedjtt.methods.cut import BINS, CUT, _bin_of, drawn_numbers, kept, tally
from tests.tiny import asked, grouped, node_of, parts_of_a_run, tiny_config


def test_numbers_are_spread_evenly_and_depend_on_seed_and_id_alone() -> None:
    """Of 100,000 numbers in ten equal bins the counts deviate by sqrt(9,000) = 95: five times that."""
    ids = torch.arange(100_000)
    numbers = drawn_numbers(ids, 0)
    assert int(numbers.min()) >= 0
    assert int(numbers.max()) < BINS * BINS
    counts = torch.histc(numbers.double(), bins=10, min=0, max=BINS * BINS)
    assert float((counts - 10_000).abs().max()) < 475
    assert torch.equal(drawn_numbers(ids[500:600], 0), numbers[500:600])
    assert float((drawn_numbers(ids, 1) == numbers).double().mean()) < 1e-3


def test_neighbouring_ids_have_unrelated_numbers() -> None:
    numbers = drawn_numbers(torch.arange(10_000), 3).double()
    correlation = torch.corrcoef(torch.stack([numbers[1:], numbers[:-1]]))[0, 1]
    assert abs(float(correlation)) < 0.05  # five standard errors of 1 / sqrt(10,000)


@pytest.mark.parametrize(
    ("counts", "quota", "found"),
    [([2, 3, 5], 4, (1, 2)), ([2, 3, 5], 5, (2, 5)), ([2, 3, 5], 1, (0, 0)), ([0, 0, 7], 3, (2, 0))],
)
def test_the_bin_in_which_a_quota_ends(counts: list[int], quota: int, found: tuple[int, int]) -> None:
    assert _bin_of(counts, quota) == found


def test_a_tally_counts_every_example_once_and_inside_a_bin_only_those() -> None:
    data = grouped([0, 0, 1, 1, 1], [0, 1, 0, 1, 1])
    node = node_of(tiny_config(method="balance", groups="class"), data)
    first = tally(node, Payload(numbers={"group-sizes": [2, 3]})).integers("counts")
    assert [sum(first[:BINS]), sum(first[BINS:])] == [2, 3]
    number = int(drawn_numbers(data.id[2:3], 0)[0])
    inside = tally(node, Payload(numbers={"group-sizes": [2, 3], "bins": [0, number // BINS]})).integers("counts")
    assert inside[BINS + number % BINS] == 1
    assert sum(inside[BINS:]) == first[BINS + number // BINS]


def test_without_a_cut_all_stay() -> None:
    node = node_of(tiny_config(), grouped([0, 1, 1]))
    assert kept(node, Payload(), torch.tensor([0, 1, 1])).tolist() == [True] * 3


@pytest.mark.parametrize("machines", [1, 2, 7])
def test_the_subset_does_not_depend_on_the_machines(machines: int) -> None:
    """5,000 examples of label 0 are cut to the 40 of label 1: exactly, and the same ones in central training."""
    splits = Splits(
        *(grouped([0] * 5000 + [1] * 40, [0, 1] * 2520, seed=seed) for seed in range(3)), ("0", "1"), ("0", "1")
    )
    limits, ids = [], []
    for robust in ("central", "federated"):
        config = tiny_config(
            method="balance", balance="subset", groups="class", robust=robust, machines=machines, selection="last",
            robust_rounds=1,
        )  # fmt: skip
        strategy, grid = parts_of_a_run(config, splits)
        seen = asked(grid if robust == "federated" else strategy.talk.server_grid)  # type: ignore[arg-type]
        strategy.run(grid)
        request = next(request for action, _, request, _ in seen if action == "fit")
        limits.append(request.integers(CUT))
        stays = Balance().lesson(node_of(config, splits.train), request).weights > 0
        ids.append(torch.nonzero(stays).flatten())
    assert limits[0] == limits[1]
    assert torch.equal(ids[0], ids[1])
    label = splits.train.label[ids[0]]
    assert torch.bincount(label).tolist() == [40, 40]
