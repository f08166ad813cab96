"""The matrix between features: packing, and solving where it is singular."""

import numpy as np
import pytest
import torch

from fedjtt.attribution.kernel import packed, solve, unpacked


def gram(rows: int, width: int, seed: int = 0) -> torch.Tensor:
    phi = torch.randn(rows, width, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return phi.T @ phi


@pytest.mark.parametrize("width", [1, 2, 7])
def test_a_triangle_goes_there_and_back(width: int) -> None:
    whole = gram(9, width)
    assert packed(whole).shape == (width * (width + 1) // 2,)
    assert torch.equal(unpacked(packed(whole)), torch.triu(whole) + torch.triu(whole, 1).T)


def test_what_is_no_triangle_is_refused() -> None:
    with pytest.raises(ValueError, match="4 numbers are no triangle"):
        unpacked(torch.ones(4))


def test_without_a_ridge_it_is_the_inverse_and_with_one_that_of_the_shifted_matrix() -> None:
    matrix, right = gram(30, 6), torch.eye(6, dtype=torch.float64)[:2]
    np.testing.assert_allclose(solve(matrix, right, 0.0) @ matrix, right, atol=1e-10)
    shifted = matrix + 0.5 * matrix.trace() / 6 * torch.eye(6, dtype=torch.float64)
    np.testing.assert_allclose(solve(matrix, right, 0.5) @ shifted, right, atol=1e-10)


def test_a_singular_matrix_has_its_pseudo_inverse() -> None:
    """Fewer examples than dimensions; numpy's with the same bound on what is 0."""
    matrix, right = gram(3, 8), torch.eye(8, dtype=torch.float64)
    expected = np.linalg.pinv(matrix.numpy(), rcond=1e-6, hermitian=True)
    np.testing.assert_allclose(solve(matrix, right, 0.0), expected, atol=1e-8)


@pytest.mark.parametrize("ridge", [0.0, 0.1])
def test_a_matrix_of_zeros_solves_to_zeros(ridge: float) -> None:
    assert not solve(torch.zeros(4, 4, dtype=torch.float64), torch.ones(1, 4, dtype=torch.float64), ridge).any()


def test_a_ridge_is_relative() -> None:
    matrix, right = gram(3, 8), torch.ones(1, 8, dtype=torch.float64)
    torch.testing.assert_close(1e6 * solve(1e6 * matrix, right, 0.1), solve(matrix, right, 0.1))
