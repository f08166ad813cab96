"""The linear datamodeling score: its arithmetic by hand, and a tiny measurement that goes on where it was stopped."""

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from experiments import lds
from experiments.lds import half, linear_datamodeling_score, main, rank_correlation

TINY = ["--examples", "60", "--targets", "8", "--halves", "3", "--models", "2", "--quick", "--set", "dataset=digits",
        "--set", "difficulty=large", "--set", "model=mlp", "--set", "robust-epochs=1"]  # fmt: skip


def test_rank_correlations_are_scipy_s() -> None:
    first, second = (torch.randn(20, 4, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1))
    expected = [spearmanr(first[:, column], second[:, column]).statistic for column in range(4)]
    np.testing.assert_allclose(rank_correlation(first, second), expected)


def test_scores_that_add_up_to_the_outputs_score_one() -> None:
    """Outputs that are sums of scores over a half's members: 1; of scores turned round: -1; a mean over targets."""
    generator = torch.Generator().manual_seed(0)
    scores, members = torch.randn(30, 2, generator=generator), torch.rand(10, 30, generator=generator) < 0.5
    outputs = members.float() @ scores
    assert linear_datamodeling_score(scores, members, outputs) == pytest.approx(1.0)
    assert linear_datamodeling_score(-scores, members, outputs) == pytest.approx(-1.0)
    assert linear_datamodeling_score(scores * torch.tensor([1.0, -1.0]), members, outputs) == pytest.approx(0.0)


def test_halves_are_halves_and_functions_of_their_number() -> None:
    assert len(half(3, 21, 0).unique()) == 10
    assert torch.equal(half(3, 21, 0), half(3, 21, 0))
    assert not torch.equal(half(3, 21, 0), half(4, 21, 0))


@pytest.mark.slow
def test_a_measurement_that_was_stopped_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = str(tmp_path / "lds")
    lines = main(["--out", out, *TINY])
    assert {(line["projection"], line["models"]) for line in lines} == {
        ("factored", 1), ("factored", 2), ("dense", 1), ("dense", 2)
    }  # fmt: skip
    assert all(-1 <= line["lds"] <= 1 for line in lines)
    assert all(line["correlation-with-factored"] == pytest.approx(1) for line in lines if line["projection"] != "dense")
    (tmp_path / "lds" / "halves" / "1.npy").unlink()
    trainings, original = [], lds.simulate
    monkeypatch.setattr(lds, "simulate", lambda *given: trainings.append(given) or original(*given))
    assert main(["--out", out, *TINY]) == lines
    assert len(trainings) == 1
    with pytest.raises(SystemExit, match="which holds another measurement"):
        main(["--out", out, *TINY, "--set", "weight-decay=0.1"])
