"""Logistic regressions with an l1 penalty, several at once, by nothing but the gradients of their mean losses.

A fit minimises ``mean cross-entropy + strength * sum |coefficient|`` over heads ``[labels, width]``, whose last column,
the intercepts, is not penalised. Whoever holds the examples evaluates gradients; every evaluation is an exchange with
machines, so what counts is how few there are. Plain proximal steps need thousands, because features are correlated.
Here a step is measured by the Gram matrix of the features instead of by its length: that bounds the curvature of the
loss in every direction (Böhning 1992: by half of it), and the lasso that a step then amounts to is solved where the
server is. Steps are accelerated (FISTA, Beck and Teboulle 2009), with restarts (O'Donoghue and Candès 2015).
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Slopes = Callable[[Tensor, Tensor], Tensor]
"""From heads ``[p, m, labels, width]`` of the fits with the given numbers ``[m]`` to the gradients at them, alike."""

TOLERANCE = 1e-6
LIMIT = 3000
RIDGE = 1e-6
"""Added to the Gram matrix, in which a feature that never varies has no entry."""

SHRINK, GROW = 0.9, 2.0
INNER_LIMIT, CHECK = 2000, 4
INNER_SHARE = 0.1
"""How exactly a step's lasso is solved, as a share of how far the fit is from its optimum."""


@dataclass(frozen=True)
class Fitted:
    """What was found.

    Attributes
    ----------
    heads : Tensor
        float64 ``[fits, labels, width]``.
    exchanges : int
        Evaluations of gradients; all fits share them.
    residual : Tensor
        float64 ``[fits]``: the largest entry by which a fit misses the conditions of its optimum.
    """

    heads: Tensor
    exchanges: int
    residual: Tensor


def gradient_sums(features: Tensor, label: Tensor, heads: Tensor) -> Tensor:
    """Return the gradients of the summed cross-entropies at heads ``[p, labels, width]``.

    Parameters
    ----------
    features : Tensor
        float64 ``[n, width]``, the last column of ones.
    label : Tensor
        int64 ``[n]``.
    """
    excess = (features @ heads.transpose(1, 2)).softmax(dim=2)
    excess[:, torch.arange(len(label)), label] -= 1
    return excess.transpose(1, 2) @ features


def shrunk(heads: Tensor, amount: Tensor) -> Tensor:
    """Return heads with every coefficient pulled towards 0 by `amount` of its fit; intercepts stay."""
    coefficients = heads[..., :-1]
    bound = amount.view(-1, 1, 1)
    pulled = coefficients - coefficients.clamp(-bound, bound)
    return torch.cat([pulled, heads[..., -1:]], dim=-1)


def residual_of(heads: Tensor, gradients: Tensor, strength: Tensor) -> Tensor:
    """Return how far heads are from their fits' optima, ``[fits]``: 0 there and nowhere else."""
    return (heads - shrunk(heads - gradients, strength)).abs().amax(dim=(1, 2))


def minimise(
    slopes: Slopes, gram: Tensor, strength: Tensor, labels: int, tolerance: float = TOLERANCE, limit: int = LIMIT
) -> Fitted:
    """Solve all fits side by side; one that is done is not asked about any more.

    Parameters
    ----------
    slopes : callable
        Evaluates gradients of mean losses.
    gram : Tensor
        float64 ``[width, width]``: mean of ``x x^T`` over examples like the fits'; their own need not be known.
    strength : Tensor
        float64 ``[fits]``: of the penalty, 1 / (C n) for scikit-learn's C and n examples.
    tolerance : float
        Residual at which a fit is done.
    limit : int
        Exchanges at most.
    """
    fits = _Fits(gram, strength, labels)
    everyone = torch.arange(len(strength))
    fits.slope = slopes(fits.point[None], everyone)[0]
    fits.residual = residual_of(fits.point, fits.slope, strength)
    exchanges = 1
    while exchanges < limit and len(left := everyone[fits.residual > tolerance]):
        new, further, pace = fits.propose(left, tolerance)
        at_new, at_further = slopes(torch.stack([new, further]), left)
        fits.accept(left, new, further, pace, at_new, at_further)
        exchanges += 1
    return Fitted(fits.point, exchanges, fits.residual)


