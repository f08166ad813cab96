from experiments.table import Table, as_html, as_markdown, as_text

TABLE = Table("a < b", "5 < 6 & more", ("setting", "x|y"), (("<b>", "1 | 2"), ("JTT, 1 machine", "–")))


def test_markup_in_cells_is_text() -> None:
    assert "<td>1 | 2</td>" in as_html(TABLE)
    assert "&lt;b&gt;" in as_html(TABLE)
    assert "<b>" not in as_html(TABLE)
    assert "5 &lt; 6 &amp; more" in as_html(TABLE)
    assert "| <b> | 1 \\| 2 |" in as_markdown(TABLE)
    assert as_text(TABLE).splitlines()[1:4] == [
        "setting           x|y", "--------------  -----", "<b>             1 | 2"
    ]  # fmt: skip
