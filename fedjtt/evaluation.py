"""Group accuracies from sums: (correct, count) per group, added over batches, machines and splits alike."""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from fedjtt.data.grouped import GroupedDataset
from fedjtt.data.sampling import gather
from fedjtt.errors import ConfigError
from fedjtt.models import FlatModel
from fedjtt.sparse.kernels import for_rows

EVALUATION_BATCH = 500


@torch.no_grad()
def outputs_of(model: FlatModel, dataset: GroupedDataset, rows: Tensor) -> Tensor:
    """Return the logits, float32 ``[len(rows), num_labels]``, in evaluation mode."""
    model.module.eval()
    device = model.vector.device
    module = for_rows(model.module, len(rows))
    parts = [module(gather(dataset.x, part, device)).cpu() for part in torch.split(rows, EVALUATION_BATCH)]
    return torch.cat(parts) if parts else torch.zeros(0, dataset.num_labels)


def last_layer(module: nn.Module) -> nn.Linear:
    """Return the linear layer whose weights and biases are the end of a network's parameters.

    Raises
    ------
    ConfigError
        Where the network has none.
    """
    linear = [layer for layer in module.modules() if isinstance(layer, nn.Linear)]
    own = [id(parameter) for parameter in list(module.parameters())[-2:]]
    if not linear or [id(linear[-1].weight), id(linear[-1].bias)] != own:
        raise ConfigError(
            "the model's last parameters are not weight and bias of an nn.Linear, whose inputs are the features; let "
            "one give the logits, and define it last"
        )
    return linear[-1]


