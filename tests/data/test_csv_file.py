"""CSV files: what is read, and every kind of damage as one line that says where."""

import csv
import random
from pathlib import Path

import pytest

from fedjtt.data.csv_file import CsvFile, read_csv
from fedjtt.errors import DataError


def file_of(tmp_path: Path, content: str | bytes) -> Path:
    path = tmp_path / "rows.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def refusal(path: Path, delimiter: str = ",") -> str:
    with pytest.raises(DataError) as caught:
        read_csv(path, delimiter)
    text = str(caught.value)
    assert text.startswith(str(path))
    assert "\n" not in text
    return text.removeprefix(str(path))


def test_cells_are_read_without_outer_blanks_and_rows_know_their_lines(tmp_path: Path) -> None:
    path = file_of(tmp_path, "a , b\n 1,2\n\n3, 4 \n")
    assert read_csv(path) == CsvFile(path, ("a", "b"), [["1", "2"], ["3", "4"]], [2, 4])


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_line_ends_and_byte_order_marks_of_all_systems(tmp_path: Path, end: str, mark: bytes) -> None:
    path = file_of(tmp_path, mark + end.join(["a,b", "1,2", "3,4"]).encode())
    assert read_csv(path) == CsvFile(path, ("a", "b"), [["1", "2"], ["3", "4"]], [2, 3])


def test_quoted_cells_may_hold_delimiters_and_line_breaks(tmp_path: Path) -> None:
    read = read_csv(file_of(tmp_path, 'a,b\n"1,5","two\nlines"\n3,"say ""x"""\n'))
    assert read.rows == [["1,5", "two\nlines"], ["3", 'say "x"']]
    assert read.lines == [2, 4]  # the first row takes two lines


def test_other_delimiters(tmp_path: Path) -> None:
    assert read_csv(file_of(tmp_path, "a;b\n1,5;2\n"), ";").rows == [["1,5", "2"]]
    assert read_csv(file_of(tmp_path, "a\tb\n1\t\n"), "\t").rows == [["1", ""]]


def test_an_empty_cell_is_a_row_where_there_is_one_column(tmp_path: Path) -> None:
    assert read_csv(file_of(tmp_path, 'a\n1\n""\n\n2\n')).rows == [["1"], [""], ["2"]]


def test_what_the_standard_library_writes_comes_back(tmp_path: Path) -> None:
    """A round trip over cells of everything that could confuse a reader, without outer blanks."""
    chance = random.Random(0)
    alphabet = ["a", "é", ",", ";", '"', "x y", "\n", "1.5", "日本"]
    for trial in range(50):
        rows = [["".join(chance.choices(alphabet, k=3)).strip() or "-" for _ in range(3)] for _ in range(4)]
        path = tmp_path / f"{trial}.csv"
        with path.open("w", newline="", encoding="utf-8") as stream:
            csv.writer(stream).writerows([["p", "q", "r"], *rows])
        assert read_csv(path).rows == rows


def test_a_missing_file(tmp_path: Path) -> None:
    assert "is missing" in refusal(tmp_path / "none.csv")


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    assert "cannot be read" in refusal(tmp_path)


@pytest.mark.parametrize("content", ["", "\n\n", "\ufeff", "  \n"])
def test_an_empty_file(tmp_path: Path, content: str) -> None:
    assert ", row 1: the file is empty" in refusal(file_of(tmp_path, content))


def test_a_header_alone(tmp_path: Path) -> None:
    assert ", row 1: the file has a header and no rows" in refusal(file_of(tmp_path, "a,b\n"))


def test_latin_1_is_named_by_row_column_and_byte(tmp_path: Path) -> None:
    said = refusal(file_of(tmp_path, "age,town,sex\n1,Bern,0\n2,Genève,1\n".encode("latin-1")))
    assert said.startswith(", row 3, column 'town': byte 0xe8 is not UTF-8 text; save the file as CSV in UTF-8")


def test_latin_1_in_the_header_and_after_a_byte_order_mark(tmp_path: Path) -> None:
    assert refusal(file_of(tmp_path, "age,né\n1,2\n".encode("latin-1"))).startswith(", row 1, column 2: byte 0xe9")
    marked = file_of(tmp_path, b"\xef\xbb\xbfage,town\n1,\xe9\n")
    assert refusal(marked).startswith(", row 2, column 'town': byte 0xe9")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_wide_encodings_are_no_utf_8(tmp_path: Path, encoding: str) -> None:
    """Without a mark, ASCII text in two bytes a letter is valid UTF-8 with zeros: it must not come through."""
    assert "is not UTF-8 text" in refusal(file_of(tmp_path, "age,sex\n1,0\n".encode(encoding)))


def test_a_short_row_names_the_column_that_it_lacks(tmp_path: Path) -> None:
    said = refusal(file_of(tmp_path, "a,b,c\n1,2,3\n\n4,5\n"))
    assert said.startswith(", row 4, column 'c': the row ends before it; the row has 2 cells and the header 3")


