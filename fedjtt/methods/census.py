"""How many examples each machine has, by group: counts, asked for once before anything is trained."""

from dataclasses import dataclass

import numpy as np
import torch

from fedjtt.data.grouped import count_labels
from fedjtt.data.partition import unevenness_of
from fedjtt.errors import EngineError
from fedjtt.methods.base import Node, Payload, Place, Server, is_sum


def census(node: Node, request: Payload) -> Payload:  # noqa: ARG001 (an action's signature)
    """Report the machine's train examples: their number, per label and, where attributes are known, per group."""
    part = node.data.train
    known = part.dataset.attribute is not None
    counts = (
        torch.bincount(part.dataset.group[part.rows], minlength=part.dataset.num_groups) if known else torch.zeros(0)
    )
    return Payload(
        numbers={
            "examples": len(part),
            "label-counts": count_labels(part.dataset.label[part.rows], part.dataset.num_labels),
            "group-counts": [int(count) for count in counts],
        }
    )


@dataclass(frozen=True)
class Population:
    """The machines' counts, in the order of their partition ids.

    Attributes
    ----------
    examples : list of int
        Train examples of each machine; under ``secure-aggregation`` their sum alone.
    group_counts : list of int or None
        Train examples per group over all machines; None without attributes.
    label_counts : list of int
        Train examples per label over all machines.
    unevenness : float or None
        How far the machines' mixtures of groups are from the global one; None without attributes, and where only
        sums are known.
    """

    examples: list[int]
    group_counts: list[int] | None
    label_counts: list[int]
    unevenness: float | None

    @property
    def total(self) -> int:
        """Train examples over all machines."""
        return sum(self.examples)

    @property
    def num_labels(self) -> int:
        """Number of labels."""
        return len(self.label_counts)

    @property
    def majority(self) -> list[int] | None:
        """Each label's most frequent attribute over all machines; None without attributes."""
        if self.group_counts is None:
            return None
        table = torch.tensor(self.group_counts).view(self.num_labels, -1)
        return [int(attribute) for attribute in table.argmax(dim=1)]


def count_population(server: Server, place: Place) -> Population:
    """Ask a place for its counts and add them up."""
    replies = server.ask(place, "census", Payload())
    counts, labels = ([reply.integers(name) for reply in replies] for name in ("group-counts", "label-counts"))
    if len({len(row) for row in counts}) != 1 or len({len(row) for row in labels}) != 1:
        raise EngineError("the machines do not agree on the groups; start all of them with the same dataset settings")
    return Population(
        examples=[reply.integer("examples") for reply in replies],
        group_counts=[sum(column) for column in zip(*counts, strict=True)] or None,
        label_counts=[sum(column) for column in zip(*labels, strict=True)],
        unevenness=unevenness_of(np.array(counts)) if counts[0] and not is_sum(replies) else None,
    )