@torch.no_grad()
def feature_batches(
    model: FlatModel,
    dataset: GroupedDataset,
    rows: Tensor,
    dtype: torch.dtype = torch.float32,
    batch: int = EVALUATION_BATCH,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield rows, and what the last linear layer sees of them, ``[len(part), width]``, in evaluation mode.

    Parameters
    ----------
    dtype : torch.dtype
        What the network computes in; float64: the same to rounding in whatever batches.

    Raises
    ------
    ConfigError
        Where that layer's outputs are not the model's.
    """
    module = model.module if dtype == torch.float32 else copy.deepcopy(model.module).to(dtype)
    module.eval()
    layer, device, seen = last_layer(module), model.vector.device, []
    hook = layer.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].cpu()))
    try:
        for part in torch.split(rows, batch) if len(rows) else ():
            inputs = gather(dataset.x, part)  # tokens stay whole numbers
            logits = module(inputs.to(device, dtype if inputs.is_floating_point() else None)).cpu()
            features = torch.cat(seen)
            seen.clear()
            expected = nn.functional.linear(features, layer.weight.cpu(), layer.bias.cpu())
            if expected.shape != logits.shape or not torch.allclose(expected, logits, rtol=1e-4, atol=1e-4):
                raise ConfigError("the model's outputs are not those of its last nn.Linear, whose inputs are features")
            yield part, features
    finally:
        hook.remove()


def features_of(model: FlatModel, dataset: GroupedDataset, rows: Tensor) -> Tensor:
    """Return what the last linear layer sees, float32 ``[len(rows), width]``; see :func:`feature_batches`."""
    found = [features for _, features in feature_batches(model, dataset, rows)]
    return torch.cat(found) if found else torch.zeros(0, last_layer(model.module).in_features)


def predict(model: FlatModel, dataset: GroupedDataset, rows: Tensor) -> Tensor:
    """Return the predicted labels, int64 ``[len(rows)]``, in evaluation mode."""
    return outputs_of(model, dataset, rows).argmax(dim=1)


@dataclass(frozen=True)
class GroupSums:
    """Correct predictions and examples per group; groups are the labels alone where there is no attribute.

    Attributes
    ----------
    correct, count : Tensor
        int64 ``[num_labels * num_attributes]``, label by label.
    num_attributes : int
        0 where the attribute is not known.
    of_kinds : tuple of Tensor, or None
        The same two sums for every label and overlapping kind, int64 ``[num_labels * kinds]``; an example counts in
        each kind that it is of. None: there are no such kinds.
    """

    correct: Tensor
    count: Tensor
    num_attributes: int
    of_kinds: tuple[Tensor, Tensor] | None = None

    def __add__(self, other: "GroupSums") -> "GroupSums":
        """Return the sums over both."""
        of_kinds = None
        if self.of_kinds is not None and other.of_kinds is not None:
            of_kinds = (self.of_kinds[0] + other.of_kinds[0], self.of_kinds[1] + other.of_kinds[1])
        return GroupSums(self.correct + other.correct, self.count + other.count, self.num_attributes, of_kinds)


def group_sums(model: FlatModel, dataset: GroupedDataset, rows: Tensor) -> GroupSums:
    """Count examples and correct predictions of the given rows per group."""
    return sums_of(predict(model, dataset, rows) == dataset.label[rows], dataset, rows)


def sums_of(correct: Tensor, dataset: GroupedDataset, rows: Tensor) -> GroupSums:
    """Count the given rows per group, and those of them that are predicted correctly, bool ``[len(rows)]``."""
    known = dataset.attribute is not None
    group = (dataset.group if known else dataset.label)[rows]
    size = dataset.num_groups if known else dataset.num_labels
    return GroupSums(
        correct=torch.bincount(group[correct], minlength=size),
        count=torch.bincount(group, minlength=size),
        num_attributes=dataset.num_attributes if known else 0,
        of_kinds=_sums_of_kinds(correct, dataset, rows),
    )


def _sums_of_kinds(correct: Tensor, dataset: GroupedDataset, rows: Tensor) -> tuple[Tensor, Tensor] | None:
    if dataset.memberships is None:
        return None
    label, member = dataset.label[rows], dataset.memberships[rows].long()
    shape = (dataset.num_labels, member.shape[1])
    right, count = (
        torch.zeros(shape, dtype=torch.int64).index_add_(0, label, each).flatten()
        for each in (member * correct.unsqueeze(1), member)
    )
    return right, count


def scores(sums: GroupSums, train_counts: Sequence[int] | None) -> dict[str, Any]:
    """Turn sums into the figures of a result.

    A group without examples has no accuracy: it is listed with count 0 and left out of the worst group.

    Parameters
    ----------
    sums : GroupSums
        Over all machines.
    train_counts : sequence of int or None
        Train examples per group, the weights of ``adjusted-average-accuracy``.

    Returns
    -------
    dict
        ``worst-group-accuracy``, ``worst-class-accuracy``, ``average-accuracy``, ``adjusted-average-accuracy``,
        ``aligned-accuracy`` and ``conflicting-accuracy`` (None where it cannot be said), ``groups`` (label, attribute,
        count, correct), ``empty-groups``. Where examples are of overlapping kinds, the worst group is one of label and
        kind, and ``overlapping-groups`` lists these (label, kind, count, correct); the averages, which count every
        example once, are as ever.
    """
    correct, count = sums.correct.double(), sums.count.double()
    accuracy = correct / count  # NaN where the count is 0
    present = count > 0
    per_label = max(1, sums.num_attributes)
    by_class = correct.view(-1, per_label).sum(1) / count.view(-1, per_label).sum(1)
    has_groups = sums.num_attributes > 0
    adjusted = None
    if has_groups and train_counts is not None:
        weight = torch.tensor(train_counts, dtype=torch.float64) * present
        adjusted = float((accuracy.nan_to_num() * weight).sum() / weight.sum()) if weight.sum() else None
    worst = float(accuracy[present].min()) if has_groups and present.any() else None
    return {
        "worst-group-accuracy": worst,
        "worst-class-accuracy": float(by_class[~by_class.isnan()].min()) if present.any() else None,
        "average-accuracy": float(correct.sum() / count.sum()) if present.any() else None,
        "adjusted-average-accuracy": adjusted,
        **_by_alignment(sums, train_counts if has_groups else None),
        "groups": [
            {
                "label": index // per_label,
                "attribute": index % per_label if has_groups else None,
                "count": int(sums.count[index]),
                "correct": int(sums.correct[index]),
            }
            for index in range(len(sums.count))
        ],
        "empty-groups": int((~present).sum()),
        **({} if sums.of_kinds is None else _scores_of_kinds(*sums.of_kinds, len(by_class))),
    }


def _scores_of_kinds(correct: Tensor, count: Tensor, labels: int) -> dict[str, Any]:
    """Return what overlapping kinds put in the place of, and beside, the groups' scores."""
    present, kinds = count > 0, len(count) // labels
    accuracy = (correct.double() / count)[present]
    return {
        "worst-group-accuracy": float(accuracy.min()) if len(accuracy) else None,
        "overlapping-groups": [
            {"label": index // kinds, "kind": index % kinds, "count": int(count[index]), "correct": int(correct[index])}
            for index in range(len(count))
        ],
    }


def _by_alignment(sums: GroupSums, train_counts: Sequence[int] | None) -> dict[str, float | None]:
    """Return the accuracy on examples of their label's most frequent attribute in train, and on the others."""
    names = ("aligned-accuracy", "conflicting-accuracy")
    if train_counts is None:
        return dict.fromkeys(names)
    table = torch.tensor(train_counts).view(-1, sums.num_attributes)
    aligned = torch.zeros_like(table, dtype=torch.bool)
    aligned[torch.arange(len(table)), table.argmax(dim=1)] = True
    parts = {name: mask.flatten() for name, mask in zip(names, (aligned, ~aligned), strict=True)}
    return {
        name: float(sums.correct[part].sum() / sums.count[part].sum()) if sums.count[part].any() else None
        for name, part in parts.items()
    }


def precision_recall(true_positives: int, found: int, minority: int) -> tuple[float | None, float | None]:
    """Return precision and recall of an error set against the true minority; None where the divisor is 0."""
    return (true_positives / found if found else None, true_positives / minority if minority else None)
