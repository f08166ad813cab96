"""The schema: what it says, and what it refuses."""

from pathlib import Path
from typing import Any

import pytest

from fedjtt.data.cells import Rule
from fedjtt.data.host_schema import Coded, Schema, parse_schema, read_schema
from fedjtt.errors import ConfigError
from tests.data.own_data import schema_of

TOML = """
label = "target"
label-rule = "target > 0"
label-names = ["healthy", "disease"]
attribute = "sex"
attributes = [0, 1]
split-shares = [0.5, 0.25, 0.25]
id = "patient"
keep = ["age >= 18"]
numeric = ["age"]
missing = ["", "-9"]

[categorical]
pain = ["none", "some"]

[missing-in]
age = [0]
"""


def test_a_file_says_all_of_it(tmp_path: Path) -> None:
    path = tmp_path / "schema.toml"
    path.write_text(TOML)
    rule = Rule("target", ">", (0.0,))
    assert read_schema(path) == Schema(
        label=Coded("target", ("target <= 0", "target > 0"), ("healthy", "disease"), rule),
        attribute=Coded("sex", ("0", "1"), ("0", "1")),
        numeric=("age",),
        categorical=(Coded("pain", ("none", "some"), ("none", "some")),),
        split=None,
        split_shares=(0.5, 0.25, 0.25),
        id="patient",
        keep=(Rule("age", ">=", (18.0,)),),
        missing=("", "-9"),
        missing_in=(("age", ("0",)),),
    )


def test_columns_are_all_that_a_file_must_have_each_once() -> None:
    schema = schema_of(id="patient", keep=["age > 18", "ward == A"], categorical={"sex": ["0", "1"]})
    assert sorted(schema.columns) == ["age", "chol", "part", "patient", "sex", "target", "ward"]


def test_a_label_by_values_and_its_names() -> None:
    label = schema_of(label_rule=None, labels=["no", 1], label_names=["healthy", "ill"]).label
    assert (label.values, label.names) == (("no", "1"), ("healthy", "ill"))
    assert [label.code("no"), label.code(1.0), label.code("1"), label.code("yes")] == [0, 1, None, None]


def test_a_label_by_a_rule() -> None:
    label = schema_of().label
    assert label.names == ("target <= 0", "target > 0")
    assert [label.code(0.0), label.code(3.0), label.code("ill")] == [0, 1, None]
    assert "numbers" in label.allowed


def test_a_rule_over_texts_takes_every_value() -> None:
    label = schema_of(label_rule="target in {ill, 2}").label
    assert [label.code("ill"), label.code(2.0), label.code("well"), label.code(1.0)] == [1, 1, 0, 0]
    assert label.allowed == "target not in {ill, 2}, target in {ill, 2}"


def test_without_an_attribute() -> None:
    assert schema_of(attribute=None, attributes=None).attribute is None


def test_values_of_the_split_can_be_a_hosts_own() -> None:
    split = schema_of(splits=["a", "b", "c"]).split
    assert split is not None
    assert [split.code(value) for value in ("a", "b", "c", "train")] == [0, 1, 2, None]


def test_missing_tokens_are_the_same_in_both_cases_and_as_numbers() -> None:
    schema = schema_of(missing_in={"chol": ["0"]})
    assert all(schema.is_missing("age", value) for value in ("", "?", "na", "NA", "NaN"))
    assert not schema.is_missing("age", 0.0)
    assert schema.is_missing("chol", 0.0)
    assert not schema_of(missing=["-"]).is_missing("age", "?")
    assert not schema_of(missing=[]).is_missing("age", "")


def test_the_fingerprint_is_equal_where_the_schema_is_and_only_there() -> None:
    assert schema_of().fingerprint == schema_of().fingerprint
    others = [
        schema_of(missing_in={"chol": ["0"]}),
        schema_of(numeric=["chol", "age"]),
        schema_of(label_names=["a", "b"]),
    ]
    assert len({schema_of().fingerprint, *(other.fingerprint for other in others)}) == 4
    assert len(schema_of().fingerprint) == 64


@pytest.mark.parametrize(
    ("changes", "hint"),
    [
        ({"label": None, "label_rule": None}, "label is missing; name the column"),
        ({"label": None}, "need label, the column"),
        ({"label_rule": None}, "either labels .* or label-rule"),
        ({"labels": ["0", "1"]}, "either labels .* or label-rule"),
        ({"label_rule": "age > 0"}, "label-rule is about 'age' and label is 'target'"),
        ({"label_rule": "target"}, "label-rule is 'target'; write a column"),
        ({"label_names": ["a", "b", "c"]}, "label-names has 3 names for 2 values"),
        ({"attributes": None}, "either attributes .* or attribute-rule"),
        ({"attributes": ["0"]}, "attributes is .*; list two or more different values"),
        ({"attributes": ["1", "1.0"]}, "attributes is .*; list two or more different values"),
        ({"attribute": "target", "attributes": ["0", "1"]}, "'target' is label and attribute at once"),
        ({"numeric": [], "categorical": {}}, "no columns to learn from"),
        ({"numeric": ["age", "age"]}, "lists column 'age' twice"),
        ({"numeric": ["pain"]}, "lists column 'pain' twice"),
        ({"numeric": ["target"]}, "'target' is the label and an input at once"),
        ({"numeric": ["part"]}, "'part' is the split and an input at once"),
        ({"id": "age"}, "'age' is the id and an input at once"),
        ({"categorical": {"pain": ["none"]}}, "categorical.pain is .*; list two or more"),
        ({"categorical": {"pain": ["none", "na"]}}, "'na' is a value of 'pain' and means missing"),
        ({"missing_in": {"sex": ["0"]}}, "'0' is a value of 'sex' and means missing"),
        ({"missing_in": {"cohl": ["0"]}}, "missing-in names 'cohl', which is no column; did you mean 'chol'"),
        ({"split": None}, "either split .* or split-shares"),
        ({"split_shares": [0.6, 0.2, 0.2]}, "either split .* or split-shares"),
        ({"splits": ["a", "b"]}, "splits has 2 values; give three"),
        ({"split": None, "split_shares": [0.5, 0.5]}, "split-shares is .*; give three numbers with sum 1"),
        ({"split": None, "split_shares": [0.5, 0.5, 0.5]}, "give three numbers with sum 1"),
        ({"split": None, "split_shares": [0.0, 0.5, 0.5]}, "train .above 0."),
        ({"split": None, "split_shares": [1.5, -0.5, 0.0]}, "give three numbers with sum 1"),
        ({"split": None, "split_shares": [float("nan"), 0.5, 0.5]}, "give three numbers with sum 1"),
        ({"keep": ["age"]}, "keep is 'age'; write a column"),
        ({"numerics": ["age"]}, "unknown key 'numerics'; did you mean 'numeric'"),
    ],
)
def test_what_contradicts_itself_is_refused_in_one_line(changes: dict[str, Any], hint: str) -> None:
    with pytest.raises(ConfigError, match=hint) as caught:
        schema_of(**changes)
    assert str(caught.value).startswith("schema: ")
    assert str(caught.value).count("schema: ") == 1
    assert "\n" not in str(caught.value)


def test_errors_name_the_file(tmp_path: Path) -> None:
    path = tmp_path / "ours.toml"
    path.write_text("label = 3")
    with pytest.raises(ConfigError, match=r"ours\.toml: label is 3; write a text in quotes"):
        read_schema(path)
    with pytest.raises(ConfigError, match=r"^here: label is missing"):
        parse_schema({}, "here")
