"""MultiNLI in GLUE's layout with GroupDRO's split file, without it, and what is refused."""

from pathlib import Path

import pytest
import torch

from fedjtt.api import simulate
from fedjtt.data.grouped import Splits
from fedjtt.data.multinli import is_negated, load_multinli
from fedjtt.data.tokens import hashed
from fedjtt.errors import DataError
from tests.data.made_texts import make_mnli, metadata_rows, mnli_rows
from tests.tiny import tiny_config


def parts_of(splits: Splits) -> tuple[list[int], ...]:
    return tuple(part.id.tolist() for part in (splits.train, splits.validation, splits.test))


def test_the_published_split(tmp_path: Path) -> None:
    splits = load_multinli(make_mnli(tmp_path, metadata=metadata_rows(48)))
    places = range(48)
    expected = [[place for place in places if (0, 0, 1, 2)[place // 2 % 4] == part] for part in range(3)]
    assert list(parts_of(splits)) == expected
    assert splits.notes == ()
    assert splits.label_names == ("contradiction", "entailment", "neutral")
    train = splits.train
    assert train.label.tolist() == [place % 3 for place in expected[0]]
    assert train.attribute is not None
    assert train.attribute.tolist() == [int(place % 4 == 0) for place in expected[0]]
    rows = [*mnli_rows(36), *mnli_rows(6, 36, dev=True), *mnli_rows(6, 42, dev=True)]
    assert train.x[:, 1].tolist() == hashed([str(rows[place][9]) for place in expected[0]], 12).tolist()


def test_without_the_split_file_the_attribute_is_the_same_and_the_result_says_so(tmp_path: Path) -> None:
    splits = load_multinli(make_mnli(tmp_path))
    # 48 rows: 20 % are 9.6, 30 % 14.4
    assert [len(ids) for ids in parts_of(splits)] == [24, 10, 14]
    assert sorted(place for ids in parts_of(splits) for place in ids) == list(range(48))
    for part in (splits.train, splits.validation, splits.test):
        assert part.attribute is not None
        assert torch.equal(part.attribute, (part.id % 4 == 0).long())
    config = tiny_config(dataset="multinli", model="auto", data_dir=str(tmp_path), method="erm", max_length=6)
    assert "the split is drawn by seed" in simulate(config).result["notes"][0]


@pytest.mark.parametrize(
    ("text", "negated"),
    [
        ("Nobody came.", True), ("No, he did", True), ("it's nothing!", True), ("NEVER", True), ("", False),
        ("He did not come", False), ("a notable cannon", False), ("nobody's fool", False), ("no-one", False),
    ],
)  # fmt: skip
def test_the_rule_of_the_attribute(text: str, negated: bool) -> None:
    """Punctuation goes before words are told apart: nobody's is nobodys, and no-one is noone."""
    assert is_negated(text) == negated


@pytest.mark.parametrize(
    ("row", "column", "value", "line"),
    [
        (2, 3, 3, r"metadata_random\.csv, row 4, column 'split': unknown value '3'; allowed are 0, 1, 2"),
        (2, 2, 2, r"metadata_random\.csv, row 4, column 'sentence2_has_negation': unknown value '2'; allowed are 0, 1"),
        (
            2,
            1,
            0,
            r"metadata_random\.csv, row 4, column 'gold_label': contradiction here, neutral in train\.tsv, row 4;",
        ),
        (
            40,
            1,
            0,
            r"row 42, column 'gold_label': contradiction here, entailment in dev_matched\.tsv, row 6; the files",
        ),
    ],
)
def test_a_damaged_split_file_is_one_line(tmp_path: Path, row: int, column: int, value: int, line: str) -> None:
    metadata = metadata_rows(48)
    metadata[row][column] = value
    with pytest.raises(DataError, match=line) as caught:
        load_multinli(make_mnli(tmp_path, metadata=metadata))
    assert "\n" not in str(caught.value)


def test_an_extra_row_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"metadata_random\.csv has 49 rows and the sentence files 48; one of them"):
        load_multinli(make_mnli(tmp_path, metadata=metadata_rows(49)))


def test_a_wrong_label_and_a_missing_file_are_one_line(tmp_path: Path) -> None:
    train = mnli_rows(36)
    train[5][-1] = "-"
    with pytest.raises(
        DataError, match=r"train\.tsv, row 7, column 'gold_label': unknown value '-'; allowed are contra"
    ):
        load_multinli(make_mnli(tmp_path, train))
    options = make_mnli(tmp_path)
    (tmp_path / "multinli" / "glue_data" / "MNLI" / "dev_mismatched.tsv").unlink()
    with pytest.raises(
        DataError, match=r"glue_data/MNLI/dev_mismatched\.tsv is missing; set --data-dir or FEDJTT_DATA"
    ):
        load_multinli(options)
