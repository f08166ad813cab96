"""COMPAS: whether a defendant in Broward County was charged with another crime within two years (ProPublica 2016).

7,214 rows of ``compas-scores-two-years.csv`` (Angwin et al., "Machine Bias"), of which ProPublica's analysis keeps
6,172: those screened within 30 days of the arrest, with a recidivism record and a score, and not charged with an
ordinary traffic offence. The label is recidivism within two years; the attribute is race as African-American, Caucasian
and other, where other are Hispanic, Asian, Native American and Other. Inputs are those that the literature on fairness
agrees on (Friedler et al., "A comparative study of fairness-enhancing interventions in machine learning", 2019): age,
the counts of prior and juvenile charges, the degree of the charge, sex and race. The scores, which another model made
of the same person, the text of the charge, and everything that was written down after the screening are none.

The parts are 60, 20 and 20 %, drawn by seed within every group.
"""

import tomllib
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

from fedjtt.data.csv_file import read_csv
from fedjtt.data.grouped import Splits
from fedjtt.data.host_format import HostFormat
from fedjtt.data.host_schema import Schema, parse_schema
from fedjtt.data.host_table import read_table
from fedjtt.data.options import DataOptions
from fedjtt.data.published_table import find_file, hold_out, splits_of_tables

FILE = "compas-scores-two-years.csv"
VALIDATION_SHARE = TEST_SHARE = 0.2

SCHEMA_TOML = """\
label = "two_year_recid"
labels = ["0", "1"]
label-names = ["no recidivism", "recidivism"]
attribute = "race"
attributes = ["African-American", "Caucasian", "Other"]
attribute-names = ["African-American", "Caucasian", "other"]
split-shares = [1.0, 0.0, 0.0]
id = "id"
keep = [
    "days_b_screening_arrest <= 30", "days_b_screening_arrest >= -30", "is_recid != -1", "c_charge_degree != O",
    "score_text != N/A",
]
numeric = ["age", "priors_count", "juv_fel_count", "juv_misd_count", "juv_other_count"]

[categorical]
sex = ["Female", "Male"]
race = ["African-American", "Caucasian", "Other"]
c_charge_degree = ["M", "F"]
"""

FORMAT = HostFormat(values={"race": {"Hispanic": "Other", "Asian": "Other", "Native American": "Other"}})


@lru_cache
def compas_schema() -> Schema:
    """Return what the file means."""
    return parse_schema(tomllib.loads(SCHEMA_TOML), "compas's schema")


def load_compas(options: DataOptions) -> Splits:
    """Return the three parts; an id is a row's place in the file."""
    read = read_csv(find_file(options, FILE))
    read = replace(read, header=numbered(read.header))
    table = read_table(read, compas_schema(), FORMAT)
    return splits_of_tables(hold_out(table, options, VALIDATION_SHARE, TEST_SHARE), None, options)


def numbered(header: Sequence[str]) -> tuple[str, ...]:
    """Return a header in which no name stands twice: the second ``priors_count`` is ``priors_count.1``."""
    before: Counter[str] = Counter()
    names = []
    for name in header:
        names.append(f"{name}.{before[name]}" if before[name] else name)
        before[name] += 1
    return tuple(names)
