"""The matrix between features: sums over training examples, packed for a message, and solved with, singular or not."""

import torch
from torch import Tensor

ROUNDING = 1e-6
"""Share of the largest eigenvalue below which one is rounding of float32 features, and counts as 0."""


def packed(gram: Tensor) -> Tensor:
    """Return the upper triangles of symmetric matrices, ``[..., width, width]``: what travels."""
    row, column = torch.triu_indices(gram.shape[-1], gram.shape[-1])
    return gram[..., row, column]


def unpacked(triangle: Tensor) -> Tensor:
    """Return the symmetric matrices of upper triangles."""
    numbers = triangle.shape[-1]
    width = int(((8 * numbers + 1) ** 0.5 - 1) / 2 + 0.5)
    if width * (width + 1) // 2 != numbers:
        raise ValueError(f"{numbers} numbers are no triangle")
    gram = triangle.new_zeros(*triangle.shape[:-1], width, width)
    row, column = torch.triu_indices(width, width)
    gram[..., row, column] = gram[..., column, row] = triangle
    return gram


def solve(gram: Tensor, vectors: Tensor, ridge: float) -> Tensor:
    """Return ``(gram + lambda I)^-1`` times each row of `vectors`, float64; lambda is `ridge` mean eigenvalues.

    Without a ridge the pseudo-inverse: what lies in no training example's direction counts as 0.
    """
    mean = float(gram.diagonal().mean())
    if ridge and mean > 0:
        shifted = gram + ridge * mean * torch.eye(len(gram), dtype=gram.dtype)
        return torch.cholesky_solve(vectors.T, torch.linalg.cholesky(shifted)).T
    values, axes = torch.linalg.eigh(gram)
    inverse = torch.where(values > ROUNDING * values.max().clamp(min=0.0), 1 / values, 0.0)
    solved: Tensor = (vectors @ axes) * inverse @ axes.T
    return solved
