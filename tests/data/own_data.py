"""A small schema and files for it, for the tests of hosts' own data."""

from pathlib import Path
from typing import Any

from fedjtt.data.host_schema import Schema, parse_schema

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
