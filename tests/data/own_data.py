"""A small schema and files for it, for the tests of hosts' own data."""

from pathlib import Path
from typing import Any

import numpy as np

from fedjtt.data.host_schema import Schema, parse_schema
from fedjtt.data.host_table import TRAIN, HostTable

RAW: dict[str, Any] = {
    "label": "target",
    "label-rule": "target > 0",
    "attribute": "sex",
    "attributes": ["0", "1"],
    "split": "part",
    "numeric": ["age", "chol"],
    "categorical": {"pain": ["none", "some", "much"]},
}
HEADER = "target,sex,part,age,chol,pain"


def schema_of(**changes: Any) -> Schema:
    """The schema, with keys changed (underscores for dashes) or, by None, left out."""
    raw = {**RAW, **{name.replace("_", "-"): value for name, value in changes.items()}}
    return parse_schema({name: value for name, value in raw.items() if value is not None})


def write(tmp_path: Path, *rows: str, header: str = HEADER, name: str = "host.csv") -> Path:
    path = tmp_path / name
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def table_of(numeric: Any, categorical: Any = None, split: Any = None, schema: Schema | None = None) -> HostTable:
    """A table with the given numbers; train rows of category 0 unless told otherwise."""
    numbers = np.asarray(numeric, dtype=np.float64)
    rows = len(numbers)
    codes = np.zeros((rows, 1), dtype=np.int64) if categorical is None else np.asarray(categorical, dtype=np.int64)
    return HostTable(
        source="host.csv",
        schema=schema or schema_of(),
        numeric=numbers,
        categorical=codes,
        label=np.arange(rows) % 2,
        attribute=np.arange(rows) // 2 % 2,
        split=np.full(rows, TRAIN) if split is None else np.asarray(split),
        row=np.arange(rows),
        line=np.arange(rows) + 2,
    )
