from experiments.page import bullets, counted, page, pairs, section


def test_the_page_holds_its_parts_and_asks_for_nothing() -> None:
    text = page("a < b", "1 & 2", section("c > d", "<p>e</p>"))
    assert "<h1>a &lt; b</h1>" in text
    assert '<p class="what">1 &amp; 2</p>' in text
    assert "<section><h2>c &gt; d</h2>\n<p>e</p></section>" in text
    assert "default-src 'none'; img-src data:" in text
    assert "http:" not in text.replace("http-equiv", "")
    assert "<script" not in text


def test_what_is_empty_leaves_nothing() -> None:
    assert (section("title", ""), bullets([]), pairs({})) == ("", "", "")


def test_names_and_values_are_text() -> None:
    assert pairs({"<a>": "b & c"}) == "<dl><div><dt>&lt;a&gt;</dt><dd>b &amp; c</dd></div></dl>"
    assert bullets(["<li>one</li>", "<li>two</li>"]) == "<ul><li>one</li><li>two</li></ul>"


def test_a_noun_takes_an_s_but_for_one() -> None:
    assert [counted(number, "run") for number in (0, 1, 2)] == ["0 runs", "1 run", "2 runs"]
