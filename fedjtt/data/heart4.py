"""Heart disease in four hospitals: Cleveland, Hungary, Switzerland and Long Beach (UCI, Janosi et al. 1988).

303, 294, 123 and 200 patients, 13 columns; the label is any disease (target 1 to 4), the attribute is sex. Switzerland
has no healthy women. The files are not part of the installation.
"""

import tomllib
from functools import lru_cache
from pathlib import Path

from fedjtt.data.host_format import HostFormat
from fedjtt.data.host_schema import Schema, parse_schema
from fedjtt.data.host_table import HostTable, read_table
from fedjtt.errors import ConfigError, nearest

# TOML in a Python file, because Flower's app bundle carries Python files only.
SCHEMA_TOML = """\
label = "target"
label-rule = "target > 0"
label-names = ["healthy", "disease"]
attribute = "sex"
attributes = ["0", "1"]
attribute-names = ["women", "men"]
split-shares = [0.6, 0.2, 0.2]
numeric = ["age", "trestbps", "chol", "thalach", "oldpeak"]
missing = ["", "?", "NA", "nan"]

[categorical]
sex = ["0", "1"]
cp = ["1", "2", "3", "4"]
fbs = ["0", "1"]
restecg = ["0", "1", "2"]
exang = ["0", "1"]
slope = ["1", "2", "3"]
# A number of vessels. As categories it takes no sums, and three of the hospitals measured it 2, 3 and 5 times.
ca = ["0", "1", "2", "3"]
thal = ["3", "6", "7"]

# A cholesterol or a blood pressure of 0 was not measured: all 123 of Switzerland, 49 and 1 of Long Beach. A thal of 0
# is what this copy of Cleveland's file has for UCI's two question marks.
[missing-in]
chol = ["0"]
trestbps = ["0"]
thal = ["0"]
"""

# fmt: off
HEADER = (
    "age", "sex", "cp", "trestbps", "chol", "fbs", "restecg", "thalach", "exang", "oldpeak", "slope", "ca", "thal",
    "target",
)
# fmt: on

HOSTS: dict[str, HostFormat] = {
    "cleveland": HostFormat(columns={name: f"X{number}" for number, name in enumerate(HEADER, 1)}),
    "hungarian": HostFormat(),
    "switzerland": HostFormat(),
    "va": HostFormat(),
}
"""The hospitals in their order as machines, and how their files say it."""


@lru_cache
def heart4_schema() -> Schema:
    """Return what the four files mean."""
    return parse_schema(tomllib.loads(SCHEMA_TOML), "heart4's schema")


def heart4_file(data_dir: Path, host: str) -> Path:
    """Return where a hospital's file is in a folder of datasets."""
    if host not in HOSTS:
        raise ConfigError(f"heart4 has no host {host!r}{nearest(host, HOSTS)}; its hosts are {', '.join(HOSTS)}")
    return data_dir / "heart4" / f"processed.{host}.data"


def load_heart4_host(data_dir: Path, host: str, seed: int = 0) -> HostTable:
    """Read one hospital's rows; they are split by `seed` and the hospital's number."""
    path = heart4_file(data_dir, host)
    return read_table(path, heart4_schema(), HOSTS[host], seed, list(HOSTS).index(host))
