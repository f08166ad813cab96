"""What every train example does to validation's groups, by the models of finished runs: ``fedjtt attribute``."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from experiments.analyse.finished import FinishedRun, finished_runs
from fedjtt.attribution.alignment import group_weights
from fedjtt.attribution.kernel import solve
from fedjtt.attribution.projection import Projection
from fedjtt.attribution.pseudo_groups import basis_of, components, scattered, sides
from fedjtt.attribution.trak import gram_of, influences, points_of, projection_of, squares_of, target_sums
from fedjtt.cache import STAGE_KEYS
from fedjtt.config import RunConfig
from fedjtt.data.grouped import GroupedDataset, Splits
from fedjtt.data.sampling import blank
from fedjtt.errors import ConfigError
from fedjtt.keys.attribution import AttributionKeys
from fedjtt.keys.field import kebab
from fedjtt.methods.attribute import trak_settings
from fedjtt.models import build_model
from fedjtt.provide import splits_of
from fedjtt.tracking import write_atomically
from fedjtt.workspace import builder_of

MAY_CHANGE = (*map(kebab, AttributionKeys.model_fields), "groups")
SHARES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)


@dataclass(frozen=True)
class Attribution:
    """Scores of all train examples.

    Attributes
    ----------
    by_group : Tensor
        float64 ``[n, groups]``: what each example does to the mean output of each validation group; positive helps.
    alignment : Tensor
        float64 ``[n]``: their sum by the groups' weights.
    weights, losses, counts : Tensor
        ``[groups]``.
    names : list of str
        The groups'.
    """

    by_group: Tensor
    alignment: Tensor
    weights: Tensor
    losses: Tensor
    counts: Tensor
    names: list[str]


def runs_of(
    folders: Sequence[Path], changes: Mapping[str, Any], data_dir: Path | None
) -> tuple[list[FinishedRun], RunConfig]:
    """Return finished runs, and the config by which they are attributed: the first's, with other ways to attribute.

    Raises
    ------
    ConfigError
        Where the runs' data or networks differ, a change is about something else, or the data is the machines' own.
    """
    for key in changes:
        if key not in MAY_CHANGE:
            raise ConfigError(f"{key} belongs to the run, which is done; --set takes {', '.join(MAY_CHANGE)}")
    runs = finished_runs(folders, data_dir)
    first = runs[0].config
    for run in runs[1:]:
        one, other = first.subset(STAGE_KEYS), run.config.subset(STAGE_KEYS)
        for key in STAGE_KEYS:
            if one[key] != other[key]:
                raise ConfigError(
                    f"{run.folder} has {key} {other[key]!r} and {runs[0].folder} {one[key]!r}; attribute runs over the "
                    "same data and network together, or each alone"
                )
    if first.own_data:
        raise ConfigError(
            f"{runs[0].folder} is a run over machines' own rows, where scores stay; method = d3m removes by them"
        )
    return runs, RunConfig.parse({**first.flat(), **changes})


def attribute(runs: Sequence[FinishedRun], config: RunConfig, auto: bool) -> tuple[Attribution, Splits]:
    """Score the train examples of finished runs' data by their models, averaged.

    Parameters
    ----------
    auto : bool
        Find validation's groups, as ``auto-d3m`` does, in place of given ones.
    """
    torch.set_num_threads(config.threads)
    splits = splits_of(config)
    projections = [_projection(run, config, splits.train, number) for number, run in enumerate(runs)]
    rows, settings = torch.arange(len(splits.train)), trak_settings(config)
    kernels = [gram_of(each, settings.kernel, splits.train, rows) for each in projections]
    group, names = _groups(splits, config) if not auto else _found(projections, kernels, splits, settings.ridge)
    every = torch.arange(len(splits.validation))
    told = [target_sums(each, splits.validation, every, group, len(names)) for each in projections]
    counts = torch.bincount(group, minlength=len(names))
    losses = torch.stack([lost for _, lost in told]).mean(dim=0)
    weights = group_weights(losses, counts, config.d3m_alignment)
    means = [sums / counts.clamp(min=1).unsqueeze(1) for sums, _ in told]
    vectors = [solve(kernel, mean, settings.ridge) for kernel, mean in zip(kernels, means, strict=True)]
    by_group = influences(projections, vectors, splits.train, rows)
    return Attribution(by_group, by_group @ weights, weights, losses / counts.clamp(min=1), counts, names), splits


def _projection(run: FinishedRun, config: RunConfig, train: GroupedDataset, number: int) -> Projection:
    shape = tuple(train.x.shape[1:])
    model = build_model(builder_of(config), shape, train.num_labels, None, config.device)
    model.load(torch.from_numpy(run.weights()))
    return projection_of(trak_settings(config), model, blank(train.x).to(config.device), number)


def _groups(splits: Splits, config: RunConfig) -> tuple[Tensor, list[str]]:
    if config.groups_kind == "class":
        return splits.validation.label, list(splits.label_names)
    names = [f"{label} / {attribute}" for label in splits.label_names for attribute in splits.attribute_names]
    return splits.validation.group, names


def _found(
    projections: Sequence[Projection], kernels: Sequence[Tensor], splits: Splits, ridge: float
) -> tuple[Tensor, list[str]]:
    """Return Auto-D3M's groups of validation."""
    squares = squares_of(projections, splits.train, torch.arange(len(splits.train)))
    basis = basis_of(squares, kernels, ridge)
    validation = splits.validation
    points = points_of(projections, basis, validation, torch.arange(len(validation)))
    total, products = scattered(points, validation.label, validation.num_labels)
    counts = validation.label.bincount(minlength=validation.num_labels).tolist()
    centres, axes = components(total, products, counts)
    names = [f"{label} / side {side}" for label in splits.label_names for side in (0, 1)]
    return sides(points, validation.label, centres, axes), names


