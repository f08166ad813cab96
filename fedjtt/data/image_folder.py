"""Images in a folder, listed in a manifest: a CSV with path, label, split and, where it is known, attribute."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from fedjtt.data.cells import Value, value_of
from fedjtt.data.decoding import BadImageError, decode
from fedjtt.data.grouped import GroupedDataset, Splits
from fedjtt.data.host_file import HostFile, split_of
from fedjtt.data.host_format import HostFormat
from fedjtt.data.host_schema import MISSING, NO_ATTRIBUTE, SPLITS, Coded, check_split, distinct
from fedjtt.data.toml_table import TomlTable, about
from fedjtt.errors import ConfigError

CHANNELS = {"RGB": 3, "L": 1}
"""How many channels an image of each mode has."""

_MISSING = {value_of(token.casefold()) for token in MISSING}


@dataclass(frozen=True)
class ImageSchema:
    """What all hosts agree on about their images.

    Attributes
    ----------
    labels : tuple of str
        The values of the manifest's column ``label``, in the order of their codes.
    attributes : tuple of str or None
        Those of ``attribute``; None: the manifest needs no such column.
    height, width : int
        To which every image is resized, whatever its proportions.
    mode : str
        ``RGB`` or ``L`` (grey).
    split_shares : tuple of float or None
        None: the column ``split`` says train, validation or test. Otherwise shares, drawn by a hash of seed and row.
    """

    labels: tuple[str, ...]
    attributes: tuple[str, ...] | None
    height: int
    width: int
    mode: str = "RGB"
    split_shares: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        """Refuse values that are not distinct, sizes below 1 and unknown modes."""
        distinct("labels", self.labels)
        if self.attributes is not None:
            distinct("attributes", self.attributes)
        if self.split_shares is not None:
            check_split(None, self.split_shares)
        if min(self.height, self.width) < 1:
            raise ConfigError(f"size is {self.height} x {self.width}; give height and width of at least 1 pixel")
        if self.mode not in CHANNELS:
            raise ConfigError(f"mode is {self.mode!r}; allowed are {', '.join(CHANNELS)}")

    @property
    def label(self) -> Coded:
        """The column of labels."""
        return Coded("label", self.labels, self.labels)

    @property
    def attribute(self) -> Coded | None:
        """The column of attributes."""
        return None if self.attributes is None else Coded("attribute", self.attributes, self.attributes)

    @property
    def split(self) -> Coded | None:
        """The column of splits."""
        return Coded("split", SPLITS, SPLITS) if self.split_shares is None else None

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that a manifest must have."""
        return ("path", *(coded.column for coded in (self.label, self.attribute, self.split) if coded))


def fingerprint_of(schema: ImageSchema) -> str:
    """Return the SHA-256 (hex) of everything that the schema says: equal where hosts agree."""
    return hashlib.sha256(repr(schema).encode()).hexdigest()


def parse_image_schema(raw: Mapping[str, Any], where: str = "schema") -> ImageSchema:
    """Read a schema from TOML: labels, attributes, size = [height, width], mode, split-shares."""
    with about(where):
        table = TomlTable(raw)
        size = table.numbers("size")
        if size is None or len(size) != 2 or not all(each.is_integer() for each in size):
            raise ConfigError(f"size is {raw.get('size')}; write height and width in whole pixels, such as [28, 28]")
        schema = ImageSchema(
            labels=table.texts("labels") or (),
            attributes=table.texts("attributes"),
            height=int(size[0]),
            width=int(size[1]),
            mode=table.text("mode") or "RGB",
            split_shares=table.numbers("split-shares"),
        )
        table.close()
    return schema


