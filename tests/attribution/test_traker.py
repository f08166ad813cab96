"""Scores against those of ``traker``, the TRAK authors' own package, on the same networks."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from trak import TRAKer
from trak.projectors import NoOpProjector

from fedjtt.attribution.trak import TrakSettings, gram_of, projection_of
from fedjtt.data.grouped import GroupedDataset
from fedjtt.models import FlatModel
from tests.attribution.parts import batch, data_for, network
from tests.attribution.test_trak import scored

OURS = TrakSettings(ridge=0.1)


def theirs(model: FlatModel, train: GroupedDataset, on: GroupedDataset, folder: Path) -> np.ndarray:
    """``[train, on]``, up to a factor: the package divides the inverse by the mean size of its entries."""
    projection = projection_of(OURS, model, batch(train)[0][:1])
    kernel = gram_of(projection, "trak", train, torch.arange(len(train)))
    trak = TRAKer(
        model.module.eval(), "image_classification", len(train), save_dir=str(folder), device="cpu",
        projector=NoOpProjector(device="cpu"), proj_dim=0, use_half_precision=False, logging_level=logging.ERROR,
        lambda_reg=OURS.ridge * float(kernel.diagonal().mean()),
    )  # fmt: skip
    state = {name: value.detach().clone() for name, value in model.module.state_dict().items()}
    trak.load_checkpoint(state, model_id=0)
    trak.featurize(batch(train), num_samples=len(train))
    trak.finalize_features()
    trak.start_scoring_checkpoint("on", state, model_id=0, num_targets=len(on))
    trak.score(batch(on), num_samples=len(on))
    return np.array(trak.finalize_scores("on"))


def small(shape: tuple[int, ...], labels: int) -> nn.Module:
    return nn.Sequential(nn.Linear(shape[0], 5), nn.Tanh(), nn.Linear(5, labels))


@pytest.mark.parametrize("builder", ["logistic", small])
def test_scores_are_traker_s(builder: Any, tmp_path: Path) -> None:
    """The same number everywhere between the two, within what float32 leaves of an inverse."""
    model, train, on = network(builder), data_for("mlp", n=400), data_for("mlp", n=9, seed=1)
    ours = scored(OURS, [model], train, on).numpy()
    found = theirs(model, train, on, tmp_path)
    factor = (found * ours).sum() / (ours * ours).sum()
    assert factor > 0
    np.testing.assert_allclose(found, factor * ours, atol=1e-4 * np.abs(found).max())
