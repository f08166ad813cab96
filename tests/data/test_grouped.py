import pytest
import torch

from fedjtt.data.grouped import GroupedDataset, majority_attribute, minority_mask
from fedjtt.errors import DataError


def dataset(label: list[int], attribute: list[int] | None, labels: int = 2, attributes: int = 3) -> GroupedDataset:
    rows = torch.arange(len(label))
    known = None if attribute is None else torch.tensor(attribute)
    return GroupedDataset(rows[:, None].float(), torch.tensor(label), known, 10 * rows, labels, attributes)


def test_groups_count_and_majority() -> None:
    # Label 0 has attributes 1 1 2, label 1 has 0 2: a tie, which goes to the lower attribute.
    data = dataset([0, 0, 0, 1, 1], [1, 1, 2, 2, 0])
    assert data.group.tolist() == [1, 1, 2, 5, 3]
    assert data.group_counts().tolist() == [0, 2, 1, 1, 0, 1]
    assert majority_attribute(data).tolist() == [1, 0]
    assert minority_mask(data, majority_attribute(data)).tolist() == [False, False, True, True, False]


def test_the_minority_of_a_part_is_the_global_one() -> None:
    data = dataset([0, 0, 0, 1, 1], [1, 1, 2, 2, 0])
    part = data.take([2])
    assert part.id.tolist() == [20]
    assert minority_mask(part, majority_attribute(data)).tolist() == [True]


def test_without_attributes_there_are_no_groups() -> None:
    data = dataset([0, 1], None)
    assert data.take([1]).attribute is None
    with pytest.raises(DataError, match="no attribute"):
        _ = data.group
    with pytest.raises(DataError, match="not known"):
        minority_mask(data, torch.tensor([0, 0]))


def test_columns_of_different_lengths_and_foreign_values_are_refused() -> None:
    with pytest.raises(DataError, match="differ in length"):
        dataset([0, 1], [0])
    with pytest.raises(DataError, match="label runs from 0 to 2; allowed is 0 to 1"):
        dataset([0, 2], [0, 0])
    with pytest.raises(DataError, match="attribute runs from -1 to 0"):
        dataset([0, 1], [0, -1])


def test_memberships_are_rows_like_the_others() -> None:
    members = torch.tensor([[True, False], [True, True], [False, False]])
    columns = {"x": torch.zeros(3, 1), "label": torch.tensor([0, 1, 0]), "attribute": None, "id": torch.arange(3)}
    data = GroupedDataset(**columns, num_labels=2, num_attributes=1, memberships=members)
    kept = data.take([2, 1]).memberships
    assert kept is not None
    assert kept.tolist() == [[False, False], [True, True]]
    with pytest.raises(DataError, match="differ in length"):
        GroupedDataset(**columns, num_labels=2, num_attributes=1, memberships=members[:2])
