from math import ceil

import numpy as np
import pytest
import torch

from fedjtt.data.grouped import GroupedDataset, majority_attribute, minority_mask
from fedjtt.data.partition import PARTITIONS, partition, split_evenly, unevenness, unevenness_of
from fedjtt.data.spurious import assign_attributes
from fedjtt.errors import ConfigError, DataError


def coloured(size: int = 1000, strength: float = 0.9, attribute: bool = True) -> GroupedDataset:
    chance = np.random.default_rng(5)
    label = torch.from_numpy(chance.integers(0, 5, size))
    colour = assign_attributes(label, 5, strength, chance) if attribute else None
    return GroupedDataset(torch.zeros(size, 1), label, colour, torch.arange(size), 5, 5 if attribute else 0)


def parts_equal(one: list[torch.Tensor], two: list[torch.Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, two, strict=True))


@pytest.mark.parametrize("alpha", [0.01, 0.5, 100.0])
@pytest.mark.parametrize("machines", [1, 2, 7, 100, 999, 1000])
@pytest.mark.parametrize("kind", PARTITIONS)
def test_every_row_stands_in_exactly_one_part_and_none_is_empty(kind: str, machines: int, alpha: float) -> None:
    parts = partition(kind, coloured(), machines, alpha, seed=0)
    assert len(parts) == machines
    assert torch.cat(parts).sort().values.tolist() == list(range(1000))
    for part in parts:
        assert part.dtype == torch.int64
        assert len(part) > 0
        assert (part.diff() > 0).all()


@pytest.mark.parametrize("kind", PARTITIONS)
def test_one_machine_gets_the_rows_in_order(kind: str) -> None:
    assert torch.equal(partition(kind, coloured(), 1, 0.5, seed=3)[0], torch.arange(1000))


