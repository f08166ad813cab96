from pathlib import Path

import numpy as np
import pytest

from fedjtt.data.csv_file import read_csv
from fedjtt.data.listing import Listing, in_order_of, read_codes, read_names


def listed(tmp_path: Path, *rows: str, name: str = "list.csv") -> Path:
    (tmp_path / name).write_text("\n".join(["file,code", *rows]) + "\n")
    return tmp_path / name


def test_codes_of_a_column(tmp_path: Path) -> None:
    problems: list[str] = []
    file = read_csv(listed(tmp_path, "a,1", "b,-1", "c,2", "d,"))
    assert read_codes(file, "code", {"-1": 0, "1": 1}, problems).tolist() == [1, 0, -1, -1]
    start = f"{file.path}, row"
    assert problems == [
        f"{start} 4, column 'code': '2' is unknown; allowed are -1, 1",
        f"{start} 5, column 'code': '' is unknown; allowed are -1, 1",
    ]


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("a..jpg,1", ""),
        ("a/x.jpg,1", "row 3, column 'file': 'a/x.jpg' stands in row 2 already; drop one of the two"),
        ("../x.jpg,1", "row 3, column 'file': '../x.jpg' is no file below the dataset's folder"),
        ("a/../../x.jpg,1", "row 3, column 'file': 'a/../../x.jpg' is no file below the dataset's folder"),
        ("/x.jpg,1", "row 3, column 'file': '/x.jpg' is no file below the dataset's folder"),
        (",1", "row 3, column 'file': '' is no file below the dataset's folder"),
    ],
)
def test_names(tmp_path: Path, row: str, problem: str) -> None:
    problems: list[str] = []
    file = read_csv(listed(tmp_path, "a/x.jpg,1", row))
    assert read_names(file, "file", problems) == ["a/x.jpg", row.split(",")[0]]
    assert problems == ([f"{file.path}, {problem}"] if problem else [])


def test_a_second_list_in_another_order(tmp_path: Path) -> None:
    problems: list[str] = []
    file = read_csv(listed(tmp_path, "c,0", "a,1", "x,2"))
    assert in_order_of(["a", "b", "c"], file, "file", np.array([0, 1, 2]), problems).tolist() == [1, -1, 0]
    assert problems == [
        f"{file.path}, row 4, column 'file': 'x' is in no other list; drop the row",
        f"{file.path} has no row for 'b'; add it",
    ]


def test_counts_are_of_what_could_be_understood() -> None:
    columns = [np.array(each) for each in ([0, 1, 1, -1, 1], [0, 1, 1, 0, -1], [0, 0, 2, 1, 1])]
    listing = Listing(Path("l.csv"), Path("images"), list("abcde"), [2, 3, 4, 5, 6], *columns, [])
    assert listing.counts(2, 2) == {"train": (1, 0, 0, 1), "validation": (0, 0, 0, 0), "test": (0, 0, 0, 1)}
    assert listing.about(1) == f"{Path('images/b')} (l.csv, row 3)"
