"""Balanced subsets: of the quota exactly, the smallest numbers, the same ones however the rows are spread."""

import pytest
import torch
from torch import Tensor

from fedjtt.methods.cut import drawn
from fedjtt.methods.subsets import BINS, EVERY, Counted, bin_counts, limits_of

GROUP = torch.arange(3000) % 3 * (torch.arange(3000) % 2)  # of 3,000: 2,000 of group 0, 500 of each other


def counted_over(parts: list[Tensor], numbers: Tensor, group: Tensor) -> Counted:
    def counted(level: int, prefix: Tensor) -> Tensor:
        return sum((bin_counts(numbers[:, part], group[part], level, prefix) for part in parts), torch.zeros(()).long())

    return counted


def test_numbers_of_different_draws_are_unrelated() -> None:
    numbers = drawn(torch.arange(20_000), 0, [1, 2]).double()
    assert abs(float(torch.corrcoef(numbers)[0, 1])) < 0.036  # five standard errors of 1 / sqrt(20,000)
    assert 0 <= float(numbers.min()) <= float(numbers.max()) < EVERY


@pytest.mark.parametrize("quota", [1, 7, 499])
def test_the_smallest_numbers_of_each_group_stay(quota: int) -> None:
    numbers = drawn(torch.arange(3000), 5, [0, 3])
    sizes = torch.bincount(GROUP)
    assert sizes.tolist() == [2000, 500, 500]
    quotas = torch.full((2, 3), quota)
    limits, kept = limits_of(counted_over([torch.arange(3000)], numbers, GROUP), sizes, quotas)
    for draw in range(2):
        stays = numbers[draw] < limits[draw, GROUP]
        assert torch.bincount(GROUP[stays], minlength=3).tolist() == kept[draw].tolist() == [quota] * 3
        for group in range(3):
            own = numbers[draw, group == GROUP].sort().values
            assert numbers[draw, stays & (group == GROUP)].sort().values.tolist() == own[:quota].tolist()


def test_the_rows_places_do_not_matter() -> None:
    numbers, sizes, quotas = drawn(torch.arange(3000), 5, [0, 1]), torch.bincount(GROUP), torch.full((2, 3), 77)
    whole = limits_of(counted_over([torch.arange(3000)], numbers, GROUP), sizes, quotas)
    order = torch.randperm(3000, generator=torch.Generator().manual_seed(1))
    for parts in (list(order.chunk(7)), [order[:10], order[10:10], order[10:]]):
        spread = limits_of(counted_over(parts, numbers, GROUP), sizes, quotas)
        assert torch.equal(whole[0], spread[0])
        assert torch.equal(whole[1], spread[1])


def test_a_quota_that_all_fit_into_keeps_all_and_a_group_that_is_not_there_has_none() -> None:
    group, numbers = torch.tensor([0, 0, 2]), drawn(torch.arange(3), 0, [0])
    limits, kept = limits_of(
        counted_over([torch.arange(3)], numbers, group), torch.tensor([2, 0, 1]), torch.tensor([[2, 0, 5]])
    )
    assert limits.tolist() == [[EVERY] * 3]
    assert kept.tolist() == [[2, 0, 1]]


def test_a_quota_of_none_keeps_none() -> None:
    group, numbers = torch.tensor([0, 0]), drawn(torch.arange(2), 0, [0])
    limits, kept = limits_of(counted_over([torch.arange(2)], numbers, group), torch.tensor([2]), torch.tensor([[0]]))
    assert not (numbers < limits[:, group]).any()
    assert kept.tolist() == [[0]]


def test_examples_that_share_a_number_stay_or_go_together() -> None:
    numbers, group = torch.tensor([[3, 8, 8, 9]]), torch.zeros(4, dtype=torch.int64)
    for quota, expected in ((1, 1), (2, 1), (3, 3)):
        _, kept = limits_of(counted_over([torch.arange(4)], numbers, group), torch.tensor([4]), torch.tensor([[quota]]))
        assert kept.tolist() == [[expected]]


def test_counts_inside_a_prefix_are_only_those() -> None:
    numbers = torch.tensor([[0, 1, BINS, 5 * BINS**3 + 7]])
    group = torch.tensor([0, 0, 0, 1])
    first = bin_counts(numbers, group, 0, torch.zeros(1, 2, dtype=torch.int64))
    assert first.shape == (1, 2, BINS)
    assert (int(first[0, 0, 0]), int(first[0, 1, 5]), int(first.sum())) == (3, 1, 4)
    last = bin_counts(numbers, group, 3, torch.tensor([[0, 5 * BINS**2]]))
    assert last[0, 0, :2].tolist() == [1, 1]
    assert (int(last[0, 1, 7]), int(last.sum())) == (1, 3)
