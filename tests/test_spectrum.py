"""Spectra from streamed sums, against a dense decomposition of all features at once."""

from typing import Any

import numpy as np
import pytest
import torch

from fedjtt.data.grouped import GroupedDataset
from fedjtt.models import FlatModel, build_model
from fedjtt.seeding import torch_generator
from fedjtt.spectrum import GroupMoments, Spectra, group_moments, spectra_of
from tests.tiny import grouped

ROWS = torch.arange(730)  # two batches and a piece of one


def dataset() -> GroupedDataset:
    """Three labels, two attributes; groups of very different sizes."""
    chance = np.random.default_rng(3)
    label = chance.choice(3, len(ROWS), p=[0.6, 0.3, 0.1])
    attribute = (chance.random(len(ROWS)) < 0.1 + 0.3 * label).astype(int)
    return grouped(label, attribute, labels=3)


def model_for(data: GroupedDataset, name: str = "mlp") -> FlatModel:
    return build_model(name, tuple(data.x.shape[1:]), data.num_labels, torch_generator(5, "weights"))


def hidden(model: FlatModel, data: GroupedDataset) -> Any:
    """The MLP's last hidden layer, in numpy and in float64."""
    w1, b1, w2, b2, *_ = (parameter.detach().double().numpy() for parameter in model.module.parameters())
    return np.maximum(np.maximum(data.x.double().numpy() @ w1.T + b1, 0) @ w2.T + b2, 0)


def spectra(model: FlatModel, data: GroupedDataset, batch: int = 500) -> Spectra:
    moments = group_moments(model, data, torch.arange(len(data)), batch)
    return spectra_of(moments, data.group_counts().tolist(), data.num_labels)


def test_a_dense_eigen_decomposition_of_all_features() -> None:
    data = dataset()
    model = model_for(data)
    features, group = hidden(model, data), data.group.numpy()
    top = {}
    for place, found in enumerate(spectra(model, data).groups):
        rows = features[group == place]
        dense = np.linalg.eigvalsh(np.cov(rows, rowvar=False, bias=True))[::-1]
        top[place] = dense[0]
        assert found.n == found.rows == len(rows) > 5
        assert found.eigenvalues is not None
        np.testing.assert_allclose(found.eigenvalues, dense, rtol=1e-10, atol=1e-12 * dense[0])
    for imbalance, (minority, majority) in zip(spectra(model, data).classes, [(1, 0), (1, 0), (0, 1)], strict=True):
        assert (imbalance.minority, imbalance.majority) == (minority, majority)
        first = 2 * imbalance.label
        assert imbalance.rho == pytest.approx(top[first + minority] / top[first + majority], rel=1e-10)


