"""What all hosts agree on about their columns.

The schema lists every value that a label, an attribute or a category can take: the codes are the same everywhere, and
no host learns from another's data which values occur there.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from fedjtt.data.cells import Rule, Value, parse_rule, value_of
from fedjtt.data.toml_table import TomlTable, about, read_toml
from fedjtt.errors import ConfigError, nearest

SPLITS = ("train", "validation", "test")
MISSING = ("", "?", "NA", "nan")
NO_ATTRIBUTE = "unknown"
"""What the one attribute of a dataset without attributes is called."""


@dataclass(frozen=True)
class Coded:
    """A column whose values become whole numbers from 0.

    Attributes
    ----------
    column : str
        The schema's name of it.
    values : tuple of str
        The values in the order of their codes. With a rule: what holds in the two cases.
    names : tuple of str
        What people call them.
    rule : Rule or None
        Code 1 where it holds and 0 where not, instead of a list of values.
    """

    column: str
    values: tuple[str, ...]
    names: tuple[str, ...]
    rule: Rule | None = None

    @cached_property
    def _codes(self) -> dict[Value, int]:
        return {value_of(value): code for code, value in enumerate(self.values)}

    def code(self, value: Value) -> int | None:
        """Return a value's code, or None where the value is not allowed."""
        if self.rule is None:
            return self._codes.get(value)
        return None if self.rule.needs_number and isinstance(value, str) else int(self.rule.holds(value))

    @property
    def allowed(self) -> str:
        """What a cell may say, for errors."""
        numbers = self.rule is not None and self.rule.needs_number
        return f"numbers (for {self.rule})" if numbers else ", ".join(self.values)


