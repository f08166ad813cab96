"""``fedjtt attribute`` on real runs: scores that agree with what d3m removes, files, pictures, and one clear line."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from tests.experiments.conftest import Call
from tests.experiments.test_cli import SMALL, is_refused

RUN = ["run", "--quiet", "--set", "dataset=digits", *SMALL, "--machines", "2"]
FEW = ["--set", "projection-dimension=64"]


def ran(call: Call, out: str, *more: str) -> str:
    code, _, errors = call(*RUN, "--out", out, *more)
    assert code == 0, errors
    return out


@pytest.mark.slow
def test_scores_pictures_and_the_examples_that_d3m_removes(call: Call, tmp_path: Path) -> None:
    """An ERM run's scores; d3m with the same settings removes exactly those with a negative alignment."""
    erm = ran(call, "erm", "--method", "erm", "--set", "selection=last")
    code, out, errors = call("attribute", erm, "--to", "scores", "-k", "5", *FEW)
    assert code == 0, errors
    rows = list(csv.DictReader((tmp_path / "scores" / "scores.csv").read_text().splitlines()))
    alignment = np.array([float(row["alignment"]) for row in rows])
    assert [int(row["id"]) for row in rows] == sorted(int(row["id"]) for row in rows)
    np.testing.assert_allclose(np.load(tmp_path / "scores" / "scores.npy"), alignment, rtol=1e-8)
    about = json.loads((tmp_path / "scores" / "attribution.json").read_text())
    weights = np.array([target["weight"] for target in about["targets"]])
    names = [target["group"] for target in about["targets"]]
    by_group = np.array([[float(row[name]) for name in names] for row in rows])
    np.testing.assert_allclose(by_group @ weights, alignment, atol=1e-6 * np.abs(alignment).max())
    assert about["settings"]["projection-dimension"] == 64
    d3m = json.loads((tmp_path / ran(call, "d3m", "--method", "d3m", *FEW) / "result.json").read_text())["removal"]
    assert d3m["removed"] == (alignment < 0).sum() == about["removed"][-1]["number"]
    assert d3m["group-removed"] == about["removed"][-1]["by-group"]
    assert (tmp_path / "scores" / "harmful-helpful.png").read_bytes().startswith(b"\x89PNG")
    assert "of the most harmful" in out
    assert call("attribute", erm, "--to", "scores", "-k", "5", "--auto", *FEW)[0] == 0  # its own folder, written anew
    again = json.loads((tmp_path / "scores" / "attribution.json").read_text())
    assert len(again["targets"]) == 2 * 5
    assert again["targets"][0]["group"].endswith("side 0")
    other = ran(call, "other", "--method", "erm", "--set", "weight-decay=0.02")
    assert call("attribute", erm, other, "--to", "both", *FEW)[0] == 0  # two models, averaged
    both = np.load(tmp_path / "both" / "scores.npy")
    assert np.abs(both - alignment).max() > 0
    seed = ran(call, "seed", "--method", "erm", "--seed", "1")
    is_refused(
        call, "seed has seed 1 and erm 0; attribute runs over the same data", "attribute", erm, seed, "--to", "x"
    )
    is_refused(
        call, "--to is erm, which holds other files; name a new or empty folder", "attribute", erm, "--to", "erm"
    )
    is_refused(call, "method belongs to the run, which is done", "attribute", erm, "--to", "x", "--set", "method=jtt")
    is_refused(call, "projection is 'sparse'; allowed are", "attribute", erm, "--to", "x", "--set", "projection=sparse")


def test_what_is_no_run_is_one_line(call: Call) -> None:
    is_refused(call, "nowhere is not a folder", "attribute", "nowhere", "--to", "x")
