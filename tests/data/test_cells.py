"""What a cell says, and rules over it."""

import math

import pytest

from fedjtt.data.cells import Rule, parse_rule, value_of
from fedjtt.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("63", 63.0),
        ("63.0", 63.0),
        (".7", 0.7),
        ("7.", 7.0),
        ("-2.5", -2.5),
        ("+6.3e1", 63.0),
        (" 5\t", 5.0),
        ("0", 0.0),
    ],
)
def test_a_number_is_a_number_in_every_notation(text: str, number: float) -> None:
    assert value_of(text) == number


@pytest.mark.parametrize(
    "text", ["", "?", "nan", "inf", "-Infinity", "1_000", "1,5", "1 000", "0x10", ".", "e5", "1e", "٣", "12a", "--1"]
)
def test_what_is_no_number_stays_a_text(text: str) -> None:
    assert value_of(text) == text


def test_a_decimal_comma_makes_a_point_ambiguous() -> None:
    assert value_of("63,5", ",") == 63.5
    assert value_of(",7", ",") == 0.7
    assert value_of("63", ",") == 63.0
    assert value_of("1.234", ",") == "1.234"  # 1234 or 1.234: nobody knows


def test_a_number_beyond_float64_is_infinite() -> None:
    assert value_of("1e999") == math.inf


@pytest.mark.parametrize(
    ("text", "true", "false"),
    [
        ("target > 0", [1.0, 4.0], [0.0, -1.0, "yes"]),
        ("target >= 1", [1.0, 2.0], [0.0, "1x"]),
        ("target<2", [1.0], [2.0]),
        ("target <= 2", [2.0], [2.5]),
        ("target == 1.0", [1.0], [0.0, "one"]),
        ("target == yes", ["yes"], ["no", 1.0]),
        ("target != 'no'", ["yes", 1.0], ["no"]),
        ("target in {2, b, '3.0'}", [2.0, "b", 3.0], [1.0, "c"]),
    ],
)
def test_rules(text: str, true: list[float | str], false: list[float | str]) -> None:
    rule = parse_rule(text, "label-rule")
    assert rule.column == "target"
    assert all(rule.holds(value) for value in true)
    assert not any(rule.holds(value) for value in false)


@pytest.mark.parametrize(
    ("text", "said", "opposite"),
    [
        ("a>0", "a > 0", "a <= 0"),
        ("a >= .5", "a >= 0.5", "a < 0.5"),
        ("a < 1", "a < 1", "a >= 1"),
        ("a <= 1", "a <= 1", "a > 1"),
        ("a == x", "a == x", "a != x"),
        ("a != x", "a != x", "a == x"),
        ("a in {1,x}", "a in {1, x}", "a not in {1, x}"),
    ],
)
def test_a_rule_says_itself_and_its_opposite(text: str, said: str, opposite: str) -> None:
    rule = parse_rule(text, "label-rule")
    assert str(rule) == said
    assert rule.opposite == opposite


def test_a_column_may_have_blanks_and_even_the_word_in() -> None:
    assert parse_rule("blood pressure in mm > 140", "keep") == Rule("blood pressure in mm", ">", (140.0,))
    assert parse_rule("state in it in {a}", "keep") == Rule("state in it", "in", ("a",))


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("target", "write a column, one of"),
        ("> 0", "write a column, one of"),
        ("target = 1", "write a column, one of"),
        ("target > high", "compares numbers"),
        ("target >", "a value is missing"),
        ("target in {}", "a value is missing"),
        ("target in {1, 2", "with a brace"),
    ],
)
def test_a_rule_that_cannot_be_read_says_how_to_write_one(text: str, hint: str) -> None:
    with pytest.raises(ConfigError, match=hint) as caught:
        parse_rule(text, "label-rule")
    assert str(caught.value).startswith("label-rule is ")


def test_only_orders_need_a_number() -> None:
    assert parse_rule("a > 0", "keep").needs_number
    assert not parse_rule("a == 0", "keep").needs_number
    assert not parse_rule("a in {0}", "keep").needs_number
