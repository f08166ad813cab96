"""Three hosts with rows of their own in files, and runs over them."""

from pathlib import Path
from typing import Any

import numpy as np

from fedjtt.config import RunConfig
from tests.tiny import TINY

SCHEMA = """\
label = "ill"
labels = ["no", "yes"]
attribute = "sex"
attributes = ["f", "m"]
split = "part"
numeric = ["age", "weight"]
[categorical]
pain = ["none", "some"]
"""
HEADER = "ill,sex,part,age,weight,pain"


def row_of(chance: np.random.Generator, place: int) -> str:
    """A row whose label shows in the age, and whose sex goes with the label for nine of ten."""
    ill = place % 2
    sex = ill if chance.random() < 0.9 else 1 - ill
    part = ("train", "train", "train", "validation", "test")[place // 2 % 5]
    age, weight = 50 + 10 * ill + 5 * chance.normal(), 70 + 15 * sex + 4 * chance.normal()
    said = "?" if chance.random() < 0.1 else f"{weight:.1f}"
    return f"{('no', 'yes')[ill]},{'fm'[sex]},{part},{age:.1f},{said},{('none', 'some')[ill]}"


def write_hosts(folder: Path, sizes: tuple[int, ...] = (60, 40, 30), schema: str = SCHEMA, seed: int = 0) -> Path:
    """Write schema.toml and hosts/a.csv, b.csv, … ; the second host has headers and a notation of its own."""
    chance = np.random.default_rng(seed)
    (folder / "hosts").mkdir(parents=True)
    (folder / "schema.toml").write_text(schema)
    for number, size in enumerate(sizes):
        lines = [HEADER, *(row_of(chance, place) for place in range(size))]
        name = f"{'abcdefgh'[number]}"
        if number == 1:
            lines = [line.replace(",", ";").replace(".", ",") for line in lines]
            lines[0] = lines[0].replace("age", "years")
            form = 'delimiter = ";"\ndecimal = ","\n[columns]\nage = "years"\n'
            (folder / "hosts" / f"{name}.toml").write_text(form)
        (folder / "hosts" / f"{name}.csv").write_text("\n".join(lines) + "\n")
    return folder


def own_values(folder: Path, **changes: Any) -> dict[str, Any]:
    """What a small run over these hosts says."""
    own = {"dataset": "csv", "data-dir": str(folder), "schema-file": "schema.toml", "host-files": "hosts"}
    named = {name.replace("_", "-"): value for name, value in changes.items()}
    return {**TINY, "robust": "federated", "min-count": 1, **own, **named}


def own_config(folder: Path, **changes: Any) -> RunConfig:
    return RunConfig.parse(own_values(folder, **changes))
