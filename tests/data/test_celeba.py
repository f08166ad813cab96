from pathlib import Path

import pytest

from fedjtt.data.celeba import read_celeba
from fedjtt.errors import DataError
from tests.data.pictures import change_line, examples, write_celeba


def test_the_lists_of_a_folder(tmp_path: Path) -> None:
    listing = read_celeba(write_celeba(tmp_path))
    rows = zip(listing.split.tolist(), listing.label.tolist(), listing.attribute.tolist(), strict=True)
    assert list(rows) == examples(3)
    assert listing.names[:2] == ["000001.jpg", "000002.jpg"]
    assert listing.problems == []


def test_a_column_that_is_missing_is_one_line(tmp_path: Path) -> None:
    place = write_celeba(tmp_path)
    change_line(place / "list_attr_celeba.csv", 1, "Blond_Hair", "Blonde")
    with pytest.raises(DataError, match=r"list_attr_celeba\.csv, row 1: column 'Blond_Hair' is missing"):
        read_celeba(place)
    (place / "list_eval_partition.csv").unlink()
    change_line(place / "list_attr_celeba.csv", 1, "Blonde", "Blond_Hair")
    with pytest.raises(DataError, match=r"list_eval_partition\.csv is missing"):
        read_celeba(place)
