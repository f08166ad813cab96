"""Published tables: what their files may say, what was published as a mean with its interval, and choosing cells."""

import re
from pathlib import Path

import pytest

from experiments.reproduce import tables
from experiments.reproduce.tables import CONFIGS, MEASURES, PublishedTable, as_estimate, read_table, table_names
from experiments.statistics import Estimate
from fedjtt.config import RunConfig
from fedjtt.errors import ConfigError
from tests.tiny import REPO

CELL = 'row = "JTT"\ncolumn = "digits"\nconfig = "some.toml"\n'
HEAD = 'title = "t"\nsource = "s"\nneeds = "n"\n'


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in place of the committed tables."""
    monkeypatch.setattr(tables, "TABLES", tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", table_names())
def test_the_committed_tables_are_whole(name: str) -> None:
    table = read_table(name)
    assert table.title
    assert table.source
    assert table.needs
    places = [(cell.row, cell.column) for cell in table.cells]
    assert len(set(places)) == len(places)
    for cell in table.cells:
        assert (CONFIGS / cell.config).is_file()
        assert set(cell.where) <= set(RunConfig.keys())
        assert set(cell.published) <= set(MEASURES)
        for value in cell.published.values():
            assert value is None or 0 <= value.mean <= 1


@pytest.mark.parametrize("name", ["adult", "compas"])
def test_our_own_tables_are_those_of_the_docs(name: str) -> None:
    # The oracle: the page's own rows; columns 4, 5 and 6 are central worst group, average, and federated worst group.
    page = (REPO / "docs" / "methods" / name / "methods.md").read_text()
    rows = [[part.strip() for part in line.split("|")[1:]] for line in page.splitlines() if line.count("|") > 11]
    expected = {}
    for row in rows:
        if re.fullmatch(r"\d+", row[3]):
            expected[row[0], "central", "worst-group"] = row[4]
            expected[row[0], "central", "average"] = row[5]
            expected[row[0], "10 machines", "worst-group"] = row[6]
    found = {
        (cell.row, cell.column, measure): f"{100 * value.mean:.1f} ± {100 * (value.half or 0):.1f}"
        for cell in read_table(f"methods-{name}").cells
        for measure, value in cell.published.items()
        if value is not None
    }
    assert len(expected) == 60
    assert found == expected


def test_the_gap_that_jtt_closes_is_that_of_its_paper() -> None:
    # "Averaged over" its four tasks JTT closes 75 % of the gap from ERM to GroupDRO, says the abstract.
    worst = {(cell.row, cell.column): cell.published["worst-group"] for cell in read_table("jtt").cells}

    def share(task: str) -> float:
        erm, jtt, dro = (value.mean for row in ("ERM", "JTT", "GroupDRO") if (value := worst[row, task]))
        return (jtt - erm) / (dro - erm)

    tasks = ("waterbirds", "celeba", "multinli", "civilcomments")
    assert sum(map(share, tasks)) / 4 == pytest.approx(0.75, abs=0.005)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (72.6, Estimate(0.726, None, 0)),
        (74, Estimate(0.74, None, 0)),
        ({}, None),
        ({"mean": 51.3, "half": 1.6, "seeds": 5}, Estimate(0.513, 0.016, 5)),
        ({"mean": 50}, Estimate(0.5, None, 0)),
        # Standard deviation 2 over 4 seeds: t(.975, 3) = 3.1824, times 2 / sqrt(4).
        ({"mean": 90.0, "deviation": 2.0, "seeds": 4}, Estimate(0.9, 0.031824, 4)),
        # Runs of 0 and 10: mean 5, deviation sqrt(50), t(.975, 1) = 12.7062, times sqrt(50) / sqrt(2) = 5.
        ([0.0, 10.0], Estimate(0.05, 0.635310, 2)),
        ([60], Estimate(0.6, None, 1)),
    ],
)
def test_what_was_published(value: object, expected: Estimate | None) -> None:
    found = as_estimate("average", value)
    if found is None or expected is None:
        assert found == expected
        return
    assert found.n == expected.n
    assert found.mean == pytest.approx(expected.mean)
    assert found.half == (None if expected.half is None else pytest.approx(expected.half, rel=1e-4))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("72.6", "average is '72.6'; write a number, a list"),
        (True, "average is True; write"),
        ([], "average is []; write"),
        ({"half": 1.0}, "write a number, a list of them, or { mean = 1.0, half = 1.0 }"),
        ({"mean": 1.0, "sd": 1.0}, "average has 'sd'; allowed are mean, half, deviation, seeds"),
        ({"mean": 1.0, "deviation": 1.0}, "it needs seeds from 2"),
        ({"mean": 1.0, "deviation": 1.0, "half": 1.0, "seeds": 3}, "and no half"),
    ],
)
def test_what_cannot_have_been_published(value: object, text: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(text)):
        as_estimate("average", value)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (HEAD, "mine.toml: there is no cell; write [[cell]]"),
        (f"title = 't'\nneeds = 'n'\n[[cell]]\n{CELL}average = 1", "mine.toml: source is missing; write a text"),
        (f"{HEAD}tilte = 't'\n[[cell]]\n{CELL}average = 1", "unknown key 'tilte'; did you mean 'title'?"),
        (f"{HEAD}[[cell]]\n{CELL}", "mine.toml: cell 1: no measure is named; write one of worst-group, average"),
        (f"{HEAD}[[cell]]\n{CELL}averag = 1\naverage = 1", "cell 1: unknown key 'averag'"),
        (f"{HEAD}[[cell]]\n{CELL}average = 1\n[[cell]]\nrow = 'a'\naverage = 1", "cell 2: column is missing"),
        (f"{HEAD}[[cell]]\n{CELL}average = 1\nwhere = 3", "cell 1: where is 3; write a table"),
        ("title = ", "mine.toml: "),
    ],
)
def test_a_file_that_is_not_understood(written: Path, content: str, text: str) -> None:
    (written / "mine.toml").write_text(content)
    with pytest.raises(ConfigError, match=re.escape(text)) as caught:
        read_table("mine")
    assert "\n" not in str(caught.value)


def test_an_unknown_table_names_the_nearest(written: Path) -> None:
    (written / "adult.toml").write_text("")
    (written / "jtt.toml").write_text("")
    with pytest.raises(ConfigError, match=r"table is 'adlt'; allowed are adult, jtt; did you mean 'adult'\?"):
        read_table("adlt")


def chosen(table: PublishedTable, names: str) -> list[tuple[str, str]]:
    return [(cell.row, cell.column) for cell in table.only(names).cells]


def test_only_some_cells(written: Path) -> None:
    cells = [("ERM", "birds"), ("JTT", "birds"), ("JTT", "faces"), ("JTT, as it was", "10 birds, federated")]
    texts = [f'[[cell]]\nrow = "{row}"\ncolumn = "{column}"\nconfig = "c"\naverage = 1\n' for row, column in cells]
    (written / "mine.toml").write_text(HEAD + "".join(texts))
    table = read_table("mine")
    assert chosen(table, "jtt") == [("JTT", "birds"), ("JTT", "faces")]
    assert chosen(table, "Faces, ERM") == [("ERM", "birds"), ("JTT", "faces")]
    assert chosen(table, "jtt/birds") == [("JTT", "birds")]
    assert chosen(table, "erm,jtt,  as it was/10 birds, federated") == [cells[0], cells[3]]
    assert chosen(table, "10 birds, federated, erm") == [cells[0], cells[3]]
    for names, text in (("jt", "did you mean 'jtt'?; rows and columns are ERM; JTT; JTT, as it was; birds; faces; 10"),
                        ("erm/faces", "'erm/faces', which is no row, column or row/column of mine"),
                        ("erm, ", "--only names '', which is no row")):  # fmt: skip
        with pytest.raises(ConfigError, match=re.escape(text)):
            table.only(names)
