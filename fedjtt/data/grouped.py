"""A dataset whose examples belong to groups: (x, label, attribute or none, id)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from fedjtt.data.feature_rows import Inputs
from fedjtt.errors import DataError


@dataclass(frozen=True)
class GroupedDataset:
    """Examples, one row each.

    Attributes
    ----------
    x : Tensor or ImageRows or FeatureRows
        uint8 ``[n, ...]`` (images, scaled to [0, 1] when a batch is made), float32 ``[n, ...]``, or int32 tokens
        ``[n, length]``, of pairs of texts ``[n, 2, length]``; or images on disk, read when a batch is made; or what a
        frozen network sees of any of these.
        :func:`fedjtt.data.sampling.gather` makes batches of all of them.
    label : Tensor
        int64 ``[n]``, from 0 to ``num_labels - 1``.
    attribute : Tensor or None
        int64 ``[n]``, from 0 to ``num_attributes - 1``; None where nobody knows it.
    id : Tensor
        int64 ``[n]``, what the example is called wherever it goes; ascending and unique.
    num_labels, num_attributes : int
        Sizes of the two alphabets, also of values that do not occur.
    memberships : Tensor or None
        Bool ``[n, m]``: which of m overlapping kinds an example is of. Evaluation's worst group is then the worst of
        label and kind; whatever else asks for groups means those of label and attribute.
    """

    x: Inputs
    label: Tensor
    attribute: Tensor | None
    id: Tensor
    num_labels: int
    num_attributes: int
    memberships: Tensor | None = None

    def __post_init__(self) -> None:
        """Refuse columns of different lengths and values outside their alphabets."""
        columns = {
            "x": self.x,
            "label": self.label,
            "attribute": self.attribute,
            "id": self.id,
            "memberships": self.memberships,
        }
        lengths = {name: len(column) for name, column in columns.items() if column is not None}
        if len(set(lengths.values())) != 1:
            raise DataError(f"the columns of a dataset differ in length: {lengths}; give one row an example")
        for name, column, size in (
            ("label", self.label, self.num_labels),
            ("attribute", self.attribute, self.num_attributes),
        ):
            if column is not None and len(column) and not 0 <= int(column.min()) <= int(column.max()) < size:
                raise DataError(
                    f"{name} runs from {int(column.min())} to {int(column.max())}; allowed is 0 to {size - 1}"
                )

    def __len__(self) -> int:
        """Return the number of examples."""
        return len(self.label)

    @property
    def num_groups(self) -> int:
        """Number of groups, also of those without an example."""
        return self.num_labels * self.num_attributes

    @property
    def group(self) -> Tensor:
        """int64 ``[n]``: ``label * num_attributes + attribute``. Raises DataError without attributes."""
        if self.attribute is None:
            raise DataError("this dataset has no attribute, so it has no groups; give one, or use what needs none")
        return self.label * self.num_attributes + self.attribute

    def group_counts(self) -> Tensor:
        """int64 ``[num_groups]``: examples of each group."""
        return torch.bincount(self.group, minlength=self.num_groups)

    def take(self, rows: Tensor | Sequence[int]) -> "GroupedDataset":
        """Return the given rows as a dataset of their own (a copy of what is in memory, same alphabets and ids)."""
        index = torch.as_tensor(rows, dtype=torch.int64)
        return replace(
            self,
            x=self.x[index],
            label=self.label[index],
            attribute=None if self.attribute is None else self.attribute[index],
            id=self.id[index],
            memberships=None if self.memberships is None else self.memberships[index],
        )


@dataclass(frozen=True)
class Splits:
    """A dataset's three parts and how people call its labels, attributes and overlapping kinds.

    ``notes`` are what a result should say of the data.
    """

    train: GroupedDataset
    validation: GroupedDataset
    test: GroupedDataset
    label_names: tuple[str, ...]
    attribute_names: tuple[str, ...]
    kind_names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def majority_attribute(train: GroupedDataset) -> Tensor:
    """int64 ``[num_labels]``: each label's most frequent attribute in the train set (the lowest on a tie)."""
    return train.group_counts().view(train.num_labels, train.num_attributes).argmax(dim=1)


def minority_mask(dataset: GroupedDataset, majority: Tensor) -> Tensor:
    """Bool ``[n]``: the true minority, every attribute but the label's majority one.

    `majority` comes from the *global* train set (:func:`majority_attribute`), whatever part `dataset` is.
    """
    if dataset.attribute is None:
        raise DataError("the true minority is not known without an attribute")
    return dataset.attribute != majority[dataset.label]


def count_labels(label: Tensor, num_labels: int) -> list[int]:
    """Return how often every label stands in a column of labels."""
    counts: list[int] = torch.bincount(label, minlength=num_labels).tolist()
    return counts
