"""Group accuracies of a model over whoever holds the split: both halves, and the choice of a round by them."""

from typing import Any

import torch

from fedjtt.evaluation import GroupSums, group_sums, scores
from fedjtt.methods.base import Array, Node, Payload, Place, Server, is_sum

SPLITS = ("train", "validation", "test")
SELECTION_SCORE = {
    "val-worst-group": "worst-group-accuracy",
    "val-worst-class": "worst-class-accuracy",
    "val-average": "average-accuracy",
}


def assess(node: Node, request: Payload) -> Payload:
    """Report (correct, count) per group of the machine's part of a split, for the weights in the request."""
    part = getattr(node.data, SPLITS[request.integer("split")])
    sums = group_sums(node.load(request.arrays["weights"]), part.dataset, part.rows)
    return Payload(
        numbers={
            "correct": [int(value) for value in sums.correct],
            "count": [int(value) for value in sums.count],
            "attributes": sums.num_attributes,
        }
    )


def assess_weights(
    server: Server, weights: Array, split: str, train_counts: list[int] | None, by_machine: bool = False
) -> dict[str, Any]:
    """Evaluate weights on a split where ``evaluation-at`` says that it is; sums are added before they are divided.

    With `by_machine`, what is evaluated on machines also has ``machines``: each one's own counts, group by group, where
    the server sees them.
    """
    place: Place = "machines" if server.config.evaluation_at == "machines" else "server"
    request = Payload(arrays={"weights": weights}, numbers={"split": SPLITS.index(split)})
    total: GroupSums | None = None
    replies = server.ask(place, "assess", request)
    for reply in replies:
        sums = GroupSums(
            torch.tensor(reply.integers("correct")), torch.tensor(reply.integers("count")), reply.integer("attributes")
        )
        total = sums if total is None else total + sums
    if total is None:
        raise RuntimeError("a round without replies is refused before it is reduced")
    figures = scores(total, train_counts)
    if not by_machine or place == "server" or is_sum(replies):
        return figures
    names = {"machine": "partition-id", "count": "count", "correct": "correct"}
    machines = [{name: reply.numbers[key] for name, key in names.items()} for reply in replies]
    return {**figures, "machines": machines}
