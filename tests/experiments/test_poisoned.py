"""Hostile machines: what they send, and what each rule makes of it."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments import poisoned
from experiments.poisoned import ATTACKS, DEFENCES, HOSTILE, MACHINES
from fedjtt.config import RunConfig
from tests.tiny import TINY

VALUES: dict[str, Any] = {
    **TINY, "robust": "federated", "averaging": "none", "machines": MACHINES, "method": "jtt", "min-machines": 0.7,
    "identify": "federated", "robust-rounds": 1, "identify-rounds": 1, "batch-size": 64, "identify-batch-size": 64,
}  # fmt: skip


def result_of(attack: str, defence: str = "mean") -> dict[str, Any]:
    return poisoned.run(RunConfig.parse({**VALUES, **DEFENCES[defence]}), ATTACKS[attack])


def test_a_reversed_update_by_hand() -> None:
    """From (1, 1) trained to (2, 0): the change (1, -1), five times backwards, ends at (-4, 6)."""
    sent, trained = np.array([1.0, 1.0]), np.array([2.0, 0.0])
    attack = ATTACKS["reversed"]
    assert attack is not None
    assert attack(sent, trained, np.random.default_rng(0)).tolist() == [-4.0, 6.0]


@pytest.mark.parametrize("attack", ["reversed", "noise"])
def test_a_hostile_update_changes_the_mean_and_is_not_noticed(attack: str) -> None:
    assert result_of(attack)["digest"] != result_of("none")["digest"]
    assert result_of(attack)["missing"] == []
    assert result_of(attack)["digest"] == result_of(attack)["digest"]


def test_what_is_not_a_number_is_refused_and_the_honest_go_on() -> None:
    result = result_of("not a number")
    assert {entry["machine"] for entry in result["missing"]} == set(HOSTILE)


def test_noise_is_longer_than_the_bound() -> None:
    result = result_of("noise", "mean, norm bound")
    assert {entry["machine"] for entry in result["missing"]} == set(HOSTILE)
    assert result["missing"][0]["why"].endswith("max-update-norm is 15")


def test_multi_krum_leaves_noise_out() -> None:
    """With Krum's rule the honest decide: the weights stay near those of the run without an attack."""
    apart = []
    for defence in ("mean", "Multi-Krum"):
        apart.append(
            abs(result_of("noise", defence)["test"]["average-accuracy"] - result_of("none")["test"]["average-accuracy"])
        )
    assert apart[1] <= apart[0]


def test_the_study_writes_a_row_for_each_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(poisoned, "ATTACKS", {name: ATTACKS[name] for name in ("none", "noise")})
    monkeypatch.setattr(poisoned, "DEFENCES", {name: DEFENCES[name] for name in ("mean", "median")})
    settings = [f"--set={key}={value}" for key, value in VALUES.items()]
    poisoned.main([*settings, "--seeds", "0", "--to", str(tmp_path / "rows.csv")])
    with (tmp_path / "rows.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["attack"], row["defence"]) for row in rows] == [
        (attack, defence) for attack in ("none", "noise") for defence in ("mean", "median")
    ]
    assert len({row["digest"] for row in rows}) == 4
    before = (tmp_path / "rows.csv").read_text()
    monkeypatch.setattr(poisoned, "run", lambda *_: pytest.fail("a run that is known was made again"))
    poisoned.main([*settings, "--seeds", "0", "--to", str(tmp_path / "rows.csv")])
    assert (tmp_path / "rows.csv").read_text() == before


def test_a_rule_that_ends_the_run_is_a_row_with_its_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bulyan wants 4 x 2 + 3 = 11 updates where two of twelve may lie; of twelve two are refused."""
    monkeypatch.setattr(poisoned, "ATTACKS", {"not a number": ATTACKS["not a number"]})
    monkeypatch.setattr(poisoned, "DEFENCES", {"Bulyan": DEFENCES["Bulyan"]})
    said: list[str] = []
    poisoned.study(VALUES, [0], tmp_path / "rows.csv", said.append)
    with (tmp_path / "rows.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert "bulyan returned no weights" in row["error"]
    assert said[0].endswith("ends")
