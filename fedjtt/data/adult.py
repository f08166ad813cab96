"""Adult, or Census Income: whether a person earned more than 50,000 dollars in 1994 (Becker and Kohavi, UCI 1996).

32,561 and 16,281 rows in the two official files. The label is the income, the attribute is sex: 1,179 of the train rows
are women with a high income. As the data's own description (``adult.names``) and the literature on fairness have it
(Friedler et al., "A comparative study of fairness-enhancing interventions in machine learning", 2019): rows with an
unknown value are left out, which leaves 30,162 and 15,060; the census weight ``fnlwgt`` is no input; categories are
one-hot and numbers standardised by the train rows. The official test file is the test part; a fifth of the other one,
drawn by seed within every group, is validation. Sex is an input, as in the data.

Both forms of the files are read: UCI's own, without a header, and copies with one.
"""

import tomllib
from functools import lru_cache

from fedjtt.data.csv_file import read_csv
from fedjtt.data.grouped import Splits
from fedjtt.data.host_format import HostFormat
from fedjtt.data.host_schema import Schema, parse_schema
from fedjtt.data.host_table import HostTable, read_table
from fedjtt.data.options import DataOptions
from fedjtt.data.published_table import find_file, hold_out, splits_of_tables

TRAIN_FILE, TEST_FILE = "adult.data", "adult.test"
VALIDATION_SHARE = 0.2

COLUMNS = (
    "age", "workclass", "fnlwgt", "education", "education-num", "marital-status", "occupation", "relationship", "race",
    "sex", "capital-gain", "capital-loss", "hours-per-week", "native-country", "income",
)  # fmt: skip

# TOML in a Python file, because Flower's app bundle carries Python files only.
SCHEMA_TOML = """\
label = "income"
labels = ["<=50K", ">50K"]
attribute = "sex"
attributes = ["Female", "Male"]
attribute-names = ["women", "men"]
split-shares = [1.0, 0.0, 0.0]
# The columns in which values are unknown: a row without one is left out.
keep = ["workclass != ?", "occupation != ?", "native-country != ?"]
numeric = ["age", "education-num", "capital-gain", "capital-loss", "hours-per-week"]
missing = ["", "?"]

[categorical]
workclass = [
    "Private", "Self-emp-not-inc", "Self-emp-inc", "Federal-gov", "Local-gov", "State-gov", "Without-pay",
    "Never-worked",
]
education = [
    "Preschool", "1st-4th", "5th-6th", "7th-8th", "9th", "10th", "11th", "12th", "HS-grad", "Some-college",
    "Assoc-voc", "Assoc-acdm", "Bachelors", "Masters", "Prof-school", "Doctorate",
]
marital-status = [
    "Married-civ-spouse", "Divorced", "Never-married", "Separated", "Widowed", "Married-spouse-absent",
    "Married-AF-spouse",
]
occupation = [
    "Tech-support", "Craft-repair", "Other-service", "Sales", "Exec-managerial", "Prof-specialty",
    "Handlers-cleaners", "Machine-op-inspct", "Adm-clerical", "Farming-fishing", "Transport-moving",
    "Priv-house-serv", "Protective-serv", "Armed-Forces",
]
relationship = ["Wife", "Own-child", "Husband", "Not-in-family", "Other-relative", "Unmarried"]
race = ["White", "Asian-Pac-Islander", "Amer-Indian-Eskimo", "Other", "Black"]
sex = ["Female", "Male"]
native-country = [
    "United-States", "Cambodia", "England", "Puerto-Rico", "Canada", "Germany", "Outlying-US(Guam-USVI-etc)", "India",
    "Japan", "Greece", "South", "China", "Cuba", "Iran", "Honduras", "Philippines", "Italy", "Poland", "Jamaica",
    "Vietnam", "Mexico", "Portugal", "Ireland", "France", "Dominican-Republic", "Laos", "Ecuador", "Taiwan", "Haiti",
    "Columbia", "Hungary", "Guatemala", "Nicaragua", "Scotland", "Thailand", "Yugoslavia", "El-Salvador",
    "Trinadad&Tobago", "Peru", "Hong", "Holand-Netherlands",
]
"""

# The test file's labels end in a full stop.
FORMAT = HostFormat(values={"income": {"<=50K.": "<=50K", ">50K.": ">50K"}})


@lru_cache
def adult_schema() -> Schema:
    """Return what the files mean."""
    return parse_schema(tomllib.loads(SCHEMA_TOML), "adult's schema")


def load_adult(options: DataOptions) -> Splits:
    """Return the three parts; an id is a row's place in its file."""
    table = hold_out(_read(options, TRAIN_FILE), options, VALIDATION_SHARE)
    return splits_of_tables(table, _read(options, TEST_FILE), options)


def _read(options: DataOptions, name: str) -> HostTable:
    # A line that begins with a bar is a comment in UCI's form: the test file's first.
    return read_table(read_csv(find_file(options, name), names=COLUMNS, comment="|"), adult_schema(), FORMAT)
