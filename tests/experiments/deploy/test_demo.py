"""``make deploy-demo``, in small: two runs over one deployment, the table of their groups, and nothing left."""

import csv
from pathlib import Path

import pytest

from experiments.deploy.demo import configs_of, main
from experiments.deploy.demo_data import demo_data
from fedjtt.api import simulate
from fedjtt.tracking import RunFolder
from tests.test_flower_engine import mark as mark  # a fixture: nothing may be left running

SMALL = ["robust-rounds=1", "identify=local", "identify-min-steps=50", "robust-min-steps=50"]


@pytest.mark.slow
@pytest.mark.usefixtures("mark")
def test_the_demonstration_ends_in_a_table_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("FEDJTT_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    assert main(["--out", "there", *(text for each in SMALL for text in ("--set", each))]) == 0
    out = tmp_path / "there"
    said = capsys.readouterr().out
    assert (out / "groups.txt").read_text().splitlines()[4] in said  # the first line of figures
    rows = list(csv.DictReader((out / "groups.csv").read_text().splitlines()))
    assert len(rows) == 5 * 2 * 4  # all and four hosts, two methods, four groups
    absent = [row for row in rows if row["host"] == "west" and (row["label"], row["attribute"]) == ("slow", "women")]
    assert [(row["training"], row["count"], row["accuracy"]) for row in absent] == [("ERM", "0", ""), ("JTT", "0", "")]
    assert "no example" in said
    for name, config in configs_of(demo_data(out / "data"), SMALL).items():
        folder = RunFolder(out / name.lower(), config)
        assert folder.done
        assert folder.result()["digest"] == simulate(config.replace(engine="in-process")).result["digest"]


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    assert main(["--out", str(tmp_path)]) == 2
    assert capsys.readouterr().err == f"fedjtt: {tmp_path} holds other files; name a new folder by --out\n"
    assert (tmp_path / "mine.txt").read_text() == "mine"


def test_bad_settings_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FEDJTT_DATA", raising=False)
    assert main(["--set", "methods=jtt"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("fedjtt: ")
    assert err.count("\n") == 1
    assert main(["--set", "methods=jtt"]) == 2  # what the first try left is no obstacle
    assert "methods" in capsys.readouterr().err