@dataclass(frozen=True)
class Schema:
    """What the columns mean, the same on all hosts; names are the schema's own.

    Attributes
    ----------
    label : Coded
        What is to be predicted.
    attribute : Coded or None
        What, with the label, makes the groups; None where nobody knows it.
    numeric : tuple of str
        Columns of numbers.
    categorical : tuple of Coded
        Columns of categories.
    split : Coded or None
        The column that says where a row belongs, its three values in the order of :data:`SPLITS`.
    split_shares : tuple of float or None
        Without such a column: the shares of the three splits, drawn by a hash of the seed and the row.
    id : str or None
        A column that must not say the same twice. It is checked and not used: an example is called by its row.
    keep : tuple of Rule
        Rows for which not all of them hold are left out.
    missing : tuple of str
        What a cell says where a value is missing; upper and lower case are the same.
    missing_in : tuple of (str, tuple of str)
        The same for single columns, such as 0 for a cholesterol that was not measured.
    """

    label: Coded
    attribute: Coded | None
    numeric: tuple[str, ...]
    categorical: tuple[Coded, ...]
    split: Coded | None
    split_shares: tuple[float, ...] | None
    id: str | None = None
    keep: tuple[Rule, ...] = ()
    missing: tuple[str, ...] = MISSING
    missing_in: tuple[tuple[str, tuple[str, ...]], ...] = ()

    def __post_init__(self) -> None:
        """Refuse columns that stand in two places, and shares that are none."""
        features = [*self.numeric, *(coded.column for coded in self.categorical)]
        if not features:
            raise ConfigError("the schema has no columns to learn from; list some in numeric or under [categorical]")
        twice = sorted({name for name in features if features.count(name) > 1})
        if twice:
            raise ConfigError(
                f"the schema lists column {twice[0]!r} twice as an input; numeric or [categorical], not both"
            )
        for key, name in (("label", self.label.column), ("split", self.split and self.split.column), ("id", self.id)):
            if name in features:
                raise ConfigError(f"column {name!r} is the {key} and an input at once; a model must not see its {key}")
        if self.attribute and self.attribute.column == self.label.column:
            raise ConfigError(f"column {self.label.column!r} is label and attribute at once; name another attribute")
        check_split(self.split, self.split_shares)
        unknown = [name for name, _ in self.missing_in if name not in self.columns]
        if unknown:
            raise ConfigError(f"missing-in names {unknown[0]!r}, which is no column{nearest(unknown[0], self.columns)}")
        for coded in self.coded:
            both = [
                value for value in coded.values if not coded.rule and self.is_missing(coded.column, value_of(value))
            ]
            if both:
                raise ConfigError(
                    f"{both[0]!r} is a value of {coded.column!r} and means missing there; drop it from one of the two"
                )

    @property
    def coded(self) -> tuple[Coded, ...]:
        """Every column whose values become codes."""
        others = (self.label, self.attribute, self.split)
        return tuple(each for each in others if each is not None) + self.categorical

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """Every column that a host's file must have, each once."""
        others = [coded.column for coded in self.coded] + [rule.column for rule in self.keep]
        return tuple(dict.fromkeys([*others, *self.numeric, *([self.id] if self.id else [])]))

    @cached_property
    def _missing_values(self) -> dict[str, set[Value]]:
        single = dict(self.missing_in)
        return {
            name: {value_of(token.casefold()) for token in (*self.missing, *single.get(name, ()))}
            for name in self.columns
        }

    def is_missing(self, column: str, value: Value) -> bool:
        """Return whether a cell of that column says that nothing is known."""
        return (value.casefold() if isinstance(value, str) else value) in self._missing_values[column]

    @property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of everything that the schema says: equal where hosts agree."""
        return hashlib.sha256(repr(self).encode()).hexdigest()


def check_split(split: Coded | None, shares: tuple[float, ...] | None) -> None:
    """Refuse anything but one way to split, with three values or three shares."""
    if (split is None) == (shares is None):
        raise ConfigError("the schema needs either split (a column) or split-shares (three shares), and not both")
    if split is not None and len(split.values) != len(SPLITS):
        raise ConfigError(f"splits has {len(split.values)} values; give three: those of {', '.join(SPLITS)}")
    if shares is not None and not (len(shares) == 3 and min(shares) >= 0 < shares[0] and abs(sum(shares) - 1) < 1e-9):
        raise ConfigError(
            f"split-shares is {list(shares)}; give three numbers with sum 1, of train (above 0), validation and test"
        )


def parse_schema(raw: Mapping[str, Any], where: str = "schema") -> Schema:
    """Read a schema from what its TOML file says; `where` names the file in errors."""
    with about(where):
        table = TomlTable(raw)
        label, attribute = _coded(table, "label"), _coded(table, "attribute")
        if label is None:
            raise ConfigError("label is missing; name the column, as in label = 'target'")
        split, splits = table.text("split"), table.texts("splits") or SPLITS
        schema = Schema(
            label=label,
            attribute=attribute,
            split=None if split is None else Coded(split, distinct("splits", splits), SPLITS),
            split_shares=table.numbers("split-shares"),
            id=table.text("id"),
            keep=tuple(parse_rule(rule, "keep") for rule in table.texts("keep") or ()),
            numeric=table.texts("numeric") or (),
            categorical=tuple(
                Coded(name, distinct(f"categorical.{name}", values), values)
                for name, values in table.table_of_lists("categorical").items()
            ),
            missing=MISSING if (tokens := table.texts("missing")) is None else tokens,
            missing_in=tuple(table.table_of_lists("missing-in").items()),
        )
        table.close()
    return schema


def read_schema(path: Path) -> Schema:
    """Read a schema from a TOML file."""
    return parse_schema(read_toml(path), str(path))


def distinct(key: str, values: tuple[str, ...]) -> tuple[str, ...]:
    """Return the values if they are at least two, all different also as numbers (1 and 1.0 are the same)."""
    if len({value_of(value) for value in values}) != len(values) or len(values) < 2:
        raise ConfigError(f"{key} is {list(values)}; list two or more different values")
    return values


def _coded(table: TomlTable, key: str) -> Coded | None:
    """Read label or attribute: a column with its values or with a rule, and names for either."""
    column, values, said = table.text(key), table.texts(f"{key}s"), table.text(f"{key}-rule")
    names = table.texts(f"{key}-names")
    if column is None:
        if values or said or names:
            raise ConfigError(f"{key}s, {key}-rule and {key}-names need {key}, the column; name it")
        return None
    if (values is None) == (said is None):
        raise ConfigError(f"{key} needs either {key}s (a list of its values) or {key}-rule, and not both")
    rule = None
    if said is not None:
        rule = parse_rule(said, f"{key}-rule")
        if rule.column != column:
            raise ConfigError(f"{key}-rule is about {rule.column!r} and {key} is {column!r}; name one column")
        values = (rule.opposite, str(rule))
    listed = distinct(f"{key}s", values or ())
    if names is not None and len(names) != len(listed):
        raise ConfigError(
            f"{key}-names has {len(names)} names for {len(listed)} values; give one for each, in their order"
        )
    return Coded(column, listed, names or listed, rule)
