"""l1 logistic regressions against scikit-learn: objective, probabilities, and coefficients where they are unique."""

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor
from torch.nn.functional import cross_entropy, one_hot

from fedjtt.l1_logistic import Slopes, gradient_sums, minimise, residual_of, shrunk


def problem(labels: int, rows: int = 120, width: int = 12, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Correlated features, standardised, as penultimate features are; the last column is of ones."""
    rng = np.random.default_rng(seed)
    label = np.arange(rows) % labels
    common = rng.normal(size=(rows, 3))
    x = common @ rng.normal(size=(3, width)) + 0.3 * rng.normal(size=(rows, width))
    x += 0.8 * rng.normal(size=(labels, width))[label]
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    return torch.from_numpy(np.c_[x, np.ones(rows)]), torch.from_numpy(label)


def slopes_of(parts: list[tuple[Tensor, Tensor]]) -> Slopes:
    """Gradients of the mean losses of fits that each have data of their own."""

    def slopes(heads: Tensor, which: Tensor) -> Tensor:
        own = [parts[fit] for fit in which.tolist()]
        return torch.stack([gradient_sums(x, y, heads[:, k]) / len(y) for k, (x, y) in enumerate(own)], dim=1)

    return slopes


def gram_of(x: Tensor) -> Tensor:
    return x.T @ x / len(x)


def oracle(x: Tensor, label: Tensor, penalty: float) -> Any:
    """scikit-learn's fit: saga's intercept is not penalised. Where all coefficients are 0, saga stops too early."""
    fit = LogisticRegression(l1_ratio=1.0, C=penalty, solver="saga", tol=1e-11, max_iter=200_000, random_state=0)
    return fit.fit(x[:, :-1].numpy(), label.numpy())


def objective(x: Tensor, label: Tensor, logits: Tensor, size: float, penalty: float) -> float:
    """The mean loss, and the penalty's share of it, as scikit-learn defines C for the summed loss."""
    return float(cross_entropy(logits, label)) + size / (penalty * len(x))


def test_a_gradient_is_torchs() -> None:
    x, label = problem(3)
    heads = torch.randn(2, 3, 13, generator=torch.Generator().manual_seed(0), dtype=torch.float64, requires_grad=True)
    loss = sum(cross_entropy(x @ head.T, label, reduction="sum") for head in heads)
    assert isinstance(loss, Tensor)
    (expected,) = torch.autograd.grad(loss, heads)
    torch.testing.assert_close(gradient_sums(x, label, heads.detach()), expected)


def test_shrinking_moves_towards_0_and_leaves_the_intercept() -> None:
    heads = torch.tensor([[[3.0, -0.5, 0.2, 9.0]], [[3.0, -0.5, 0.2, 9.0]]])
    assert shrunk(heads, torch.tensor([0.5, 1.0])).tolist() == [[[2.5, 0.0, 0.0, 9.0]], [[2.0, 0.0, 0.0, 9.0]]]


@pytest.mark.parametrize("labels", [2, 3, 10])
@pytest.mark.parametrize("penalty", [1.0, 0.1])
def test_objective_and_probabilities_are_scikit_learns(labels: int, penalty: float) -> None:
    x, label = problem(labels)
    strength = torch.tensor([1 / (penalty * len(x))], dtype=torch.float64)
    found = minimise(slopes_of([(x, label)]), gram_of(x), strength, labels, tolerance=1e-9)
    fit = oracle(x, label, penalty)
    head = found.heads[0]
    logits = torch.from_numpy(fit.decision_function(x[:, :-1].numpy()))
    if labels == 2:
        logits = torch.stack([torch.zeros_like(logits), logits], dim=1)
    ours = objective(x, label, x @ head.T, float(head[:, :-1].abs().sum()), penalty)
    theirs = objective(x, label, logits, float(np.abs(fit.coef_).sum()), penalty)
    assert ours == pytest.approx(theirs, abs=1e-6)
    torch.testing.assert_close((x @ head.T).softmax(dim=1), logits.softmax(dim=1), rtol=0, atol=1e-6)
    assert float(found.residual[0]) <= 1e-9


@pytest.mark.parametrize("penalty", [1.0, 0.3, 0.1])
def test_coefficients_of_two_labels_are_unique(penalty: float) -> None:
    """Of two rows only the difference means something, and the penalty is least where they are opposite."""
    x, label = problem(2)
    strength = torch.tensor([1 / (penalty * len(x))], dtype=torch.float64)
    head = minimise(slopes_of([(x, label)]), gram_of(x), strength, 2, tolerance=1e-9).heads[0]
    fit = oracle(x, label, penalty)
    torch.testing.assert_close(head[0], -head[1], rtol=0, atol=1e-12)
    np.testing.assert_allclose((head[1] - head[0])[:-1], fit.coef_[0], rtol=0, atol=1e-6)
    assert float(head[1, -1] - head[0, -1]) == pytest.approx(float(fit.intercept_[0]), abs=1e-6)
    assert ((head[1, :-1] == 0) == torch.from_numpy(fit.coef_[0] == 0)).all()


def test_the_default_tolerance_gives_the_objective_to_1e_6() -> None:
    x, label = problem(4)
    strength = torch.tensor([1 / len(x)], dtype=torch.float64)
    values = []
    for settings in ({}, {"tolerance": 1e-10}):
        head = minimise(slopes_of([(x, label)]), gram_of(x), strength, 4, **settings).heads[0]
        values.append(objective(x, label, x @ head.T, float(head[:, :-1].abs().sum()), 1.0))
    assert 0 <= values[0] - values[1] < 1e-8


def test_fits_side_by_side_are_the_fits_one_by_one() -> None:
    """Different data and penalties; together they take as many exchanges as the slowest alone."""
    parts = [problem(3, seed=seed) for seed in range(4)]
    strength = torch.tensor([1e-2, 1e-1, 1e-3, 1e-2], dtype=torch.float64)
    gram = gram_of(torch.cat([x for x, _ in parts]))
    together = minimise(slopes_of(parts), gram, strength, 3, tolerance=1e-8)
    alone = [minimise(slopes_of([part]), gram, strength[k : k + 1], 3, tolerance=1e-8) for k, part in enumerate(parts)]
    assert together.exchanges == pytest.approx(max(one.exchanges for one in alone), rel=0.2)
    for k, (x, _) in enumerate(parts):
        ours, theirs = ((x @ head.T).softmax(dim=1) for head in (together.heads[k], alone[k].heads[0]))
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)