class _Fits:
    """The state of all fits: where each is, the point ahead of it from which it steps, and the gradient there."""

    def __init__(self, gram: Tensor, strength: Tensor, labels: int) -> None:
        self.metric = gram + RIDGE * torch.eye(len(gram), dtype=gram.dtype)
        self.top = float(torch.linalg.eigvalsh(self.metric)[-1])
        self.strength = strength
        self.penalised = torch.ones(len(gram), dtype=gram.dtype)
        self.penalised[-1] = 0
        self.point = torch.zeros(len(strength), labels, len(gram), dtype=gram.dtype)
        self.ahead, self.slope = self.point.clone(), self.point.clone()
        self.curvature = torch.full_like(strength, 0.5)
        self.pace, self.residual = torch.ones_like(strength), torch.full_like(strength, torch.inf)

    def propose(self, left: Tensor, tolerance: float) -> tuple[Tensor, Tensor, Tensor]:
        """Return where fits would step to, the point ahead of that, and the pace there."""
        exactness = (INNER_SHARE * self.residual[left]).clamp(min=tolerance / 20)
        new = self._lasso(left, exactness)
        moved = new - self.point[left]
        turns = (((self.ahead[left] - new) @ self.metric) * moved).sum(dim=(1, 2)) > 0
        pace = torch.where(turns, 1.0, self.pace[left])
        after = (1 + (1 + 4 * pace**2).sqrt()) / 2
        return new, new + ((pace - 1) / after).view(-1, 1, 1) * moved, after

    def accept(
        self, left: Tensor, new: Tensor, further: Tensor, pace: Tensor, at_new: Tensor, at_further: Tensor
    ) -> None:
        """Take the steps along which the loss bends no more than was assumed; assume more where it does.

        By convexity ``f(new) <= f(ahead) + <f'(new), step>``, so that gradients alone show the bound to hold.
        """
        step = new - self.ahead[left]
        bends = ((at_new - self.slope[left]) * step).sum(dim=(1, 2))
        assumed = self.curvature[left] / 2 * ((step @ self.metric) * step).sum(dim=(1, 2))
        good = bends <= assumed
        self.curvature[left] *= torch.where(good, SHRINK, GROW)
        taken = left[good]
        self.point[taken], self.ahead[taken] = new[good], further[good]
        self.slope[taken], self.pace[taken] = at_further[good], pace[good]
        self.residual[taken] = residual_of(new[good], at_new[good], self.strength[taken])

    def _lasso(self, left: Tensor, exactness: Tensor) -> Tensor:
        """Minimise the fits' models: slope, half the curvature times the step in the metric, and the penalty."""
        reach = (self.curvature[left] * self.top).view(-1, 1, 1)
        keeps = torch.eye(len(self.metric), dtype=self.metric.dtype) - self.metric / self.top
        towards = (self.ahead[left] @ self.metric) / self.top - self.slope[left] / reach
        bound = (self.strength[left].view(-1, 1, 1) / reach) * self.penalised
        current = trial = self.point[left]
        pace = torch.ones_like(reach)
        for number in range(INNER_LIMIT):
            raw = trial @ keeps + towards
            new = raw - raw.clamp(-bound, bound)
            back, moved = trial - new, new - current
            if number % CHECK == 0 and bool(((back.abs() * reach).amax(dim=(1, 2)) < exactness).all()):
                return new
            pace = torch.where((back * moved).sum(dim=(1, 2), keepdim=True) > 0, 1.0, pace)
            after = (1 + 4 * pace * pace).sqrt_().add_(1).mul_(0.5)
            trial = torch.addcmul(new, (pace - 1) / after, moved)
            current, pace = new, after
        return current
