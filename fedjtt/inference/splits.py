"""Who is the minority, by a model's outputs: free functions of logits ``[n, num_labels]`` and labels ``[n]``."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

Split = Callable[[Tensor, Tensor], Tensor]
CLUSTER_PASSES = 10


def misclassified(logits: Tensor, label: Tensor) -> Tensor:
    """Return bool ``[n]``: where the largest output is not the label's (JTT, Liu et al. 2021)."""
    return logits.argmax(dim=1) != label


def eiil_split(logits: Tensor, label: Tensor) -> Tensor:
    """Return bool ``[n]``: where ``sum_c p_c z_c > z_y``, the minority environment of EIIL (Creager et al. 2021).

    EIIL maximises the invariance penalty over soft environments. The penalty of an environment is the squared sum of
    its examples' derivatives ``d_i = sum_c p_c z_c - z_y`` along a common scale of the logits, so the best split puts
    every example by the sign of d: there is nothing to optimise. The set is part of the misclassified examples, and
    equal to them for two labels.
    """
    expected = (logits.softmax(dim=1) * logits).sum(dim=1)
    return expected > logits.gather(1, label.unsqueeze(1)).squeeze(1)


def clustered(logits: Tensor, label: Tensor) -> Tensor:
    """Return bool ``[n]``: all but each label's largest cluster of outputs (after SPARE, Yang et al. 2024).

    Lloyd's algorithm on the softmax outputs of every label, from one prototype per output: nothing is drawn, and a
    label whose examples are all alike keeps one cluster. A prototype that attracts no example stays where it is.
    """
    outputs, found = logits.softmax(dim=1), torch.zeros(len(label), dtype=torch.bool)
    for value in range(outputs.shape[1]):
        rows = torch.nonzero(label == value).flatten()
        nearest = _lloyd(outputs[rows], torch.eye(outputs.shape[1]))
        largest = torch.bincount(nearest, minlength=outputs.shape[1]).argmax()
        found[rows] = nearest != largest
    return found


def _lloyd(points: Tensor, centres: Tensor) -> Tensor:
    """Return the number of the nearest centre of every point, after the centres have moved to their points' means."""
    nearest = torch.cdist(points, centres).argmin(dim=1)
    for _ in range(CLUSTER_PASSES):
        sums = torch.zeros_like(centres).index_add_(0, nearest, points)
        counts = torch.bincount(nearest, minlength=len(centres)).unsqueeze(1)
        centres = torch.where(counts > 0, sums / counts.clamp(min=1), centres)
        before, nearest = nearest, torch.cdist(points, centres).argmin(dim=1)
        if torch.equal(before, nearest):
            break
    return nearest


SPLITS: dict[str, Split] = {"misclassified": misclassified, "eiil": eiil_split, "clusters": clustered}


def agreed(outputs: Sequence[Tensor], label: Tensor, split: str, vote: str) -> Tensor:
    """Return bool ``[n]``: what several models together call the minority.

    Parameters
    ----------
    outputs : sequence of Tensor
        The models' logits of the same examples.
    split : str
        Each model's rule, a key of SPLITS.
    vote : str
        ``majority``: more than half of the models say so; ``mean-loss``: the models' mean cross-entropy is above
        ln 2, that is, the label's probability is below a half in the geometric mean; then `split` is not asked.
    """
    if vote == "mean-loss" and len(outputs) > 1:
        losses = [functional.cross_entropy(logits, label, reduction="none") for logits in outputs]
        return torch.stack(losses).mean(dim=0) > math.log(2)
    votes = torch.stack([SPLITS[split](logits, label) for logits in outputs]).sum(dim=0)
    return 2 * votes > len(outputs)