def test_a_metric_that_knows_nothing_of_the_data_only_costs_exchanges() -> None:
    """Curvature is found by growing: a Gram matrix a hundred times too small, or of other data, gives the same head."""
    x, label = problem(2)
    strength = torch.tensor([1e-2], dtype=torch.float64)
    right = minimise(slopes_of([(x, label)]), gram_of(x), strength, 2, tolerance=1e-9)
    for gram in (gram_of(x) / 100, torch.eye(13, dtype=torch.float64), gram_of(problem(2, seed=9)[0])):
        other = minimise(slopes_of([(x, label)]), gram, strength, 2, tolerance=1e-9)
        torch.testing.assert_close(other.heads, right.heads, rtol=0, atol=1e-5)
    assert right.exchanges < 120


def test_a_strong_penalty_leaves_the_labels_frequencies() -> None:
    x, label = problem(2)
    label = (torch.arange(len(label)) % 4 == 0).long()  # a quarter
    found = minimise(slopes_of([(x, label)]), gram_of(x), torch.tensor([10.0], dtype=torch.float64), 2)
    assert not found.heads[0, :, :-1].any()
    shares = (x @ found.heads[0].T).softmax(dim=1).mean(dim=0)
    torch.testing.assert_close(shares, torch.tensor([0.75, 0.25], dtype=torch.float64), rtol=0, atol=1e-5)


def test_the_limit_ends_it_and_the_residual_says_so() -> None:
    x, label = problem(2)
    found = minimise(slopes_of([(x, label)]), gram_of(x), torch.tensor([1e-4], dtype=torch.float64), 2, limit=5)
    assert found.exchanges == 5
    gradient = gradient_sums(x, label, found.heads) / len(x)
    residual = residual_of(found.heads, gradient, torch.tensor([1e-4], dtype=torch.float64))
    assert float(residual[0]) == pytest.approx(float(found.residual[0]), abs=1e-12)
    assert float(residual[0]) > 1e-6


def test_one_label_has_nothing_to_learn() -> None:
    x, label = problem(1)
    assert one_hot(label).shape[1] == 1
    found = minimise(slopes_of([(x, label)]), gram_of(x), torch.tensor([0.1], dtype=torch.float64), 1)
    assert (found.exchanges, float(found.heads.abs().max())) == (1, 0.0)
