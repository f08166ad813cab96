"""``fedjtt data``: the command ``show`` may be left out."""

import pytest

from tests.experiments.conftest import Call


@pytest.mark.parametrize("arguments", [[], ["digits"], ["--machines", "4", "digits"]], ids=str)
def test_show_may_be_left_out(call: Call, arguments: list[str]) -> None:
    said = call("data", "show", *arguments)
    assert said[0] == 0
    assert call("data", *arguments) == said


def test_help_names_the_commands(call: Call) -> None:
    for flag in ("--help", "-h"):
        code, out, _ = call("data", flag)
        assert code == 0
        assert all(word in out for word in ("show", "where", "check"))
    assert "--partition" in call("data", "show", "--help")[1]
