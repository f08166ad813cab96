"""A host's own rows: what it may tell of them, and what they are as inputs once all hosts have told."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

import numpy as np
import torch

from fedjtt.data.encoding import Encoding, encode_splits
from fedjtt.data.grouped import GroupedDataset, Splits
from fedjtt.data.host_schema import NO_ATTRIBUTE
from fedjtt.data.host_table import HostTable
from fedjtt.data.moments import Moments, below_min_count, moments_of

ROWS = 2**32
"""An example's id is its host's number times this, plus its row."""


@dataclass(frozen=True)
class Form:
    """What the rows of all hosts have in common: how large an input is, and how many labels there are.

    Attributes
    ----------
    shape : tuple of int
        Of one input; empty where that depends on the encoding.
    labels, attributes : int
        The alphabets' sizes; 0 attributes where nobody knows them.
    fingerprint : str
        SHA-256 (hex) of the schema.
    """

    shape: tuple[int, ...]
    labels: int
    attributes: int
    fingerprint: str


class Host(Protocol):
    """One host's rows."""

    @property
    def form(self) -> Form:
        """What they have in common with those of the others."""

    @property
    def categories(self) -> tuple[int, ...]:
        """The number of values of each categorical column."""

    def moments(self, min_count: int) -> Moments:
        """Return the sums that may leave the host: none over fewer than `min_count` rows."""

    def encoded(self, encoding: Encoding) -> Splits:
        """Return the three parts as inputs."""


@dataclass(eq=False)
class TableHost:
    """A host whose rows are those of a CSV file.

    Attributes
    ----------
    table : HostTable
        The rows as they were read.
    number : int
        Which host this is.
    """

    table: HostTable
    number: int
    _last: tuple[bytes, Splits] | None = field(default=None, init=False, repr=False)

    @property
    def form(self) -> Form:
        """The schema's alphabets; the width of an input is the encoding's."""
        schema = self.table.schema
        attributes = len(schema.attribute.values) if schema.attribute else 0
        return Form((), len(schema.label.values), attributes, schema.fingerprint)

    @property
    def categories(self) -> tuple[int, ...]:
        """As the schema lists them."""
        return tuple(len(coded.values) for coded in self.table.schema.categorical)

    @cached_property
    def _moments(self) -> Moments:
        return moments_of(self.table)

    def moments(self, min_count: int) -> Moments:
        """Return the sums over train rows, without those over too few."""
        schema = self.table.schema
        return self._moments.without(below_min_count(self._moments, schema, min_count), schema)

    def encoded(self, encoding: Encoding) -> Splits:
        """Return the rows as inputs; the last encoding's are kept."""
        key = b"".join(array.tobytes() for array in (encoding.mean, encoding.std, encoding.has_missing))
        if self._last is None or self._last[0] != key:
            self._last = key, numbered(encode_splits(self.table, encoding), self.number)
        return self._last[1]


@dataclass(eq=False)
class ImageHost:
    """A host whose rows are images: they need no standardisation."""

    splits: Splits
    fingerprint: str
    number: int

    def __post_init__(self) -> None:
        """Call the examples by their host and row."""
        self.splits = numbered(self.splits, self.number)

    @property
    def form(self) -> Form:
        """The images' size and the schema's alphabets."""
        train = self.splits.train
        attributes = 0 if train.attribute is None else train.num_attributes
        return Form(tuple(train.x.shape[1:]), train.num_labels, attributes, self.fingerprint)

    @property
    def categories(self) -> tuple[int, ...]:
        """None: there are no columns."""
        return ()

    def moments(self, min_count: int) -> Moments:  # noqa: ARG002 (a host's signature)
        """Return the number of train rows; there are no columns."""
        none = np.zeros((0, 3))
        return Moments(len(self.splits.train), np.zeros(0, dtype=np.int64), none, none, ())

    def encoded(self, encoding: Encoding) -> Splits:  # noqa: ARG002 (a host's signature)
        """Return the images as they are."""
        return self.splits


class NoRows:
    """What the server holds where every machine has rows of its own: nothing."""


def numbered(splits: Splits, number: int) -> Splits:
    """Return the splits with ids that name the host too: no two hosts' examples are called the same."""
    parts = (splits.train, splits.validation, splits.test)
    ids = [part.id + number * ROWS for part in parts]
    train, validation, test = (
        GroupedDataset(part.x, part.label, part.attribute, own, part.num_labels, part.num_attributes)
        for part, own in zip(parts, ids, strict=True)
    )
    return Splits(train, validation, test, splits.label_names, splits.attribute_names)


def example_name(example_id: int) -> str:
    """Return an id as a person reads it, ``host:row``; row 0 is the first below the file's header."""
    return f"{example_id // ROWS}:{example_id % ROWS}"


def empty_splits(shape: tuple[int, ...], labels: int, attributes: int, images: bool) -> Splits:
    """Return parts without an example, of which only the sizes mean something."""
    nothing = torch.zeros(0, dtype=torch.int64)
    x = torch.zeros((0, *shape), dtype=torch.uint8 if images else torch.float32)
    part = GroupedDataset(x, nothing, nothing if attributes else None, nothing, labels, max(1, attributes))
    names = tuple(map(str, range(attributes))) or (NO_ATTRIBUTE,)
    return Splits(part, part, part, tuple(map(str, range(labels))), names)
