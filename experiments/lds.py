"""How well attribution foretells retraining: the linear datamodeling score (Park et al. 2023), on a small MNIST subset.

``python -m experiments.lds --out DIR``: trains on random halves of a few thousand examples, and compares each target's
output with the sum of the half's scores, by rank over the halves; the mean over targets is the score. Every retraining
is a file: a call that was stopped goes on. Variants of the attribution are compared on the same retrainings.
"""

import argparse
import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from experiments.options import merged, read_toml
from fedjtt.api import simulate
from fedjtt.attribution.kernel import solve
from fedjtt.attribution.outputs import MARGIN, margins
from fedjtt.attribution.trak import TrakSettings, projection_of
from fedjtt.config import RunConfig
from fedjtt.data.grouped import Splits
from fedjtt.data.sampling import blank
from fedjtt.evaluation import outputs_of
from fedjtt.models import FlatModel, build_model
from fedjtt.provide import splits_of
from fedjtt.seeding import torch_generator
from fedjtt.tracking import write_atomically
from fedjtt.workspace import builder_of

CONFIG = Path(__file__).parent / "configs" / "d3m-lds.toml"
PROJECTIONS, RIDGES, KERNELS = ("factored", "dense"), (0.0, 0.01, 0.1, 1.0, 10.0), ("trak", "newton")


@dataclass(frozen=True)
class Sizes:
    """Examples, targets, random halves, and models that are attributed."""

    examples: int = 4000
    targets: int = 500
    halves: int = 50
    models: int = 5


def subset(splits: Splits, sizes: Sizes, seed: int) -> Splits:
    """Return the first of the train and test examples in a random order."""
    order = [torch.randperm(len(part), generator=torch_generator(seed, "lds", place))
             for place, part in enumerate((splits.train, splits.test))]  # fmt: skip
    train = splits.train.take(order[0][: sizes.examples].sort().values)
    return replace(splits, train=train, test=splits.test.take(order[1][: sizes.targets].sort().values))


def half(number: int, examples: int, seed: int) -> Tensor:
    """Return the rows of a random half, ascending."""
    return torch.randperm(examples, generator=torch_generator(seed, "lds-half", number))[: examples // 2].sort().values


def trained(config: RunConfig, splits: Splits, path: Path) -> Tensor:
    """Return a model's weights, from the file where it has been trained before."""
    if path.exists():
        return torch.from_numpy(np.load(path))
    weights = simulate(config, splits).weights
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".part")
    with beside.open("wb") as file:
        np.save(file, weights)
    beside.replace(path)
    return torch.from_numpy(weights)


def model_of(config: RunConfig, splits: Splits, weights: Tensor) -> FlatModel:
    """Return a network with the given weights."""
    shape, labels = tuple(splits.train.x.shape[1:]), splits.train.num_labels
    model = build_model(builder_of(config), shape, labels, None)
    model.load(weights)
    return model


@dataclass(frozen=True)
class Features:
    """One model's features and outputs of train, and its features of the targets: few enough to be kept."""

    train: Tensor
    f: Tensor
    targets: Tensor

    @classmethod
    def of(cls, settings: TrakSettings, model: FlatModel, splits: Splits, number: int) -> "Features":
        """Project the gradients of all examples."""
        example = blank(splits.train.x)
        projection = projection_of(settings, model, example, number)
        told = [
            [projection.features(x, label) for x, label in projection.gradients.chunks(part, torch.arange(len(part)))]
            for part in (splits.train, splits.test)
        ]
        phi, targets = (torch.cat([each for each, _ in chunks]).double() for chunks in told)
        return cls(phi, torch.cat([f for _, f in told[0]]).double(), targets)


def scores_of(models: Sequence[Features], kernel: str, ridge: float) -> Tensor:
    """Return every train example's score for every target, ``[examples, targets]``."""
    inner, residual = [], []
    for own in models:
        weight = MARGIN.curvature(own.f, own.f) if kernel == "newton" else torch.ones_like(own.f)
        gram = (own.train * weight.unsqueeze(1)).T @ own.train
        inner.append(own.train @ solve(gram, own.targets, ridge).T)
        residual.append(MARGIN.residual(own.f, own.f))
    return torch.stack(inner).mean(dim=0) * torch.stack(residual).mean(dim=0).unsqueeze(1)


