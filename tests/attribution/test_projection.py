"""Projections: what they keep, that they are P and nothing else, and that chance is a function of the seed."""

import math

import pytest
import torch
from torch import Tensor

from fedjtt.attribution import projection as module
from fedjtt.attribution.gradients import Gradients
from fedjtt.attribution.projection import Dense, Projection, Unprojected, signs
from fedjtt.attribution.trak import TrakSettings, projection_of
from tests.attribution.parts import batch, data_for, network

KINDS = ("dense", "factored")


def made(kind: str, name: str = "mlp", width: int = 64, seed: int = 0, number: int = 0) -> Projection:
    data = data_for(name)
    settings = TrakSettings(projection=kind, dimension=width, seed=seed)
    return projection_of(settings, network(name), batch(data)[0][:1], number)


def matrix(projection: Projection) -> Tensor:
    """P / sqrt(size), column by column."""
    return torch.stack([projection.direction(column) for column in torch.eye(projection.width)], dim=1)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["mlp", "lenet"])
def test_features_are_gradients_times_one_matrix_of_signs(kind: str, name: str) -> None:
    projection, data = made(kind, name), data_for(name)
    columns = matrix(projection)
    assert torch.equal(columns.abs(), torch.full_like(columns, 1 / math.sqrt(projection.gradients.size)))
    assert abs(float(columns.sign().mean())) < 5 / math.sqrt(columns.numel())
    gradients, f = projection.gradients.of(*batch(data))
    phi, same = projection.features(*batch(data))
    torch.testing.assert_close(phi, gradients @ columns, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(f, same, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("kind", "most"), [("dense", 2.0), ("factored", 8.0)])
def test_inner_products_keep_their_value_within_the_error_of_johnson_and_lindenstrauss(kind: str, most: float) -> None:
    """Over 30 projections: unbiased to four standard errors, and the variance at most 2 / d, or 8 / d."""
    width, times, data = 32, 30, data_for(n=6)
    gradients = Gradients(network("mlp"), dtype=torch.float64)
    exact, _ = gradients.of(*batch(data))
    norm = exact.norm(dim=1)
    wanted = exact @ exact.T / torch.outer(norm, norm)
    found = []
    for number in range(times):
        projection = made(kind, "mlp", width, number=number)
        phi = projection.features(*batch(data))[0].double()
        found.append(phi @ phi.T * gradients.size / width / torch.outer(norm, norm))
    errors = torch.stack(found) - wanted
    bound = most / width
    assert float(errors.square().mean()) < bound
    assert float(errors.mean(dim=0).abs().max()) < 4 * math.sqrt(bound / times)
    assert float(errors.square().mean()) > bound / 8  # it is a projection to 32 numbers, not the whole


@pytest.mark.parametrize("kind", KINDS)
def test_p_is_a_function_of_seed_and_number(kind: str) -> None:
    first, again = made(kind), made(kind)
    assert torch.equal(matrix(first), matrix(again))
    for other in (made(kind, seed=1), made(kind, number=1)):
        assert 0.3 < float((matrix(first) == matrix(other)).float().mean()) < 0.7


def test_signs_are_a_function_of_every_argument_and_half_are_positive() -> None:
    drawn = signs(3, 1, 2, 50, 41)
    assert drawn.shape == (50, 41)
    assert drawn.unique().tolist() == [-1, 1]
    assert abs(float(drawn.float().mean())) < 5 / math.sqrt(50 * 41)
    for other in (signs(4, 1, 2, 50, 41), signs(3, 2, 2, 50, 41), signs(3, 1, 3, 50, 41)):
        assert not torch.equal(drawn, other)


def test_signs_that_are_too_many_to_keep_are_drawn_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    data, kept = data_for(), made("dense")
    monkeypatch.setattr(module, "KEPT_SIGNS", 0)
    anew = made("dense")
    assert torch.equal(kept.features(*batch(data))[0], anew.features(*batch(data))[0])
    assert isinstance(anew, Dense)
    assert anew._kept == {}


@pytest.mark.parametrize("kind", KINDS)
def test_few_weights_are_not_projected(kind: str) -> None:
    data = data_for("logistic")
    projection = made(kind, "logistic", width=15)
    assert isinstance(projection, Unprojected)
    exact, _ = projection.gradients.of(*batch(data))
    assert torch.equal(projection.features(*batch(data))[0], exact / math.sqrt(15))
    assert not isinstance(made(kind, "logistic", width=14), Unprojected)