def removed_by_group(attribution: Attribution, train: GroupedDataset) -> list[tuple[int, list[int]]]:
    """Return for several numbers of examples, the most harmful first, how many of each group are among them.

    The last number is that of all negative alignments.
    """
    numbers = sorted({max(1, round(share * len(train))) for share in SHARES})
    order = attribution.alignment.argsort(stable=True)
    known = train.attribute is not None
    group, groups = (train.group, train.num_groups) if known else (train.label, train.num_labels)
    return [
        (k, torch.bincount(group[order[:k]], minlength=groups).tolist())
        for k in [*numbers, int((attribution.alignment < 0).sum())]
    ]


def check_folder(folder: Path) -> None:
    """Refuse a folder that holds something else than scores."""
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir()) and not (folder / "attribution.json").exists()):
        raise ConfigError(f"--to is {folder}, which holds other files; name a new or empty folder")


def write(attribution: Attribution, splits: Splits, config: RunConfig, folder: Path) -> None:
    """Write ``scores.csv``, ``scores.npy`` and ``attribution.json``."""
    train, text = splits.train, io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["id", "label", "attribute", "alignment", *attribution.names])
    attribute = [""] * len(train) if train.attribute is None else train.attribute.tolist()
    scores = torch.cat([attribution.alignment.unsqueeze(1), attribution.by_group], dim=1).tolist()
    for each, label, own, values in zip(train.id.tolist(), train.label.tolist(), attribute, scores, strict=True):
        table.writerow([each, label, own, *(f"{value:.9g}" for value in values)])
    write_atomically(folder / "scores.csv", text.getvalue())
    array = io.BytesIO()
    np.save(array, attribution.alignment.numpy())
    write_atomically(folder / "scores.npy", array.getvalue())
    rows = zip(attribution.names, attribution.counts.tolist(), attribution.losses.tolist(),
               attribution.weights.tolist(), strict=True)  # fmt: skip
    about = {
        "settings": {key: config.flat()[key] for key in MAY_CHANGE},
        "targets": [dict(zip(("group", "count", "loss", "weight"), row, strict=True)) for row in rows],
        "removed": [{"number": k, "by-group": counts} for k, counts in removed_by_group(attribution, train)],
    }
    write_atomically(folder / "attribution.json", json.dumps(about, indent=2) + "\n")
