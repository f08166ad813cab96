"""Auto-D3M's groups from sums, against the principal component of the score vectors themselves."""

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from fedjtt.attribution.pseudo_groups import components, first_component, normalised, root_of, scattered, sides


def drawn(rows: int, width: int, seed: int) -> torch.Tensor:
    return torch.randn(rows, width, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("train", [40, 4])
def test_groups_are_those_of_scikit_learn_s_component_of_the_whole_vectors(train: int) -> None:
    """Vectors as long as train, D Phi w, normalised, centred by label; train smaller than the features too."""
    phi, shrink, w = (
        drawn(train, 6, 0),
        torch.rand(train, 1, generator=torch.Generator().manual_seed(1)),
        drawn(30, 6, 2),
    )
    label = torch.arange(30) % 2
    whole = normalised(w @ (phi * shrink).T)
    points = normalised(w @ root_of((phi * shrink).T @ (phi * shrink)))
    np.testing.assert_allclose(points @ points.T, whole @ whole.T, atol=1e-6)
    found = []
    for each in (0, 1):
        own = points[label == each]
        found.append(first_component(own.sum(0), own.T @ own, len(own)))
    group = sides(points, label, torch.stack([c for c, _ in found]), torch.stack([c for _, c in found]))
    assert torch.equal(group // 2, label)
    for each in (0, 1):
        expected = PCA(1).fit_transform(whole[label == each].numpy())[:, 0] > 0
        mine = (group[label == each] % 2 == 1).numpy()
        assert (mine == expected).all() or (mine == ~expected).all()
        assert 0 < mine.sum() < len(mine)


def test_a_row_of_zeros_stays() -> None:
    torch.testing.assert_close(normalised(torch.tensor([[0.0, 0.0], [3.0, 4.0]])), torch.tensor([[0, 0], [0.6, 0.8]]))


def test_a_label_without_examples_has_no_component() -> None:
    centre, component = first_component(torch.zeros(3), torch.zeros(3, 3), 0)
    assert not centre.any()
    assert not component.any()


def test_a_component_points_to_its_largest_entry() -> None:
    points = torch.tensor([[-3.0, 1.0], [3.0, -1.0]])
    for flipped in (points, -points):
        _, component = first_component(flipped.sum(0), flipped.T @ flipped, 2)
        assert component[component.abs().argmax()] > 0


def test_sums_by_label_add_up_over_machines_and_give_every_label_s_component() -> None:
    points = torch.randn(30, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    label = torch.arange(30) % 4 % 3  # 0 twice as often; of a fourth label there is none
    total, products = scattered(points, label, 4)
    parts = [scattered(points[rows], label[rows], 4) for rows in (slice(0, 11), slice(11, 30))]
    torch.testing.assert_close(total, parts[0][0] + parts[1][0])
    torch.testing.assert_close(products, parts[0][1] + parts[1][1])
    centres, axes = components(total, products, label.bincount(minlength=4).tolist())
    for each in range(3):
        own = points[label == each]
        centre, axis = first_component(own.sum(0), own.T @ own, len(own))
        torch.testing.assert_close(centres[each], centre)
        torch.testing.assert_close(axes[each], axis)
    assert not axes[3].any()
