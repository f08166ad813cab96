"""What a machine does where the last layer is fitted anew on validation: features, and sums over them.

The features stay on the machine, in its memo; what it lost in a restart it is asked to compute again. Where machines
have rows of their own, a sum over fewer than ``min-count`` rows is not sent: those rows do not take part.
"""

import torch
from torch import Tensor

from fedjtt.errors import ForgottenError
from fedjtt.evaluation import features_of
from fedjtt.l1_logistic import gradient_sums
from fedjtt.methods.base import Node, Payload
from fedjtt.methods.cut import drawn
from fedjtt.methods.grouping import validation_groups
from fedjtt.methods.subsets import bin_counts

FEATURES = "head-features"


def features(node: Node, request: Payload) -> Payload:
    """Compute and keep what the last layer sees of the machine's validation rows; report their number per group."""
    part = node.data.validation
    group, groups = _groups(node)
    found = features_of(node.load(request.arrays["weights"]), part.dataset, part.rows)
    node.memo[FEATURES] = found.numpy()
    counts = torch.bincount(group, minlength=groups).tolist()
    return Payload(numbers={"count": counts, "labels": part.dataset.num_labels, "width": found.shape[1]})


def moments(node: Node, request: Payload) -> Payload:
    """Report sums over all rows: of the inputs, of their squares, and of their outer products by groups' weights."""
    x = _inputs(node)
    group, _ = _groups(node)
    if len(x) < _least(node):
        x, group = x[:0], group[:0]
    weights = torch.from_numpy(request.arrays["group-weights"].copy())[group]
    sums = {"total": x.sum(dim=0), "squares": x.square().sum(dim=0), "gram": (x * weights.unsqueeze(1)).T @ x}
    return Payload({name: value.numpy() for name, value in sums.items()}, {"rows": len(x)})


def draw(node: Node, request: Payload) -> Payload:
    """Count the machine's numbers in every draw, by group, in bins inside those that the request names."""
    numbers = drawn(node.data.validation.id, node.config.seed, request.integers("draws"))
    prefix = torch.from_numpy(request.arrays["prefix"].copy())
    return Payload({"counts": bin_counts(numbers, _groups(node)[0], request.integer("level"), prefix).numpy()})


def slope(node: Node, request: Payload) -> Payload:
    """Report the gradients of the logistic losses, summed over each fit's subset, at the heads in the request."""
    x, part = _inputs(node), node.data.validation
    label = part.dataset.label[part.rows]
    heads = torch.from_numpy(request.arrays["heads"].copy())
    gradient, rows = torch.zeros_like(heads), []
    for fit, inside in enumerate(_inside(node, request)):
        taking_part = torch.nonzero(inside).flatten()
        if len(taking_part) < _least(node):
            taking_part = taking_part[:0]
        gradient[:, fit] = gradient_sums(x[taking_part], label[taking_part], heads[:, fit])
        rows.append(len(taking_part))
    return Payload({"gradient": gradient.numpy()}, {"rows": rows})


def score(node: Node, request: Payload) -> Payload:
    """Count the rows outside a subset, and for every head in the request those that it gets right, by group."""
    part = node.data.validation
    group, groups = _groups(node)
    outside = ~_inside(node, request)[0]
    x, label, group = _inputs(node)[outside], part.dataset.label[part.rows][outside], group[outside]
    heads = torch.from_numpy(request.arrays["heads"].copy())
    right = [torch.bincount(group[(x @ head.T).argmax(dim=1) == label], minlength=groups) for head in heads]
    return Payload({"correct": torch.stack(right).numpy(), "count": torch.bincount(group, minlength=groups).numpy()})


def _inside(node: Node, request: Payload) -> Tensor:
    """Return who is in each of the request's subsets, bool ``[subsets, n]``."""
    numbers = drawn(node.data.validation.id, node.config.seed, request.integers("draws"))
    return numbers < torch.from_numpy(request.arrays["limits"].copy())[:, _groups(node)[0]]


def _inputs(node: Node) -> Tensor:
    """Return the features with a last column of ones, float64.

    Raises
    ------
    ForgottenError
        Where the machine has lost them.
    """
    if FEATURES not in node.memo:
        raise ForgottenError("the machine has forgotten what the last layer sees of its rows")
    found = torch.from_numpy(node.memo[FEATURES].copy()).double()
    return torch.cat([found, torch.ones(len(found), 1, dtype=torch.float64)], dim=1)


def _groups(node: Node) -> tuple[Tensor, int]:
    return validation_groups(
        node, "method dfr balances validation's groups, and {}; set groups to class, or method to erm"
    )


def _least(node: Node) -> int:
    return node.config.min_count if node.config.own_data else 0