def load_image_folder(
    folder: Path,
    manifest: Path,
    schema: ImageSchema,
    host: HostFormat | None = None,
    seed: int = 0,
    partition_id: int = 0,
) -> Splits:
    """Read a host's images.

    Parameters
    ----------
    folder : Path
        What the manifest's paths start from; no image may lie outside it, not by a link either.
    manifest : Path
        The CSV file.
    schema : ImageSchema
        What all hosts agree on.
    host : HostFormat, optional
        This host's headers and words.
    seed, partition_id : int
        For ``split-shares``: the run's seed and which machine this is.

    Returns
    -------
    Splits
        Images uint8 ``[n, channels, height, width]``; an example's id is its place in the manifest, from 0.

    Raises
    ------
    DataError
        One line with manifest, row and column about the first thing that is wrong, in the manifest or with an image.
    """
    file = HostFile(manifest, host or HostFormat(), schema.columns, _is_missing)
    label, attribute, split = schema.label, schema.attribute, schema.split
    root = folder.resolve()
    seen: dict[Path, int] = {}
    parts: tuple[list[_Row], ...] = tuple([] for _ in SPLITS)
    for row in range(len(file)):
        path = _inside(root, file, row)
        if path in seen:
            raise file.error(row, "path", f"{file.text(row, 'path')!r} stands in row {seen[path]} already; drop one")
        seen[path] = file.lines[row]
        label_code = file.required(row, label, "label")
        attribute_code = file.required(row, attribute, "attribute") if attribute else 0
        where = split_of(file, row, split, schema.split_shares, seed, partition_id)
        parts[where].append(_Row(row, label_code, attribute_code, path))
    train, validation, test = (_dataset(part, file, schema) for part in parts)
    return Splits(train, validation, test, schema.labels, schema.attributes or (NO_ATTRIBUTE,))


@dataclass(frozen=True)
class _Row:
    row: int
    label: int
    attribute: int
    path: Path


def _is_missing(column: str, value: Value) -> bool:  # noqa: ARG001
    return (value.casefold() if isinstance(value, str) else value) in _MISSING


def _inside(root: Path, file: HostFile, row: int) -> Path:
    """Return where an image is, with links followed; an error where that is not a file within the folder."""
    text = file.text(row, "path")
    if not text:
        raise file.error(row, "path", f"the path is missing; write where the image is in {root}")
    try:
        path = (root / text).resolve()
        found = path.is_file()
    except (OSError, RuntimeError):  # a name too long for the file system, a link to itself
        raise file.error(row, "path", f"{text!r} cannot be followed in {root}; correct it") from None
    if not path.is_relative_to(root):
        raise file.error(row, "path", f"{text!r} leads outside {root}; list images in that folder only")
    if not found:
        what = "is no file" if path.exists() else "is missing"
        raise file.error(row, "path", f"{text!r} {what} in {root}; put the image there or drop the row")
    return path


def _dataset(rows: list[_Row], file: HostFile, schema: ImageSchema) -> GroupedDataset:
    x = np.empty((len(rows), CHANNELS[schema.mode], schema.height, schema.width), dtype=np.uint8)
    for place, each in enumerate(rows):
        x[place] = _pixels(each, file, schema)
    attribute = torch.tensor([each.attribute for each in rows], dtype=torch.int64)
    return GroupedDataset(
        x=torch.from_numpy(x),
        label=torch.tensor([each.label for each in rows], dtype=torch.int64),
        attribute=attribute if schema.attributes is not None else None,
        id=torch.tensor([each.row for each in rows], dtype=torch.int64),
        num_labels=len(schema.labels),
        num_attributes=len(schema.attributes) if schema.attributes is not None else 1,
    )


def _pixels(each: _Row, file: HostFile, schema: ImageSchema) -> np.ndarray:
    """Return an image, uint8 ``[channels, height, width]``, upright as its camera says."""
    try:
        upright = decode(each.path, schema.mode)
    except BadImageError as error:
        text = file.text(each.row, "path")
        raise file.error(each.row, "path", f"{text!r} {error}; replace it or drop the row") from None
    resized = upright.resize((schema.width, schema.height), Image.Resampling.BILINEAR)
    return np.asarray(resized).reshape(schema.height, schema.width, -1).transpose(2, 0, 1)
