"""``fedjtt analyse`` as a user runs it."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from experiments.cli import main

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Call:
    """Run the command line in this process and an empty folder; return exit code, output and errors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FEDJTT_DATA", raising=False)

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["fedjtt", *arguments])
        with pytest.raises(SystemExit) as caught:
            main()
        out, err = capsys.readouterr()
        code = caught.value.code
        return (code if isinstance(code, int) else 0 if code is None else 1), out, err

    return run


def test_help_names_the_analyses(call: Call) -> None:
    code, out, _ = call("analyse", "--help")
    assert code == 0
    assert "spectrum" in out
    code, out, _ = call("analyse", "spectrum", "--help")
    assert code == 0
    assert "RUN" in out