def test_images_are_scaled_and_pooled_as_in_the_network() -> None:
    """What LeNet's last layer sees, by a network that ends before it."""
    chance, label = np.random.default_rng(0), torch.arange(60) % 2
    images = torch.from_numpy(chance.integers(0, 256, (60, 3, 14, 14), dtype=np.uint8))
    data = GroupedDataset(images, label, label // 1 * 0, torch.arange(60), 2, 1)
    model = model_for(data, "lenet")
    ending = model_for(data, "lenet").module.double()
    ending.fc3 = torch.nn.Identity()
    with torch.no_grad():
        features = ending(images.double() / 255).numpy()
    for found in spectra(model, data).groups:
        dense = np.linalg.eigvalsh(np.cov(features[label == found.label], rowvar=False, bias=True))[::-1]
        assert found.eigenvalues is not None
        np.testing.assert_allclose(found.eigenvalues[:5], dense[:5], rtol=1e-5)  # pixels are float32 before


@pytest.mark.parametrize("batch", [1, 7, 730])
def test_how_rows_are_cut_into_batches_does_not_matter(batch: int) -> None:
    data = dataset()
    model = model_for(data)
    one, other = group_moments(model, data, ROWS), group_moments(model, data, ROWS.flip(0), batch)
    assert torch.equal(one.count, other.count)
    for name in ("total", "outer"):
        torch.testing.assert_close(getattr(one, name), getattr(other, name), rtol=1e-11, atol=1e-11)


def test_the_model_and_its_weights_are_left_as_they_were() -> None:
    data = dataset()
    model = model_for(data)
    before = model.vector.clone()
    group_moments(model, data, ROWS)
    assert torch.equal(model.vector, before)
    assert all(parameter.dtype == torch.float32 for parameter in model.module.parameters())
    assert not any(module._forward_pre_hooks for module in model.module.modules())


def test_sums_of_parts_are_the_sums_of_the_whole() -> None:
    data = dataset()
    model = model_for(data)
    whole = group_moments(model, data, ROWS)
    parts = [group_moments(model, data, part) for part in (ROWS[:100], ROWS[100:101], ROWS[101:101], ROWS[101:])]
    added = parts[0] + parts[1] + parts[2] + parts[3]
    assert torch.equal(added.count, whole.count)
    torch.testing.assert_close(added.outer, whole.outer, rtol=1e-11, atol=1e-11)


def test_renaming_groups_renames_the_spectra() -> None:
    data = dataset()
    assert data.attribute is not None
    other = GroupedDataset(data.x, 2 - data.label, 1 - data.attribute, data.id, 3, 2)
    model = model_for(data)
    one, two = spectra(model, data), spectra(model, other)
    for found in one.groups:
        renamed = two.groups[2 * (2 - found.label) + 1 - found.attribute]
        assert renamed.eigenvalues == pytest.approx(found.eigenvalues, rel=1e-10, abs=1e-12)
    for imbalance in one.classes:
        same = two.classes[2 - imbalance.label]
        assert (same.minority, same.majority) == (1 - (imbalance.minority or 0), 1 - (imbalance.majority or 0))
        assert same.rho == pytest.approx(imbalance.rho, rel=1e-10)


def moments_of(points: dict[int, list[list[float]]], groups: int) -> GroupMoments:
    found = GroupMoments.zeros(groups, 2)
    for group, rows in points.items():
        z = torch.tensor(rows, dtype=torch.float64)
        found.count[group], found.total[group], found.outer[group] = len(z), z.sum(dim=0), z.T @ z
    return found


SQUARE = [[1.0, 3.0], [-1.0, 3.0], [1.0, -3.0], [-1.0, -3.0]]  # covariance diag(1, 9)
LINE = [[0.0, 0.0], [4.0, 0.0]]  # diag(4, 0)
POINT = [[0.1, 0.3]] * 5


def test_eigenvalues_by_hand() -> None:
    found = spectra_of(moments_of({0: SQUARE, 1: LINE}, 2), [4, 2], 1)
    assert [group.eigenvalues for group in found.groups] == [(9.0, 1.0), (4.0, 0.0)]
    assert found.classes[0].rho == pytest.approx(4 / 9)


def test_what_rounding_makes_of_features_that_do_not_vary_is_0() -> None:
    """5 times (.1, .3): the mean square less the squared mean is 0 but for rounding."""
    assert spectra_of(moments_of({0: POINT}, 1), [5], 1).groups[0].eigenvalues == (0.0, 0.0)


@pytest.mark.parametrize(
    ("points", "sizes", "expected"),
    [
        ({0: SQUARE}, [4, 0, 0], (None, None, "one group")),
        ({}, [0, 0, 0], (None, None, "no example")),
        ({0: SQUARE, 1: SQUARE}, [4, 4, 0], (None, None, "its groups are equally large")),
        ({0: SQUARE, 2: [[1.0, 2.0]]}, [4, 0, 1], (2, 0, "attribute 2 has 1 of at least 2 rows")),
        ({0: SQUARE}, [4, 0, 2], (2, 0, "attribute 2 has 0 of at least 2 rows")),  # left out for min-count
        ({0: POINT, 1: SQUARE}, [5, 4, 0], (1, 0, "the majority group's features do not vary")),
    ],
)
def test_a_class_without_rho_says_why(points: Any, sizes: list[int], expected: tuple[Any, ...]) -> None:
    (found,) = spectra_of(moments_of(points, 3), sizes, 1).classes
    assert (found.minority, found.majority, found.why) == expected
    assert found.rho is None


def test_minority_and_majority_are_the_smallest_and_the_largest_group_that_are_not_empty() -> None:
    """By the rows of train, not by those that took part; of two equally small ones the lower attribute."""
    points = {0: LINE, 1: SQUARE, 3: SQUARE + SQUARE}
    (found,) = spectra_of(moments_of(points, 5), [5, 4, 0, 8, 4], 1).classes
    assert (found.minority, found.majority, found.rho) == (1, 3, pytest.approx(1.0))


def test_groups_with_fewer_rows_are_taken_out_whole() -> None:
    kept = moments_of({0: SQUARE, 1: LINE}, 2).without_fewer_than(3)
    assert kept.count.tolist() == [4, 0]
    assert not kept.total[1].any()
    assert not kept.outer[1].any()
    assert kept.outer[0].diagonal().tolist() == [4.0, 36.0]
