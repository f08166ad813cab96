"""``fedjtt data where`` and ``check``: words, counts beside the published ones, and damage with exit code 2."""

from dataclasses import replace
from pathlib import Path

import pytest

from experiments.data.check import SHOWN
from fedjtt.data import sources
from fedjtt.data.findings import Findings
from fedjtt.data.published import PUBLISHED, Published
from tests.data.test_adult import people, written
from tests.experiments.conftest import Call

COUNTS = {"train": (4, 1), "test": (2, 2)}


def pretend(monkeypatch: pytest.MonkeyPatch, problems: list[str], published: Published) -> None:
    """Let adult's files hold groups of COUNTS, and some damage."""
    found = Findings(("yes",), ("left", "right"), COUNTS, problems, ["half of it is elsewhere"])
    monkeypatch.setitem(sources.SOURCES, "adult", replace(sources.SOURCES["adult"], look=lambda _: found))
    monkeypatch.setitem(PUBLISHED, "adult", published)


@pytest.mark.parametrize("name", PUBLISHED)
def test_where_says_where_and_how(call: Call, name: str) -> None:
    code, out, err = call("data", "where", name)
    assert (code, err) == (0, "")
    assert PUBLISHED[name].where in out
    assert all(line in out for line in PUBLISHED[name].layout)


@pytest.mark.parametrize("command", ["where", "check"])
def test_only_published_datasets_are_known(call: Call, command: str) -> None:
    code, out, err = call("data", command, "adlt")
    assert (code, out) == (2, "")
    assert "did you mean 'adult'" in err
    code, out, err = call("data", command, "csv")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "the machines' own" in err


def test_a_dataset_without_published_counts_is_loaded_and_counted(call: Call, tmp_path: Path) -> None:
    written(tmp_path, people(50), people(20, "."))
    code, out, _ = call("data", "check", "adult", "--data-dir", str(tmp_path))
    assert code == 0
    assert "no published sizes" in out
    assert "no damage found" in out
    code, _, err = call("data", "check", "adult", "--data-dir", str(tmp_path / "nowhere"))
    assert code == 2
    assert "adult.data is missing" in err


def test_equal_and_differing_groups(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, [], Published("there", counts=COUNTS, counted_by="the paper"))
    code, out, _ = call("data", "check", "adult")
    assert code == 0
    assert "groups: all are as in the paper" in out
    assert "note: half of it is elsewhere" in out
    pretend(monkeypatch, [], Published("there", counts={"train": (4, 3)}, counted_by="the paper"))
    code, out, _ = call("data", "check", "adult")
    assert code == 0  # another version of the data is no damage
    assert "differs: train, yes, right: 1 here, 3 published (-2)" in out
    assert "groups: 1 differ from the paper" in out


def test_damage_is_exit_code_2_and_every_problem_is_a_line(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, ["a.jpg is damaged"], PUBLISHED["adult"])
    code, out, err = call("data", "check", "adult")
    assert (code, err) == (2, "fedjtt: a.jpg is damaged\n")
    assert "no damage found" not in out
    pretend(monkeypatch, [f"{number}.jpg is damaged" for number in range(SHOWN + 1)], PUBLISHED["adult"])
    code, _, err = call("data", "check", "adult")
    assert code == 2
    assert err.count("damaged: ") == SHOWN
    assert f"fedjtt: adult has {SHOWN + 1} problems, of which {SHOWN} are shown" in err
