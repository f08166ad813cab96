"""The worst share of the losses: its value by two other ways, and the threshold that the machines learn together."""

from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import linprog

import fedjtt
from fedjtt.methods.base import Payload
from fedjtt.methods.cvar_dro import ETA, ETA_SUM, CvarDRO, CvarLesson, EtaCourse
from fedjtt.objectives import cvar_weights
from fedjtt.training import Span
from tests.tiny import node_of, tiny_config, tiny_splits


def cvar(losses: list[float], alpha: float) -> float:
    values = torch.tensor(losses, dtype=torch.float64)
    return float((cvar_weights(values, alpha) * values).sum())


@pytest.mark.parametrize(("alpha", "value"), [(0.2, 8.5), (0.25, 8.2), (1.0, 4.5), (0.1, 9.0), (0.05, 9.0)])
def test_values_of_methods_md(alpha: float, value: float) -> None:
    """Losses 0 to 9: .25 takes 9 and 8 in full and half of 7: (9 + 8 + 3.5) / 2.5 = 8.2."""
    assert cvar([float(loss) for loss in range(10)], alpha) == pytest.approx(value)


@pytest.mark.parametrize("seed", range(10))
def test_it_is_the_optimum_of_the_linear_programme(seed: int) -> None:
    """max over w of sum w_i l_i with 0 <= w_i <= 1 / (alpha n) and sum w_i = 1."""
    chance = np.random.default_rng(seed)
    losses, alpha = chance.exponential(size=13), float(chance.uniform(0.05, 1.0))
    bound = 1 / (alpha * len(losses))
    found = linprog(-losses, A_eq=np.ones((1, 13)), b_eq=[1.0], bounds=[(0, bound)] * 13)
    assert cvar(losses.tolist(), alpha) == pytest.approx(-found.fun, rel=1e-9)
    weights = cvar_weights(torch.from_numpy(losses), alpha)
    assert float(weights.sum()) == pytest.approx(1)
    assert float(weights.max()) <= bound * (1 + 1e-12)


def test_it_is_the_minimum_of_the_dual() -> None:
    """min over eta of eta + mean(relu(l - eta)) / alpha, on a grid that holds every loss."""
    losses = torch.tensor([3.0, 0.5, 2.0, 7.0, 1.0, 1.0])
    for alpha in (0.2, 0.5, 0.9):
        dual = [float(eta + (losses - eta).relu().mean() / alpha) for eta in losses]
        assert cvar(losses.tolist(), alpha) == pytest.approx(min(dual))


def test_equal_losses_and_one_loss() -> None:
    assert cvar([2.0] * 7, 0.3) == pytest.approx(2.0)
    assert cvar([5.0], 0.01) == pytest.approx(5.0)


def lesson_of(eta: float = 0.0, examples: int = 10, **changes: Any) -> CvarLesson:
    values = {"method": "cvar-dro", "cvar_alpha": 0.2, "learning_rate": 0.1, "learning_rate_schedule": "constant"}
    return CvarLesson(examples, tiny_config(**{**values, **changes}), eta, Span(0, 1000, 1000))


def test_a_step_of_the_dual_by_hand() -> None:
    """eta = 2: terms 2 + relu(l - 2) / .2; half of the losses are above it: eta += .1 (.5 / .2 - 1) = .15."""
    lesson = lesson_of(2.0)
    assert lesson.terms is not None
    terms = lesson.terms(torch.tensor([1.0, 3.0, 2.0, 4.0]), torch.arange(4))
    assert terms.tolist() == pytest.approx([2.0, 7.0, 2.0, 12.0])
    assert lesson.eta == pytest.approx(2.15)


def test_the_threshold_comes_to_the_quantile() -> None:
    """Of losses 0 to 9 two are above any eta in [7, 8): there alpha = .2 has no gradient."""
    lesson = lesson_of()
    losses = torch.arange(10).float()
    for _ in range(300):
        assert lesson.terms is not None
        lesson.terms(losses, torch.arange(10))
    assert 6.9 <= lesson.eta < 8.1


def test_alpha_1_is_the_mean_loss() -> None:
    """All losses count; eta, at 0, has no gradient as long as no loss is 0."""
    lesson = lesson_of(cvar_alpha=1.0)
    assert lesson.terms is not None
    terms = lesson.terms(torch.tensor([1.0, 3.0]), torch.arange(2))
    assert terms.tolist() == [1.0, 3.0]
    assert lesson.eta == 0.0
    one = fedjtt.simulate(tiny_config(method="cvar-dro", cvar_alpha=1.0), tiny_splits()).weights
    erm = fedjtt.simulate(tiny_config(method="erm"), tiny_splits()).weights
    np.testing.assert_allclose(one, erm, rtol=0, atol=1e-6)  # the mean of losses is added up in another order


def test_the_server_averages_the_threshold_by_size() -> None:
    """10 examples at 2 and 30 at 6: (20 + 180) / 40 = 5."""
    course = EtaCourse()
    replies = [Payload(numbers={ETA_SUM: 20.0, "size": 10.0}), Payload(numbers={ETA_SUM: 180.0, "size": 30.0})]
    assert course.learn(1, replies) == {ETA: 5.0}
    assert course.request(2).real(ETA) == 5.0
    other = EtaCourse()
    other.resume(course.state())
    assert other.eta == 5.0


def test_a_machine_tells_its_threshold_by_its_size() -> None:
    assert lesson_of(2.5, examples=4).told().real(ETA_SUM) == 10.0


def test_the_tail_of_a_batch() -> None:
    """Of five losses .4 are two: 5 * 1 / (.4 * 5) = 2.5 times each of them; their mean is the batch's CVaR."""
    node = node_of(tiny_config(method="cvar-dro", cvar_threshold="batch", cvar_alpha=0.4), tiny_splits().train)
    lesson = CvarDRO().lesson(node, Payload())
    assert lesson.terms is not None
    terms = lesson.terms(torch.tensor([1.0, 5.0, 2.0, 4.0, 3.0]), torch.arange(5))
    assert terms.tolist() == pytest.approx([0.0, 12.5, 0.0, 10.0, 0.0])
    assert lesson.told().numbers == {}


@pytest.mark.parametrize("robust", ["central", "federated"])
def test_the_tail_of_a_run_is_the_minority(robust: str) -> None:
    """Eight of 60 are minority; the history says where the threshold was."""
    config = tiny_config(
        method="cvar-dro", robust=robust, cvar_alpha=0.2, robust_epochs=30, robust_rounds=10, averaging="none"
    )
    outcome = fedjtt.simulate(config, tiny_splits())
    assert all(line[ETA] > 0 for line in outcome.history)
