"""A host's CSV file as arrays of numbers and codes, not yet standardised: that takes the sums of all hosts."""

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from fedjtt.data.csv_file import CsvFile
from fedjtt.data.host_file import HostFile, split_of
from fedjtt.data.host_format import HostFormat
from fedjtt.data.host_schema import SPLITS, Schema
from fedjtt.errors import DataError

TRAIN, VALIDATION, TEST = range(len(SPLITS))


@dataclass(frozen=True)
class HostTable:
    """The rows of one host.

    Attributes
    ----------
    source : str
        The file, for errors.
    schema : Schema
        What the columns mean.
    numeric : ndarray
        float64 ``[n, numeric columns]``, NaN where a number is missing.
    categorical : ndarray
        int64 ``[n, categorical columns]``, the category's code, -1 where it is missing.
    label, split : ndarray
        int64 ``[n]``; split 0 to 2 as in :data:`fedjtt.data.host_schema.SPLITS`.
    attribute : ndarray or None
        int64 ``[n]``; None where the schema has none.
    row : ndarray
        int64 ``[n]``, ascending: the row's place in the file from 0, also counting rows that were left out. What an
        example is called.
    line : ndarray
        int64 ``[n]``: the line of the file, for errors.
    """

    source: str
    schema: Schema
    numeric: np.ndarray
    categorical: np.ndarray
    label: np.ndarray
    attribute: np.ndarray | None
    split: np.ndarray
    row: np.ndarray
    line: np.ndarray

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.label)

    def take(self, rows: np.ndarray) -> "HostTable":
        """Return the given rows (places in this table, or a mask) as a table of their own."""
        columns = {each.name: getattr(self, each.name) for each in fields(self)}
        taken = {name: value[rows] if isinstance(value, np.ndarray) else value for name, value in columns.items()}
        return HostTable(**taken)

    def part(self, split: int) -> "HostTable":
        """Return the rows of one split."""
        return self.take(self.split == split)


def read_table(
    source: Path | CsvFile, schema: Schema, host: HostFormat | None = None, seed: int = 0, partition_id: int = 0
) -> HostTable:
    """Read a host's CSV file.

    Parameters
    ----------
    source : Path or CsvFile
        The file, UTF-8 with a header, or what was read from one.
    schema : Schema
        What all hosts agree on.
    host : HostFormat, optional
        How this host's file says it; without it, in the schema's own words.
    seed, partition_id : int
        For ``split-shares``: the run's seed and which machine this is. Unused where a column says the split.

    Raises
    ------
    DataError
        Anything that is wrong with the file; one line with file, row (line of the file), column and what is allowed.
    ConfigError
        A host's format that does not fit the schema.
    """
    file = HostFile(source, host or HostFormat(), schema.columns, schema.is_missing)
    check_id = file.unique(schema.id) if schema.id else None
    rows = [row for row in range(len(file)) if _is_kept(file, row, schema)]
    if not rows:
        said = " and ".join(str(rule) for rule in schema.keep)
        raise DataError(
            f"{file.path}: none of its {len(file)} rows satisfies keep ({said}); check the rule or the file",
            f"{file.path.name}: no row satisfies keep",
        )
    numeric, categorical, label, attribute, split = [], [], [], [], []
    for row in rows:  # row by row, so that the first error is the first in the file
        if check_id:
            check_id(row)
        label.append(file.required(row, schema.label, "label"))
        if schema.attribute:
            attribute.append(file.required(row, schema.attribute, "attribute"))
        split.append(split_of(file, row, schema.split, schema.split_shares, seed, partition_id))
        numeric.append([file.number(row, column) for column in schema.numeric])
        categorical.append([file.coded(row, coded) for coded in schema.categorical])
    return HostTable(
        source=str(file.path),
        schema=schema,
        numeric=np.array(numeric, dtype=np.float64).reshape(len(rows), -1),
        categorical=np.array(categorical, dtype=np.int64).reshape(len(rows), -1),
        label=np.array(label, dtype=np.int64),
        attribute=np.array(attribute, dtype=np.int64) if schema.attribute else None,
        split=np.array(split, dtype=np.int64),
        row=np.array(rows, dtype=np.int64),
        line=np.array([file.lines[row] for row in rows], dtype=np.int64),
    )


def _is_kept(file: HostFile, row: int, schema: Schema) -> bool:
    """Return whether all rules of ``keep`` hold; one about a value that is missing does not."""
    for rule in schema.keep:
        value = file.value(row, rule.column)
        if rule.needs_number and isinstance(value, str):
            raise file.error(row, rule.column, f"{value!r} is not a number, and keep compares it ({rule}); correct it")
        if value is None or not rule.holds(value):
            return False
    return True
