"""How machines' weights are joined before or beside Flower's rule: plain means, and FedNova's normalised updates."""

from collections.abc import Sequence

import numpy as np

from fedjtt.methods.base import Array
from fedjtt.training import Span

POLYNOMIAL = 3


def by_size(span: Span, share: float) -> Span:
    """Return the span of a machine whose weighted size is `share` of the mean; it has at least one step."""
    first, last = round(span.first * share), round(span.last * share)
    return Span(first, max(last, first + 1), max(round(span.total * share), first + 1))


def normalised(
    current: Array, updates: list[tuple[Array, float]], steps: list[int], momentum: float, running: int = 0
) -> list[tuple[Array, float]]:
    """Return updates as if all machines had gone equally far: FedNova (Wang et al. 2020).

    A machine's change is divided by the weight that its steps' gradients have in it (with momentum m, t steps weigh
    ``(t - m (1 - m^t) / (1 - m)) / (1 - m)``) and multiplied by the mean of these, so that a machine with more steps
    does not pull the objective towards its own data. The last `running` numbers, which no gradient moves, stay as they
    are: a variance that went on beyond where a machine brought it could become negative.
    """
    reach = [(t - momentum * (1 - momentum**t) / (1 - momentum)) / (1 - momentum) for t in steps]
    total = sum(size for _, size in updates)
    mean = sum(size * own for (_, size), own in zip(updates, reach, strict=True)) / total
    trained, further = len(current) - running, []
    for (weights, size), own in zip(updates, reach, strict=True):
        moved = current[:trained] + (weights[:trained] - current[:trained]) * np.float32(mean / own)
        further.append((np.concatenate([moved, weights[trained:]]), size))
    return further


def weighted_mean(vectors: list[Array], sizes: list[float]) -> Array:
    """Return the mean of float32 vectors by size, summed in the given order in float64.

    One vector comes back to the last bit.
    """
    if len(vectors) == 1:
        return vectors[0]
    total = sum(sizes)
    mean = np.zeros_like(vectors[0], dtype=np.float64)
    for vector, size in zip(vectors, sizes, strict=True):
        mean += vector.astype(np.float64) * (size / total)
    return mean.astype(vectors[0].dtype)


def shortened(sent: Array, trained: Array, bound: float) -> Array:
    """Return trained weights whose change from those that were sent is at most `bound` long; 0: as long as it is."""
    change = trained.astype(np.float64) - sent
    length = float(np.linalg.norm(change))
    if not bound or length <= bound:
        return trained
    return (sent + change * (bound / length)).astype(trained.dtype)


def running_mean(mean: Array, vector: Array, number: int) -> Array:
    """Return the mean of a sequence after its `number`-th vector (from 1), later ones counting for more.

    Polynomial-decay averaging (Shamir and Zhang 2013) with eta = 3: the newest vector has the weight 4 / (number + 3).
    """
    if number == 1:
        return vector
    share = (POLYNOMIAL + 1) / (number + POLYNOMIAL)
    return (mean + np.float32(share) * (vector - mean)).astype(vector.dtype)


def ordered_sum(arrays: Sequence[Array]) -> Array:
    """Return the sum of arrays, entry by entry in the order of the numbers: the same bits whoever comes first."""
    total: Array = np.sort(np.stack(arrays), axis=0).sum(axis=0)
    return total
