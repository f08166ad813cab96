"""What the README tells a stranger to type is what the program understands."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import experiments.commands
from experiments.analyse import spectrum_report
from experiments.cli import app
from experiments.data import check, show
from experiments.options import configuration_page
from experiments.reproduce import command as reproduce

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def commands(program: str) -> list[list[str]]:
    """The README's command lines of a program, comments and line continuations removed."""
    text = "\n".join(blocks("sh")).replace("\\\n", " ")
    lines = [line.split("   #")[0].strip() for line in text.splitlines()]
    return [shlex.split(line)[1:] for line in lines if line.startswith(f"{program} ")]


@pytest.mark.parametrize("arguments", commands("fedjtt"), ids=" ".join)
def test_every_fedjtt_command_is_understood(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    called = []
    names = ("run", "sweep", "report", "explain", "attribute")
    for name in (f"{each}_command" for each in names):
        monkeypatch.setattr(experiments.commands, name, lambda *_, name=name: called.append(name))
    for home, name in (
        (show, "list_datasets"),
        (show, "show_dataset"),
        (check, "where_command"),
        (check, "check_command"),
    ):
        monkeypatch.setattr(home, name, lambda *_: called.append("data_command"))
    monkeypatch.setattr(reproduce, "list_command", lambda *_: called.append("reproduce_command"))
    monkeypatch.setattr(spectrum_report, "spectrum_report", lambda *_: called.append("analyse_command"))
    monkeypatch.chdir(ROOT)
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert called == [f"{arguments[0]}_command"]


def test_there_are_commands_to_check() -> None:
    assert {arguments[0] for arguments in commands("fedjtt")} == {
        "run", "sweep", "report", "explain", "analyse", "attribute", "data", "reproduce"
    }  # fmt: skip


def test_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    asked = {arguments[0] for arguments in commands("make")}
    assert {"demo", "install", "test", "bench"} <= asked <= targets


def test_links_and_pictures_exist() -> None:
    targets = re.findall(r"\]\(([^)#]+)\)", README)
    assert [target for target in targets if "://" not in target and not (ROOT / target).exists()] == []


def test_the_python_example_runs(capsys: pytest.CaptureFixture[str]) -> None:
    # 120 examples on 10 machines; the label is the sign of the first column, the attribute that of the second.
    generator = np.random.default_rng(0)
    x = generator.normal(size=(150, 4)).astype(np.float32)
    y, a = (x[:, 0] > 0).astype(int), (x[:, 1] > 0).astype(int)
    names = {"x": x, "y": y, "a": a, "x_test": x, "y_test": y, "a_test": a, "x_new": __import__("torch").tensor(x)}
    (example,) = blocks("python")
    assert len([line for line in example.splitlines() if line.strip()]) <= 10
    exec(example, names)
    assert len(names["prediction"]) == 150
    assert capsys.readouterr().out.strip()


def test_the_table_of_settings_is_the_schema() -> None:
    assert (ROOT / "docs" / "configuration.md").read_text() == configuration_page()
