"""Group accuracies by host: sums and fractions by hand, and groups that have no example."""

import io

from rich.console import Console

from experiments.deploy.group_table import Line, Names, csv_of, lines_of, table_of

NAMES = Names(("a", "b"), ("well", "ill"), ("f", "m"))


def result(correct: tuple[list[int], list[int]], count: tuple[list[int], list[int]]) -> dict[str, object]:
    """What a run over two machines says; the groups' sums are those of the machines."""
    groups = [
        {"label": group // 2, "attribute": group % 2, "count": sum(n), "correct": sum(c)}
        for group, (c, n) in enumerate(zip(zip(*correct, strict=True), zip(*count, strict=True), strict=True))
    ]
    machines = [{"machine": k, "correct": correct[k], "count": count[k]} for k in (0, 1)]
    return {"test": {"groups": groups, "machines": machines}}


RESULTS = {
    "ERM": result(([1, 2, 3, 4], [0, 1, 0, 2]), ([2, 4, 3, 8], [0, 1, 4, 2])),
    "JTT": result(([2, 2, 3, 4], [0, 1, 2, 2]), ([2, 4, 3, 8], [0, 1, 4, 2])),
}


def test_lines_go_from_all_to_host_by_host() -> None:
    lines = lines_of(RESULTS, NAMES)
    assert [(line.host, line.method) for line in lines] == [
        (host, method) for host in ("all", "a", "b") for method in ("ERM", "JTT")
    ]
    assert lines[0] == Line("ERM", "all", (1, 3, 3, 6), (2, 5, 7, 10))
    assert lines[4] == Line("ERM", "b", (0, 1, 0, 2), (0, 1, 4, 2))


def test_the_worst_group_is_one_that_has_examples() -> None:
    # 1/2, 3/5, 3/7, 6/10: the third; without examples of the first, 1/1, 0/4, 2/2: the third.
    assert [line.worst for line in lines_of(RESULTS, NAMES) if line.method == "ERM"] == [2, 0, 2]
    assert Line("ERM", "b", (0, 0), (0, 0)).worst is None


def test_the_table_says_where_there_is_no_example() -> None:
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(table_of(lines_of(RESULTS, NAMES), NAMES, "title"))
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in console.export_text().splitlines()[4:]]
    rows = [row for row in rows if row]
    assert rows[0] == ["all", "ERM", "0.50 (1/2)", "0.60 (3/5)", "0.43 (3/7)", "0.60 (6/10)", "0.43"]
    assert rows[5] == ["", "JTT", "no example", "1.00 (1/1)", "0.50 (2/4)", "1.00 (2/2)", "0.50"]


def test_the_csv_has_a_row_a_group_and_no_accuracy_where_there_is_none() -> None:
    rows = [line.split(",") for line in csv_of(lines_of(RESULTS, NAMES), NAMES).splitlines()]
    assert rows[0] == ["host", "training", "label", "attribute", "count", "correct", "accuracy"]
    assert len(rows) == 1 + 3 * 2 * 4
    assert rows[1] == ["all", "ERM", "well", "f", "2", "1", "0.5000"]
    assert rows[17] == ["b", "ERM", "well", "f", "0", "0", ""]
