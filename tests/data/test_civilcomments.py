"""CivilComments in WILDS' layout: splits, four groups to train on, overlapping ones to evaluate by, and damage."""

from pathlib import Path

import pytest

from fedjtt.api import simulate
from fedjtt.data.civilcomments import IDENTITIES, load_civilcomments
from fedjtt.data.tokens import hashed
from fedjtt.errors import DataError
from tests.data.made_texts import CIVIL_HEADER, civil_rows, make_civil, options_of
from tests.tiny import tiny_config


def test_a_small_file(tmp_path: Path) -> None:
    splits = load_civilcomments(make_civil(tmp_path))
    parts = (splits.train, splits.validation, splits.test)
    assert [len(part) for part in parts] == [20, 5, 5]
    assert splits.kind_names == IDENTITIES
    rows = civil_rows()
    for part in parts:
        places = part.id.tolist()
        assert part.label.tolist() == [int(place % 3 == 0) for place in places]
        assert part.attribute is not None
        assert part.attribute.tolist() == [int(place % 2 == 0 or place % 5 == 0) for place in places]
        assert part.memberships is not None
        assert part.memberships.shape == (len(part), 8)
        assert part.memberships[:, IDENTITIES.index("male")].tolist() == [place % 2 == 0 for place in places]
        assert part.memberships[:, IDENTITIES.index("black")].tolist() == [place % 5 == 0 for place in places]
        assert int(part.memberships.sum(dim=0).count_nonzero()) <= 2
        assert part.x.tolist() == hashed([str(rows[place][-1]) for place in places], 12).tolist()
    assert splits.validation.id.tolist() == [4, 10, 16, 22, 28]


def test_evaluation_is_by_wilds_groups(tmp_path: Path) -> None:
    """Every group of label and identity has the examples of that identity, also those that are of another too."""
    make_civil(tmp_path, civil_rows(60))
    config = tiny_config(dataset="civilcomments", model="auto", data_dir=str(tmp_path), method="erm", max_length=6)
    result = simulate(config).result
    found = result["test"]["overlapping-groups"]
    test = range(5, 60, 6)
    for label, kind, divisor in ((0, "male", 2), (1, "male", 2), (0, "black", 5), (1, "black", 5)):
        own = [place for place in test if (place % 3 == 0) == bool(label) and place % divisor == 0]
        assert found[label * 8 + IDENTITIES.index(kind)]["count"] == len(own)
    right = [group["correct"] / group["count"] for group in found if group["count"]]
    assert result["test"]["worst-group-accuracy"] == min(right)
    assert sum(group["count"] for group in result["test"]["groups"]) == 10


@pytest.mark.parametrize(
    ("column", "value", "line"),
    [
        (
            "split",
            "valid",
            r"row 8, column 'split': unknown value 'valid'; did you mean 'val'\?; allowed are train, val",
        ),
        ("toxicity", "yes", "row 8, column 'toxicity': 'yes' is not a share from 0 to 1"),
        ("black", "1.5", "row 8, column 'black': '1.5' is not a share from 0 to 1"),
        ("id", 7_000_001, r"row 8, column 'id': '7000001' stands in row 4 already; remove one of them"),
    ],
)
def test_damage_is_one_line_that_names_the_file(tmp_path: Path, column: str, value: object, line: str) -> None:
    rows = civil_rows()
    rows[3][CIVIL_HEADER.index(column)] = value  # two lines a comment: the fourth begins in line 8
    with pytest.raises(DataError, match=rf"all_data_with_identities\.csv, {line}") as caught:
        load_civilcomments(make_civil(tmp_path, rows))
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    line = r"civilcomments_v1\.0/all_data_with_identities\.csv is missing; set --data-dir or FEDJTT_DATA"
    with pytest.raises(DataError, match=line):
        load_civilcomments(options_of("civilcomments", tmp_path))


@pytest.mark.parametrize("secure", [False, True])
def test_machines_sums_over_identities_add_up_to_the_servers(tmp_path: Path, secure: bool) -> None:
    make_civil(tmp_path, civil_rows(60))
    settings = {"dataset": "civilcomments", "model": "auto", "data_dir": str(tmp_path), "method": "erm"}
    base = tiny_config(**settings, max_length=6, robust="federated", averaging="none")
    there = base.replace(evaluation_at="machines", secure_aggregation=secure)
    one, other = (simulate(config).result["test"]["overlapping-groups"] for config in (base, there))
    assert [group["count"] for group in one] == [group["count"] for group in other]
    assert sum(group["count"] for group in one) > 0
    if not secure:  # masked sums of weights are rounded
        assert one == other