def test_a_long_row_names_the_column_beyond_the_header(tmp_path: Path) -> None:
    said = refusal(file_of(tmp_path, "a,b\n1,2\n3,4,5\n"))
    assert said.startswith(", row 3, column 3: the header ends before it; the row has 3 cells and the header 2")


def test_an_open_quote_names_the_row_where_it_opens(tmp_path: Path) -> None:
    assert ", row 3: " in refusal(file_of(tmp_path, 'a,b\n1,2\n3,"4\n5,6\n'))


def test_text_after_a_quote_names_its_row(tmp_path: Path) -> None:
    assert "check the quotes" in refusal(file_of(tmp_path, 'a,b\n"1"x,2\n'))


def test_a_missing_column_comes_with_the_nearest_and_the_header(tmp_path: Path) -> None:
    path = file_of(tmp_path, "age,trestbp\n1,2\n")
    with pytest.raises(DataError) as caught:
        read_csv(path).index_of("trestbps", "trestbps")
    assert str(caught.value).startswith(
        f"{path}, row 1: column 'trestbps' is missing; did you mean 'trestbp'?; the header is age, trestbp; "
    )


def test_a_header_is_shown_in_one_line(tmp_path: Path) -> None:
    wide = ",".join(["'a", '"two\nlines"', *(f"c{number}" for number in range(40))])
    read = read_csv(file_of(tmp_path, f"{wide}\n{'1,' * 41}1\n"))
    with pytest.raises(DataError, match=r"the header is 'a, two lines, c0, .*, c27 and 12 more; where") as caught:
        read.index_of("target", "target")
    assert "\n" not in str(caught.value)


def test_a_missing_column_says_what_it_was_wanted_for(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"column 'X9' \(for 'exang'\) is missing"):
        read_csv(file_of(tmp_path, "X1,X2\n1,2\n")).index_of("X9", "exang")


@pytest.mark.parametrize(("mark", "name"), [(";", "';'"), ("\t", "a tab"), ("|", r"'\|'")])
def test_a_wrong_delimiter_is_guessed(tmp_path: Path, mark: str, name: str) -> None:
    with pytest.raises(DataError, match=f"it is separated by {name}: set delimiter"):
        read_csv(file_of(tmp_path, f"age{mark}sex\n1{mark}0\n")).index_of("age", "age")


def test_a_header_that_stands_there_twice_is_refused_where_it_is_needed(tmp_path: Path) -> None:
    read = read_csv(file_of(tmp_path, "age,sex,age,\n1,0,2,\n"))
    assert read.index_of("sex", "sex") == 1
    with pytest.raises(DataError, match="row 1: column 'age' stands there 2 times"):
        read.index_of("age", "age")


def test_names_for_a_file_that_may_come_without_a_header(tmp_path: Path) -> None:
    """UCI's own files have none, and a comment in front; copies have one, which calls a column otherwise."""
    names = ("age", "sex", "income")
    bare = file_of(tmp_path, "|1x3 Cross validator\n25, Male, <=50K.\n\n38, Female, >50K.\n")
    assert read_csv(bare, names=names, comment="|") == CsvFile(
        bare, names, [["25", "Male", "<=50K."], ["38", "Female", ">50K."]], [2, 4]
    )
    headed = file_of(tmp_path, "age,sex,Y\n25,Male,<=50K\nage,Male,<=50K\n")
    read = read_csv(headed, names=names)
    assert (read.header, read.lines) == (names, [2, 3])  # only a first row is a header
    assert "row 1" in refused(file_of(tmp_path, "age,sex\n25,Male\n"), names)
    assert "has a header and no rows" in refused(file_of(tmp_path, "age,sex,Y\n"), names)


def refused(path: Path, names: tuple[str, ...]) -> str:
    with pytest.raises(DataError) as caught:
        read_csv(path, names=names)
    return str(caught.value)


def test_a_file_without_quotes(tmp_path: Path) -> None:
    """A quotation mark that opens a cell, or stands in one, is a letter like others."""
    path = tmp_path / "a.tsv"
    path.write_text('a\tb\n"one\ttwo "2"\nthree"\t\'\n')
    read = read_csv(path, delimiter="\t", quotes=False)
    assert read.rows == [['"one', 'two "2"'], ['three"', "'"]]
    with pytest.raises(DataError):
        read_csv(path, delimiter="\t")


def test_only_some_columns_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("a,b,c\n1,2,3\n4,5,6\n")
    read = read_csv(path, only=("c", "a"))
    assert (read.header, read.rows, read.lines) == (("c", "a"), [["3", "1"], ["6", "4"]], [2, 3])
    assert read.index_of("a", "a") == 1
    with pytest.raises(DataError, match="column 'd' is missing"):
        read_csv(path, only=("a", "d"))
    path.write_text("a,b,c\n1,2\n")
    with pytest.raises(DataError, match="row 2, column 'c': the row ends before it"):
        read_csv(path, only=("a",))
