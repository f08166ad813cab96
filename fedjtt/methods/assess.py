"""Group accuracies of a model over whoever holds the split: both halves, and the choice of a round by them."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from fedjtt.config import RunConfig
from fedjtt.errors import ConfigError, ForgottenError
from fedjtt.evaluation import GroupSums, predict, scores, sums_of
from fedjtt.methods.base import Array, Node, Payload, Place, Scalar, Server, Trained, is_sum

SPLITS = ("train", "validation", "test")
BIAS_UNSUPERVISED = "val-bias-unsupervised"
SELECTION_SCORE = {
    "val-worst-group": "worst-group-accuracy",
    "val-worst-class": "worst-class-accuracy",
    "val-average": "average-accuracy",
    BIAS_UNSUPERVISED: "bias-unsupervised-score",
}
REFERRED = "reference-labels"
REFERENCE_COUNTS = ("reference-correct", "reference-count")
KIND_COUNTS = ("kind-correct", "kind-count")
"""Of overlapping kinds, where the split's examples are of such."""
LEAST = 10
"""Validation examples that a group of label and reference's prediction must have to be judged by."""


def assess(node: Node, request: Payload) -> Payload:
    """Report (correct, count) per group of the machine's part of a split, for the weights in the request.

    ``by-reference`` in the request: per label and reference's prediction too.

    Raises
    ------
    ForgottenError
        Where the machine should know the reference's predictions, and has restarted.
    """
    part = getattr(node.data, SPLITS[request.integer("split")])
    by_reference = "by-reference" in request.numbers
    if by_reference and REFERRED not in node.memo:
        raise ForgottenError("the machine has forgotten the reference's predictions")
    data, label = part.dataset, part.dataset.label[part.rows]
    correct = predict(node.load(request.arrays["weights"]), data, part.rows) == label
    sums = sums_of(correct, data, part.rows)
    numbers: dict[str, Scalar] = {"correct": sums.correct.tolist(), "count": sums.count.tolist()}
    numbers["attributes"] = sums.num_attributes
    if sums.of_kinds is not None:
        numbers |= {name: counts.tolist() for name, counts in zip(KIND_COUNTS, sums.of_kinds, strict=True)}
    if by_reference:
        cell, cells = label * data.num_labels + torch.from_numpy(node.memo[REFERRED].copy()), data.num_labels**2
        told = (torch.bincount(which, minlength=cells).tolist() for which in (cell[correct], cell))
        numbers |= dict(zip(REFERENCE_COUNTS, told, strict=True))
    return Payload(numbers=numbers)


def refer(node: Node, request: Payload) -> Payload:
    """Keep what the reference predicts for the machine's validation examples; without weights, one label for all."""
    part, weights = node.data.validation, request.arrays["weights"]
    predicted = predict(node.load(weights), part.dataset, part.rows) if len(weights) else torch.zeros(len(part)).long()
    node.memo[REFERRED] = predicted.numpy()
    return Payload()


def place_of(config: RunConfig) -> Place:
    """Return who holds validation and test."""
    return "machines" if config.evaluation_at == "machines" else "server"


def assess_weights(
    server: Server, weights: Array, split: str, train_counts: list[int] | None, by_machine: bool = False
) -> dict[str, Any]:
    """Evaluate weights on a split where ``evaluation-at`` says that it is; sums are added before they are divided.

    With `by_machine`, what is evaluated on machines also has ``machines``: each one's own counts, group by group, where
    the server sees them.
    """
    numbers: dict[str, Scalar] = {"split": SPLITS.index(split)}
    by_reference = split == "validation" and server.reference is not None
    if by_reference:
        numbers["by-reference"] = 1
    place = place_of(server.config)
    replies = server.ask(place, "assess", Payload(arrays={"weights": weights}, numbers=numbers))
    if not replies:
        raise RuntimeError("a round without replies is refused before it is reduced")
    correct, count = (torch.tensor(_added(replies, name)) for name in ("correct", "count"))
    attributes, of_kinds = replies[0].integer("attributes"), None
    if KIND_COUNTS[0] in replies[0].numbers:
        of_kinds = (torch.tensor(_added(replies, KIND_COUNTS[0])), torch.tensor(_added(replies, KIND_COUNTS[1])))
    figures = scores(GroupSums(correct, count, attributes, of_kinds), train_counts)
    if by_reference:
        figures[SELECTION_SCORE[BIAS_UNSUPERVISED]] = reference_score(
            *(_added(replies, name) for name in REFERENCE_COUNTS)
        )
    if by_machine and place == "machines" and not is_sum(replies):
        names = {"machine": "partition-id", "count": "count", "correct": "correct"}
        figures["machines"] = [{name: reply.numbers[key] for name, key in names.items()} for reply in replies]
    return figures


def _added(replies: Sequence[Payload], name: str) -> list[int]:
    return [sum(values) for values in zip(*(reply.integers(name) for reply in replies), strict=True)]


def reference_score(correct: Sequence[int], count: Sequence[int]) -> float | None:
    """Return the worst accuracy over the groups of label and reference's prediction; None without an example.

    Groups of fewer than ten examples are left out, where others are not: one example that no model gets right would
    make all models equal.
    """
    least = LEAST if max(count, default=0) >= LEAST else 1
    return min((right / size for right, size in zip(correct, count, strict=True) if size >= least), default=None)


def ranked(config: RunConfig, figures: Mapping[str, Any]) -> tuple[float, float]:
    """Return what a round is selected by: the rule's score, then the average.

    Untrained models tie at a worst group of 0: the better average decides then, not the earlier round.

    Raises
    ------
    ConfigError
        Where validation has nothing that the rule could judge by.
    """
    score = figures[SELECTION_SCORE[config.selection]]
    if score is None and figures["average-accuracy"] is None:
        raise ConfigError(f"selection is {config.selection}, but validation has no examples; use last")
    if score is None:
        raise ConfigError(
            f"selection is {config.selection}, but validation has no examples with known groups; "
            "use val-worst-class, val-average, val-bias-unsupervised or last"
        )
    return score, figures["average-accuracy"]


def selected_score(trained: Trained, selection: str) -> tuple[float, float]:
    """Return the validation scores by which a run's round was selected: the rule's own, then the average."""
    if selection == "last":
        return (0.0, 0.0)
    line = trained.history[trained.selected_round - 1]
    names = (SELECTION_SCORE[selection], "average-accuracy")
    return tuple(line[f"validation.{name}"] for name in names)
