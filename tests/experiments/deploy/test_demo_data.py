"""The demonstration's rows: the hospitals' where they are, and a stand-in with the same oddity elsewhere."""

from pathlib import Path

import pandas as pd
import pytest
from sklearn.datasets import load_diabetes

from experiments.deploy.demo_data import STAND_IN_HOSTS, demo_data
from fedjtt.config import RunConfig
from fedjtt.provide import check_data


def test_the_stand_in_is_every_patient_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FEDJTT_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    data = demo_data(tmp_path / "data")
    assert (data.hosts, data.labels, data.attributes) == (STAND_IN_HOSTS, ("slow", "fast"), ("women", "men"))
    parts = [pd.read_csv(tmp_path / "data" / f"{name}.csv") for name in STAND_IN_HOSTS]
    together = pd.concat(parts).sort_values(["age", "bmi", "s1", "s6"]).reset_index(drop=True)
    original = load_diabetes(as_frame=True, scaled=False).frame.sort_values(["age", "bmi", "s1", "s6"])
    assert together["bmi"].tolist() == original["bmi"].tolist()
    assert (together["sex"] == "men").tolist() == (original["sex"] == 2).tolist()
    assert (together["progression"] == "fast").tolist() == (original["target"] > 140.5).tolist()  # 221 of 442 above
    counts = [part.groupby(["progression", "sex"]).size() for part in parts]
    assert ("slow", "women") not in counts[-1]
    assert all(len(each) == 4 for each in counts[:-1])
    assert min(map(len, parts)) > 60
    check_data(RunConfig.parse({**data.keys, "machines": 4, "robust": "federated"}))


def test_the_hospitals_are_taken_where_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data_dir: Path
) -> None:
    if not (data_dir / "heart4").is_dir():
        pytest.skip("heart4 is not here: set FEDJTT_DATA to a folder that holds it")
    monkeypatch.setenv("FEDJTT_DATA", str(data_dir))
    data = demo_data(tmp_path / "data")
    assert data.hosts == ("cleveland", "hungarian", "switzerland", "va")
    assert (data.labels, data.attributes) == (("healthy", "disease"), ("women", "men"))
    assert data.keys == {"dataset": "heart4", "data-dir": str(data_dir.absolute())}
    assert not (tmp_path / "data").exists()
