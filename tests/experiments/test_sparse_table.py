"""The table of sparse networks, of made-up runs."""

from experiments.settings import by_setting
from experiments.sparse_table import chosen_densities, sparse_networks
from tests.experiments.test_sparse_figures import groups_of, row_of


def test_shares_of_the_dense_networks() -> None:
    table = sparse_networks(groups_of())
    assert table is not None
    assert "bytes, %" not in table.columns  # nothing was sent
    cells = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    dense = [row for row in cells if row["density, %"] == "–"]
    assert [row["FLOPs, inference, %"] for row in dense] == ["–", "–"]
    sparse = [row for row in cells if row not in dense]
    assert [row["density, %"] for row in sparse] == ["1", "1", "5", "5", "50", "50"]
    assert [row["FLOPs, training, %"] for row in sparse] == ["1", "1", "5", "5", "50", "50"]
    assert [row["memory, %"] for row in sparse] == ["3.5", "3.5", "7.5", "7.5", "52.5", "52.5"]
    assert [row["ever live, %"] for row in sparse] == ["2", "2", "10", "10", "100", "100"]
    assert {row["lambda"] for row in sparse} == {"10"}
    assert "Student-t interval" in table.caption


def test_without_a_sparse_run_there_is_no_table() -> None:
    rows = [row_of({"method": "erm", "seed": seed}, 0.3) for seed in (0, 1)]
    assert sparse_networks(by_setting(rows)) is None


def test_validation_chooses_the_density_and_test_does_not() -> None:
    """Validation's worst groups are even at 5 and 50 %, its average is better at 5 %; test is best at 50 %.

    Conflicting at 5 %: .2 + .05 / 2 + .1 = .325, to sixtieths of WGA .3333; ERM and JTT .1 + .1 = .2.
    """
    rows = [row for own in groups_of().values() for row in own]
    for row in rows:
        density = row.get("config.rest-density")
        row["validation.worst-group-accuracy"] = {0.01: 0.2, 0.05: 0.4, 0.5: 0.4}[density]
        row["validation.average-accuracy"] = {0.01: 0.9, 0.05: 0.8, 0.5: 0.7}[density]
    table = chosen_densities(by_setting(rows))
    assert table is not None
    cells = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    assert [(row["density, %"], row["of"]) for row in cells] == [("5", "3")] * 2
    sparse = next(row for row in rows if row["config.method"] == "rest" and row["config.rest-density"] == 0.05)
    erm = next(row for row in rows if row["config.method"] == "erm")
    expected = 100 * (sparse["test.conflicting-accuracy"] - erm["test.conflicting-accuracy"])
    for row in cells:
        assert row["minus dense ERM"] == row["minus dense JTT"] == f"{expected:+.1f} ± 0.0"
    inferred, true = sorted((row["setting"], row["minus oracle"]) for row in cells)
    assert "inferred" in inferred[0]
    assert (inferred[1], true[1]) == ("0.0 ± 0.0", "–")


def test_one_density_is_no_choice() -> None:
    assert chosen_densities(groups_of(densities=(0.05,))) is None
