"""TRAK scores (Park et al. 2023) from features: tau(z)_i = mean_m phi_i . G^-1 phi(z), times mean_m (1 - p_i).

Nothing of the size examples x weights, nor examples x examples, is ever formed: G is a sum over training examples, a
target is a sum of features, and an example's score for one target is how its output changes along one direction.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fedjtt.attribution.factored import Factored
from fedjtt.attribution.gradients import Gradients
from fedjtt.attribution.outputs import MARGIN, Output
from fedjtt.attribution.projection import Dense, Projection, Unprojected
from fedjtt.attribution.pseudo_groups import normalised
from fedjtt.data.grouped import GroupedDataset
from fedjtt.models import FlatModel

DTYPES = {"float32": torch.float32, "float64": torch.float64}


@dataclass(frozen=True)
class TrakSettings:
    """How gradients are taken, projected and compared.

    Attributes
    ----------
    layers : str
        ``all`` or ``last``.
    projection : str
        ``factored`` or ``dense``.
    dimension : int
        Columns of P; a network of no more weights than that is not projected.
    dtype : str
        ``float32`` or ``float64``.
    kernel : str
        ``trak``: G = Phi^T Phi; ``newton``: Phi^T R Phi, R the loss's curvature, p (1 - p).
    ridge : float
        Added to G, in units of its mean eigenvalue; 0: the pseudo-inverse.
    seed : int
        Of P.
    output : Output
        What is attributed.
    """

    layers: str = "all"
    projection: str = "factored"
    dimension: int = 2048
    dtype: str = "float32"
    kernel: str = "trak"
    ridge: float = 1.0
    seed: int = 0
    output: Output = MARGIN


def projection_of(settings: TrakSettings, model: FlatModel, example: Tensor, number: int = 0) -> Projection:
    """Return the projection for one of several models; `example` is one input, ``[1, ...]``."""
    gradients = Gradients(model, settings.layers, DTYPES[settings.dtype], settings.output)
    if gradients.size <= settings.dimension:
        return Unprojected(gradients)
    if settings.projection == "dense":
        return Dense(gradients, settings.dimension, settings.seed, number)
    return Factored(gradients, settings.dimension, settings.seed, number, gradients.given(example))


def gram_of(projection: Projection, kernel: str, dataset: GroupedDataset, rows: Tensor) -> Tensor:
    """Return G over rows: float64 ``[width, width]``."""
    gram = torch.zeros(projection.width, projection.width, dtype=torch.float64)
    output = projection.gradients.output
    for x, target in projection.gradients.chunks(dataset, rows):
        phi, f = projection.features(x, target)
        phi = phi.double().cpu()
        weighed = phi * output.curvature(f, target).double().cpu().unsqueeze(1) if kernel == "newton" else phi
        gram.addmm_(weighed.T, phi)
    return gram


def target_sums(
    projection: Projection, dataset: GroupedDataset, rows: Tensor, group: Tensor, groups: int
) -> tuple[Tensor, Tensor]:
    """Return by group the sum of features, float64 ``[groups, width]``, and of losses, ``[groups]``."""
    features = torch.zeros(groups, projection.width, dtype=torch.float64)
    losses = torch.zeros(groups, dtype=torch.float64)
    done = 0
    for x, target in projection.gradients.chunks(dataset, rows):
        phi, f = projection.features(x, target)
        own = group[done : done + len(x)]
        features.index_add_(0, own, phi.double().cpu())
        losses.index_add_(0, own, projection.gradients.output.loss(f, target).double().cpu())
        done += len(x)
    return features, losses


def stacked(projections: Sequence[Projection], x: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Return several models' features side by side, float64 ``[n, widths]``, and the mean residual, ``[n]``."""
    told = [(p.features(x, target), p.gradients.output) for p in projections]
    residual = torch.stack([output.residual(f, target) for (_, f), output in told]).double().mean(dim=0)
    return torch.cat([phi.double() for (phi, _), _ in told], dim=1).cpu(), residual.cpu()


def points_of(projections: Sequence[Projection], basis: Tensor, dataset: GroupedDataset, rows: Tensor) -> Tensor:
    """Return rows' attribution vectors, seen from a basis and normalised, float64 ``[n, size]``."""
    found = [stacked(projections, x, y)[0] @ basis for x, y in projections[0].gradients.chunks(dataset, rows)]
    return normalised(torch.cat(found) if found else torch.zeros(0, basis.shape[1], dtype=torch.float64))


def squares_of(projections: Sequence[Projection], dataset: GroupedDataset, rows: Tensor) -> Tensor:
    """Return Phi^T D^2 Phi over rows, D the diagonal of mean residuals: float64 ``[widths, widths]``."""
    width = sum(projection.width for projection in projections)
    squares = torch.zeros(width, width, dtype=torch.float64)
    for x, target in projections[0].gradients.chunks(dataset, rows):
        phi, residual = stacked(projections, x, target)
        phi *= residual.unsqueeze(1)
        squares.addmm_(phi.T, phi)
    return squares


def influences(
    projections: Sequence[Projection], vectors: Sequence[Tensor], dataset: GroupedDataset, rows: Tensor
) -> Tensor:
    """Return every example's score for targets, float64 ``[n, targets]``.

    Parameters
    ----------
    vectors : sequence of Tensor
        Of each model G^-1 times the targets' features, ``[targets, width]``.
    """
    inner = torch.zeros(len(rows), len(vectors[0]), dtype=torch.float64)
    residual = torch.zeros(len(rows), dtype=torch.float64)
    for projection, own in zip(projections, vectors, strict=True):
        products, done = _products(projection, own), 0
        for x, target in projection.gradients.chunks(dataset, rows):
            found, f = products(x, target)
            inner[done : done + len(x)] += found.double().cpu()
            residual[done : done + len(x)] += projection.gradients.output.residual(f, target).double().cpu()
            done += len(x)
    models = len(projections)
    return inner / models * (residual / models).unsqueeze(1)


def _products(projection: Projection, vectors: Tensor) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Return what gives features' inner products with vectors, ``[n, targets]``, and outputs.

    One vector is a direction of the weights: a pass forward along it needs no gradient, let alone its projection.
    """
    gradients = projection.gradients
    direction = projection.direction(vectors[0]) if len(vectors) == 1 else None

    def products(x: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        if direction is not None:
            product, f = gradients.along(x, target, direction.to(x.device))
            return product.unsqueeze(1), f
        phi, f = projection.features(x, target)
        return phi.double() @ vectors.to(phi.device).T, f

    return products
