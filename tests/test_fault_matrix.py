"""docs/faults.md: 17 faults, and every test that it names exists, with its parameter."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from tests.strategies.test_faults import FATES, LIES
from tests.tiny import REPO

FILES = {"machines": "tests/strategies/test_faults.py", "processes": "tests/experiments/deploy/test_faults.py"}
PAGE = (REPO / "docs" / "faults.md").read_text()
ROWS = [line.strip("| ").split(" | ") for line in PAGE.splitlines() if re.match(r"\| \d+ \|", line)]


@cache
def functions(path: str) -> dict[str, str]:
    """A file's tests by name, with their decorators as text."""
    text = (REPO / path).read_text()
    return {
        node.name: "\n".join(ast.unparse(each) for each in node.decorator_list)
        for node in ast.parse(text).body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


def test_there_are_seventeen_each_with_what_happens_and_what_is_seen() -> None:
    assert [int(row[0]) for row in ROWS] == list(range(1, 18))
    assert all(len(row) == 5 and all(cell.strip() for cell in row) for row in ROWS)
    assert len({row[1] for row in ROWS}) == 17


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[1])
def test_the_test_that_is_named_exists(row: list[str]) -> None:
    named = re.fullmatch(r"`(\w+)::(\w+)(?:\[([^]]+)\])?`", row[4])
    assert named, row[4]
    place, test, parameter = named.groups()
    decorators = functions(FILES[place])[test]
    if parameter is not None:
        listed = {"FATES": FATES, "LIES": LIES}
        sets = [name for name in listed if f", {name})" in decorators]
        assert any(parameter in listed[name] for name in sets) or f"'{parameter}'" in decorators


def test_the_files_and_commands_that_the_page_names_exist() -> None:
    for path in re.findall(r"tests/[\w/]+\.py", PAGE):
        assert (REPO / path).is_file(), path
    for module in re.findall(r"python -m ([\w.]+)", PAGE):
        assert (REPO / Path(*module.split("."))).with_suffix(".py").is_file(), module
