"""The table of sparse networks, of made-up runs."""

from experiments.settings import by_setting
from experiments.sparse_table import sparse_networks
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