@pytest.mark.parametrize("kind", PARTITIONS)
def test_same_seed_same_parts_and_another_seed_differs(kind: str) -> None:
    one, two, other = (partition(kind, coloured(), 7, 0.5, seed) for seed in (0, 0, 1))
    assert parts_equal(one, two)
    assert all(not torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("kind", PARTITIONS)
def test_global_generators_are_left_alone(kind: str) -> None:
    torch_before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()
    partition(kind, coloured(), 7, 0.5, seed=0)
    assert torch.equal(torch_before, torch.get_rng_state())
    assert np.array_equal(numpy_before, np.random.get_state()[1])


@pytest.mark.parametrize("machines", [2, 3, 7, 300])
def test_iid_sizes_differ_by_at_most_one(machines: int) -> None:
    sizes = [len(part) for part in partition("iid", coloured(), machines, 1.0, seed=0)]
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("kind", ["label-dirichlet", "group-dirichlet"])
def test_alpha_orders_the_unevenness(kind: str) -> None:
    data = coloured(attribute=kind == "group-dirichlet")  # without attributes it is measured over labels
    figures = [unevenness(partition(kind, data, 5, alpha, seed=0), data) for alpha in (0.01, 1.0, 1e6)]
    assert figures[0] > figures[1] > figures[2]
    # Equal shares, rounded once a class: nearly alike. Nearly one class a machine: far apart.
    assert figures[2] < 0.03
    assert figures[0] > 0.5


def test_huge_alpha_splits_every_group_evenly() -> None:
    data = coloured(strength=0.6)
    parts = partition("group-dirichlet", data, 4, 1e9, seed=0)
    counts = torch.stack([torch.bincount(data.group[part], minlength=25) for part in parts])
    assert (counts - data.group_counts() / 4).abs().max() <= 1


# strength .95 of 1,000 leaves about 52 minority rows: they fit one machine's 100. At .6, about 400 do not fit.
@pytest.mark.parametrize(("machines", "few"), [(2, 1), (10, 1), (11, 2), (20, 2), (21, 3)])
def test_the_minority_is_on_a_tenth_of_the_machines(machines: int, few: int) -> None:
    data = coloured(strength=0.95)
    minority = minority_mask(data, majority_attribute(data))
    parts = partition("minority-on-few", data, machines, 1.0, seed=0)
    held = [int(minority[part].sum()) for part in parts]
    assert sum(count > 0 for count in held) == few == max(1, ceil(machines / 10))
    sizes = [len(part) for part in parts]
    assert max(sizes) - min(sizes) <= 1


def test_a_minority_above_the_fair_share_fills_its_machines_alone() -> None:
    data = coloured(strength=0.6)
    minority = minority_mask(data, majority_attribute(data))
    parts = partition("minority-on-few", data, 10, 1.0, seed=0)
    sizes = sorted(len(part) for part in parts)
    assert sizes[-1] == int(minority.sum())
    assert sizes[-2] - sizes[0] <= 1


def test_minority_machines_are_chosen_by_seed() -> None:
    data = coloured(strength=0.95)
    minority = minority_mask(data, majority_attribute(data))
    first = {
        next(k for k, part in enumerate(partition("minority-on-few", data, 10, 1.0, seed)) if minority[part].any())
        for seed in range(20)
    }
    assert len(first) > 3


def test_minority_on_few_survives_renamed_groups() -> None:
    data = coloured(strength=0.95)
    renamed = torch.tensor([3, 0, 4, 1, 2])
    assert data.attribute is not None
    other = GroupedDataset(data.x, renamed[data.label], renamed[data.attribute], data.id, 5, 5)
    for kind in ("iid", "minority-on-few"):
        parts = partition(kind, data, 7, 1.0, seed=0)
        assert parts_equal(parts, partition(kind, other, 7, 1.0, seed=0))
        assert unevenness(parts, data) == pytest.approx(unevenness(parts, other), abs=1e-12)


def test_unevenness_by_hand() -> None:
    # Groups 0 0 0 1: globally (3/4, 1/4). Parts {0, 1} and {2, 3} are (1, 0) and (1/2, 1/2): distance 1/4 each.
    # Parts {0} and {1, 2, 3}: distance 1/4 and |2/3 - 3/4| = 1/12, weighted 1/4 * 1/4 + 3/4 * 1/12 = 1/8.
    data = GroupedDataset(torch.zeros(4, 1), torch.zeros(4).long(), torch.tensor([0, 0, 0, 1]), torch.arange(4), 1, 2)
    assert unevenness([torch.tensor([0, 1]), torch.tensor([2, 3])], data) == pytest.approx(0.25)
    assert unevenness([torch.tensor([0]), torch.tensor([1, 2, 3])], data) == pytest.approx(0.125)
    assert unevenness([torch.arange(4)], data) == 0


def test_disjoint_labels_without_attributes_are_far_apart() -> None:
    # Five labels on five machines: each is at distance 1 - n_y / n, and the weights n_y / n give 1 - sum of squares.
    data = coloured(attribute=False)
    shares = torch.bincount(data.label) / 1000
    parts = [(data.label == label).nonzero()[:, 0] for label in range(5)]
    assert unevenness(parts, data) == pytest.approx(float(1 - (shares**2).sum()), abs=1e-6)


@pytest.mark.parametrize("kind", ["group-dirichlet", "minority-on-few"])
def test_kinds_over_groups_need_the_attribute(kind: str) -> None:
    with pytest.raises(DataError, match="no attribute"):
        partition(kind, coloured(attribute=False), 3, 1.0, seed=0)
    assert len(partition("label-dirichlet", coloured(attribute=False), 3, 1.0, seed=0)) == 3


@pytest.mark.parametrize(
    ("kind", "machines", "alpha", "text"),
    [
        ("idd", 2, 1.0, "did you mean 'iid'"),
        ("iid", 0, 1.0, "machines is 0"),
        ("iid", -1, 1.0, "machines is -1"),
        ("iid", 1001, 1.0, "from 1 to the 1000 train samples"),
        ("label-dirichlet", 2, 0.0, "dirichlet-alpha is 0.0"),
        ("label-dirichlet", 2, float("nan"), "dirichlet-alpha is nan"),
    ],
)
def test_bad_settings_are_refused(kind: str, machines: int, alpha: float, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        partition(kind, coloured(), machines, alpha, seed=0)


@pytest.mark.parametrize("machines", [1, 2, 7, 100, 1500])
def test_an_even_split_deals_every_group_evenly(machines: int) -> None:
    data = coloured()
    parts = split_evenly(data, machines, seed=0, purpose="test")
    assert torch.cat(parts).sort().values.tolist() == list(range(1000))
    sizes = [len(part) for part in parts]
    assert max(sizes) - min(sizes) <= 1
    counts = torch.stack([torch.bincount(data.group[part], minlength=25) for part in parts])
    assert (counts.max(0).values - counts.min(0).values).max() <= 1


def test_an_even_split_depends_on_its_purpose() -> None:
    data = coloured()
    one, other = (split_evenly(data, 3, seed=0, purpose=purpose) for purpose in ("validation", "test"))
    assert not torch.equal(one[0], other[0])


def test_unevenness_of_two_disjoint_machines_is_a_half() -> None:
    # Each machine's distribution is (1, 0) or (0, 1), the global one (1/2, 1/2): total variation 1/2 for both.
    assert unevenness_of(np.array([[2, 0], [0, 2]])) == pytest.approx(0.5)
    assert unevenness_of(np.array([[1, 3], [2, 6]])) == pytest.approx(0.0)