def rank_correlation(first: Tensor, second: Tensor) -> Tensor:
    """Return Spearman's correlation of every column, ``[columns]``."""
    ranks = [pd.DataFrame(each.numpy()).rank() for each in (first, second)]
    return torch.from_numpy(ranks[0].corrwith(ranks[1]).to_numpy(copy=True))


def linear_datamodeling_score(scores: Tensor, members: Tensor, outputs: Tensor) -> float:
    """Return the mean over targets of the rank correlation of summed scores with what was trained.

    Parameters
    ----------
    scores : Tensor
        ``[examples, targets]``.
    members : Tensor
        bool ``[halves, examples]``.
    outputs : Tensor
        ``[halves, targets]``: of models that were trained on the halves.
    """
    return float(rank_correlation(members.double() @ scores.double(), outputs).mean())


def measure(config: RunConfig, sizes: Sizes, out: Path, quick: bool = False) -> list[dict[str, Any]]:
    """Train what is not there yet, and return a line for each variant of the attribution."""
    splits = subset(splits_of(config), sizes, config.seed)
    label, every = splits.test.label, torch.arange(len(splits.test))
    members = torch.zeros(sizes.halves, len(splits.train), dtype=torch.bool)
    outputs = []
    for number in range(sizes.halves):
        rows = half(number, len(splits.train), config.seed)
        members[number, rows] = True
        own = config.replace(seed=1000 + number)
        weights = trained(own, replace(splits, train=splits.train.take(rows)), out / "halves" / f"{number}.npy")
        outputs.append(margins(outputs_of(model_of(config, splits, weights), splits.test, every), label))
    models = [
        model_of(config, splits, trained(config.replace(seed=number), splits, out / "models" / f"{number}.npy"))
        for number in range(sizes.models)
    ]
    features = {
        kind: [Features.of(TrakSettings(projection=kind, seed=config.seed), model, splits, number)
               for number, model in enumerate(models)]
        for kind in PROJECTIONS
    }  # fmt: skip
    lines = []
    grid = product(PROJECTIONS, KERNELS[: 1 if quick else 2], RIDGES[3:4] if quick else RIDGES, (1, sizes.models))
    for kind, kernel, ridge, count in grid:
        scores = scores_of(features[kind][:count], kernel, ridge)
        other = scores if kind == PROJECTIONS[0] else scores_of(features[PROJECTIONS[0]][:count], kernel, ridge)
        lines.append({
            "projection": kind, "kernel": kernel, "ridge": ridge, "models": count,
            "lds": linear_datamodeling_score(scores, members, torch.stack(outputs)),
            "correlation-with-factored": float(rank_correlation(scores, other).mean()),
        })  # fmt: skip
    return lines


def main(arguments: list[str] | None = None) -> list[dict[str, Any]]:
    """Measure, write ``lds.csv``, and print it."""
    parser = argparse.ArgumentParser("experiments.lds", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder of the retrainings and the table")
    parser.add_argument("--config", type=Path, default=CONFIG)
    parser.add_argument("--set", dest="settings", action="append", default=[], metavar="key=value")
    for name, value in vars(Sizes()).items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--quick", action="store_true", help="one variant of each projection")
    given = parser.parse_args(arguments)
    config = RunConfig.parse(merged(read_toml(given.config), given.settings, {}))
    torch.set_num_threads(config.threads)
    sizes = Sizes(**{name: getattr(given, name) for name in vars(Sizes())})
    claim(given.out, config, sizes)
    lines = measure(config, sizes, given.out, given.quick)
    with (given.out / "lds.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, list(lines[0]), lineterminator="\n")
        table.writeheader()
        table.writerows(lines)
    for line in lines:
        print("  ".join(f"{key} {value:.3f}" if isinstance(value, float) else f"{key} {value}"
                        for key, value in line.items()))  # fmt: skip
    return lines


def claim(out: Path, config: RunConfig, sizes: Sizes) -> None:
    """Mark a folder as this measurement's: retrainings of other settings are not mixed in."""
    about: Mapping[str, Any] = {"run-id": config.run_id, "examples": sizes.examples, "targets": sizes.targets}
    marker = out / "lds.json"
    if marker.exists() and json.loads(marker.read_text()) != about:
        raise SystemExit(f"--out is {out}, which holds another measurement; name another folder")
    write_atomically(marker, json.dumps(about) + "\n")


if __name__ == "__main__":
    main()
