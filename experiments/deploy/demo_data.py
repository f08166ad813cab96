"""Rows for a demonstration of a deployment: those of four hospitals, or a study that scikit-learn ships, cut into four.

The stand-in is scikit-learn's diabetes study (442 patients, Efron et al. 2004): of the tables that it ships the only
one about people, with a sex and an outcome as the hospitals' files have. The label is whether the disease went on
faster than for half of them; the last of the four has no woman of slow progress, as one hospital has no healthy woman.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fedjtt.config import RunConfig
from fedjtt.data.heart4 import HOSTS, heart4_file, heart4_schema
from fedjtt.data.host_schema import parse_schema
from fedjtt.data.toml_table import read_toml
from fedjtt.hosts import data_folder
from fedjtt.seeding import numpy_generator

NUMERIC = ("age", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6")
SEXES = {1: "women", 2: "men"}
STAND_IN_HOSTS = ("north", "east", "south", "west")
_SCHEMA = f"""\
label = "progression"
labels = ["slow", "fast"]
attribute = "sex"
attributes = ["women", "men"]
split-shares = [0.6, 0.2, 0.2]
numeric = [{", ".join(f'"{name}"' for name in NUMERIC)}]

[categorical]
sex = ["women", "men"]
"""


@dataclass(frozen=True)
class DemoData:
    """What a demonstration runs over.

    Attributes
    ----------
    about : str
        A sentence on the rows.
    hosts, labels, attributes : tuple of str
        Names of machines and groups, in the order of their numbers.
    keys : dict
        Of the run configuration.
    """

    about: str
    hosts: tuple[str, ...]
    labels: tuple[str, ...]
    attributes: tuple[str, ...]
    keys: dict[str, str]


def demo_data(folder: Path) -> DemoData:
    """Return the hospitals' data where it is in data-dir, and the stand-in, written into a folder, elsewhere."""
    place = data_folder(RunConfig.parse({}))
    if all(heart4_file(place, host).is_file() for host in HOSTS):
        schema = heart4_schema()
        about = "Heart disease in four hospitals (UCI, Janosi et al. 1988)"
        label, attribute = schema.label, schema.attribute
        keys = {"dataset": "heart4", "data-dir": str(place.absolute())}
        return DemoData(about, tuple(HOSTS), label.names, attribute.names if attribute else (), keys)
    write_stand_in(folder)
    schema = parse_schema(read_toml(folder / "schema.toml"))
    files = ",".join(f"{name}.csv" for name in STAND_IN_HOSTS)
    keys = {"dataset": "csv", "data-dir": str(folder.absolute()), "schema-file": "schema.toml", "host-files": files}
    about = (
        "Diabetes patients that scikit-learn ships (Efron et al. 2004), cut into four: heart4 is not in data-dir or "
        "FEDJTT_DATA"
    )
    return DemoData(about, STAND_IN_HOSTS, schema.label.names, tuple(SEXES.values()), keys)


def write_stand_in(folder: Path) -> None:
    """Write a schema and four hosts' CSV files."""
    from sklearn.datasets import load_diabetes  # slow to import

    patients = load_diabetes(as_frame=True, scaled=False).frame
    sex = patients["sex"].map(SEXES)
    progression = np.where(patients["target"] > patients["target"].median(), "fast", "slow")
    rows = patients[list(NUMERIC)].assign(sex=sex, progression=progression)
    last = len(STAND_IN_HOSTS) - 1
    host = numpy_generator(0, "demo-hosts").integers(0, last + 1, len(rows))
    absent = (host == last) & (rows["sex"] == "women") & (rows["progression"] == "slow")
    host = np.where(absent, np.arange(len(rows)) % last, host)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "schema.toml").write_text(_SCHEMA)
    for number, name in enumerate(STAND_IN_HOSTS):
        rows[host == number].to_csv(folder / f"{name}.csv", index=False)
