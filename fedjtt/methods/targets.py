"""What whoever holds validation does where effects are measured on its groups, given or found: sums by group."""

import numpy as np
import torch
from torch import Tensor

from fedjtt.attribution.kernel import packed
from fedjtt.attribution.pseudo_groups import scattered, sides
from fedjtt.attribution.trak import points_of, target_sums
from fedjtt.errors import ForgottenError
from fedjtt.methods.attribute import least_rows, projection_at, projections_at, remembered
from fedjtt.methods.base import Node, Payload
from fedjtt.methods.grouping import validation_groups

FOUND = "pseudo-groups"


def target(node: Node, request: Payload) -> Payload:
    """Report one model's summed features and losses over the machine's validation rows, by group."""
    part = node.data.validation
    group, groups = _groups(node)
    rows, group = _enough(node, part.rows, group, groups)

    def compute() -> Tensor:
        projection = projection_at(node, request.arrays["weights"], request.integer("model"))
        sums, losses = target_sums(projection, part.dataset, rows, group, groups)
        return torch.cat([losses, sums.flatten()])

    found, seconds = remembered(node, "target", request, compute, rows, group)
    counts = torch.bincount(group, minlength=groups).tolist()
    return Payload({"sums": found[groups:]}, {"count": counts, "losses": found[:groups].tolist(), "seconds": seconds})


def scatter(node: Node, request: Payload) -> Payload:
    """Report by label the sum and the summed outer products of the machine's normalised points."""
    part, labels = node.data.validation, node.data.validation.dataset.num_labels
    rows, label = _enough(node, part.rows, part.dataset.label[part.rows], labels)

    def compute() -> Tensor:
        total, products = scattered(_points(node, request, rows), label, labels)
        return torch.cat([total.flatten(), packed(products).flatten()])

    found, seconds = remembered(node, "scatter", request, compute, rows)
    total, products = np.split(found, [labels * request.arrays["basis"].shape[1]])
    counts = torch.bincount(label, minlength=labels).tolist()
    return Payload({"total": total, "products": products}, {"count": counts, "seconds": seconds})


def divide(node: Node, request: Payload) -> Payload:
    """Put each validation example on a side of its label's component, and keep the groups; report their sizes."""
    part = node.data.validation
    centres, components = (torch.from_numpy(request.arrays[name].copy()) for name in ("centres", "components"))

    def compute() -> Tensor:
        return sides(_points(node, request, part.rows), part.dataset.label[part.rows], centres, components)

    group, seconds = remembered(node, "divide", request, compute, part.rows)
    node.memo[FOUND] = group
    counts = torch.from_numpy(group).bincount(minlength=2 * len(centres)).tolist()
    return Payload(numbers={"count": counts, "seconds": seconds})


def _points(node: Node, request: Payload, rows: Tensor) -> Tensor:
    """Return rows' attribution vectors, seen from the request's basis and normalised."""
    basis = torch.from_numpy(request.arrays["basis"].copy())
    return points_of(projections_at(node, request), basis, node.data.validation.dataset, rows)


def _enough(node: Node, rows: Tensor, group: Tensor, groups: int) -> tuple[Tensor, Tensor]:
    """Return the rows, and their groups, of groups of which the machine has enough for a sum to be sent."""
    counts = torch.bincount(group, minlength=groups)
    kept = counts[group] >= least_rows(node)
    return rows[kept], group[kept]


def _groups(node: Node) -> tuple[Tensor, int]:
    """Return the group of every validation row, as the method says, and how many groups there are.

    Raises
    ------
    ForgottenError
        Where the machine has lost the groups that were found.
    """
    part = node.data.validation
    if node.config.method == "auto-d3m":
        if FOUND not in node.memo:
            raise ForgottenError("the machine has forgotten its validation examples' groups")
        return torch.from_numpy(np.array(node.memo[FOUND])), 2 * part.dataset.num_labels
    return validation_groups(
        node, "method d3m weighs validation's groups, and {}; set method to auto-d3m, or groups to class"
    )
