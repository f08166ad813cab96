"""What a look at a dataset's files found: the groups' sizes, what is damaged, and what could not be looked at."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from fedjtt.data.grouped import Splits
from fedjtt.data.host_schema import SPLITS

Counts = Mapping[str, tuple[int, ...]]
"""Examples of every group, label by label, in each split."""


@dataclass(frozen=True)
class Findings:
    """What a dataset's files hold.

    Attributes
    ----------
    label_names, attribute_names : tuple of str
        What the groups are called.
    counts : mapping
        The groups' sizes by split.
    problems : list of str
        Damage, a line each, which names the file.
    notes : list of str
        What could not be looked at, a line each.
    """

    label_names: tuple[str, ...]
    attribute_names: tuple[str, ...]
    counts: Counts
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def group_names(self) -> list[str]:
        """The groups' names, in the order of the counts."""
        return [f"{label}, {attribute}" for label in self.label_names for attribute in self.attribute_names]


def count_splits(splits: Splits) -> Findings:
    """Return the sizes of a loaded dataset's groups."""
    parts = zip(SPLITS, (splits.train, splits.validation, splits.test), strict=True)
    counts = {name: tuple(int(count) for count in part.group_counts()) for name, part in parts}
    return Findings(splits.label_names, splits.attribute_names, counts, notes=list(splits.notes))
