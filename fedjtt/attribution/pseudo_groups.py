"""Auto-D3M's groups: of every label two, by the sign along which validation's attributions differ most.

An example's attributions to all training examples are a vector as long as train, t(z) = D Phi w(z) with
w(z) = G^-1 phi(z) and D the diagonal of 1 - p. Its inner products are those of ``L^T w(z)`` with
``L L^T = Phi^T D^2 Phi``: so it is never formed, and normalising, centring and the first principal component need sums
over d numbers.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from fedjtt.attribution.kernel import ROUNDING, solve


def root_of(squares: Tensor) -> Tensor:
    """Return L with ``L L^T`` equal to a positive semidefinite matrix, up to rounding."""
    values, axes = torch.linalg.eigh(squares)
    root: Tensor = axes * torch.where(values > ROUNDING**2 * values.max().clamp(min=0.0), values, 0.0).sqrt()
    return root


def basis_of(squares: Tensor, kernels: Sequence[Tensor], ridge: float) -> Tensor:
    """Return what features, those of several models side by side, are multiplied by to become ``L^T w``.

    Parameters
    ----------
    squares : Tensor
        Phi^T D^2 Phi over all models' features, ``[widths, widths]``.
    kernels : sequence of Tensor
        Each model's G.
    """
    root = root_of(squares)
    root = root[:, (root != 0).any(dim=0)]
    parts = root.view(len(kernels), -1, root.shape[1])
    return torch.cat([solve(kernel, part.T, ridge).T for kernel, part in zip(kernels, parts, strict=True)])


def normalised(points: Tensor) -> Tensor:
    """Return rows of length 1; a row of zeros, of an example that no training example acts on, stays."""
    length: Tensor = points.norm(dim=1, keepdim=True)
    return points / length.clamp(min=torch.finfo(points.dtype).tiny)


def first_component(total: Tensor, squares: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return the centre and the first principal component of points, from their sum and summed outer products.

    The component's sign is that of its largest entry: groups have no order, but names should not change by chance.
    """
    if not count:
        return total, torch.zeros_like(total)
    centre = total / count
    component = torch.linalg.eigh(squares / count - torch.outer(centre, centre)).eigenvectors[:, -1]
    return centre, component * torch.sign(component[component.abs().argmax()])


def scattered(points: Tensor, label: Tensor, labels: int) -> tuple[Tensor, Tensor]:
    """Return by label the sum of points, ``[labels, size]``, and their outer products', ``[labels, size, size]``."""
    own = [points[label == each] for each in range(labels)]
    return torch.stack([each.sum(dim=0) for each in own]), torch.stack([each.T @ each for each in own])


def components(total: Tensor, products: Tensor, counts: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Return every label's centre and first component, ``[labels, size]`` each, from what :func:`scattered` returns."""
    found = [first_component(*own) for own in zip(total, products, counts, strict=True)]
    centres, axes = (torch.stack(each) for each in zip(*found, strict=True))
    return centres, axes


def sides(points: Tensor, label: Tensor, centres: Tensor, components: Tensor) -> Tensor:
    """Return the pseudo-group of every point, ``2 * label + side``."""
    along = ((points - centres[label]) * components[label]).sum(dim=1)
    return 2 * label + (along > 0).long()
