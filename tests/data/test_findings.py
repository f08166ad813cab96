from fedjtt.data.findings import count_splits
from tests.tiny import tiny_splits


def test_the_groups_of_a_loaded_dataset_are_counted() -> None:
    # 60 train examples, half with each label; the first 8 of them have the other label's attribute
    found = count_splits(tiny_splits(train=60, minority=8))
    assert found.counts == {"train": (26, 4, 4, 26), "validation": (6, 6, 6, 6), "test": (6, 6, 6, 6)}
    assert found.group_names == ["0, 0", "0, 1", "1, 0", "1, 1"]
    assert (found.problems, found.notes) == ([], [])
