"""What a cell of a host's file says, a number or a text, and rules over it such as ``target > 0``."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from operator import eq, ge, gt, le, lt, ne

from fedjtt.errors import ConfigError

Value = float | str

_NUMBER = {
    mark: re.compile(rf"[+-]?([0-9]+{re.escape(mark)}?[0-9]*|{re.escape(mark)}[0-9]+)([eE][+-]?[0-9]+)?")
    for mark in (".", ",")
}
_RULE = re.compile(r"(?P<column>\S.*?)\s*(?P<operator>>=|<=|==|!=|>|<|\sin(?=\s*\{))\s*(?P<values>.*)", re.DOTALL)
_ORDERS: dict[str, Callable[[float, float], bool]] = {">": gt, ">=": ge, "<": lt, "<=": le}
_SAMENESS: dict[str, Callable[[Value, Value], bool]] = {"==": eq, "!=": ne}
_OPPOSITE = {">": "<=", ">=": "<", "<": ">=", "<=": ">", "==": "!=", "!=": "==", "in": "not in"}


def value_of(text: str, decimal: str = ".") -> Value:
    """Return the number that a cell says, or its text without outer blanks where it says none.

    ``63.0``, ``63`` and ``+6.3e1`` are the same number, so a category or a label that one host writes as 1 and another
    as 1.0 is the same value. In a file with a decimal comma, ``1.5`` is a text: it might be meant as 15 or as 1.5.
    ``nan`` and ``inf`` are texts too.
    """
    stripped = text.strip()
    return float(stripped.replace(decimal, ".")) if _NUMBER[decimal].fullmatch(stripped) else stripped


@dataclass(frozen=True)
class Rule:
    """A comparison of one column with fixed values.

    Attributes
    ----------
    column : str
        The schema's name of the column.
    operator : str
        One of ``>``, ``>=``, ``<``, ``<=``, ``==``, ``!=`` and ``in``.
    values : tuple
        What it is compared with; only ``in`` has several.
    """

    column: str
    operator: str
    values: tuple[Value, ...]

    @property
    def needs_number(self) -> bool:
        """Whether the rule means something for numbers only."""
        return self.operator in _ORDERS

    def holds(self, value: Value) -> bool:
        """Return whether the rule holds; False for a text where a number is needed."""
        if self.operator == "in":
            return value in self.values
        if self.operator in _SAMENESS:
            return _SAMENESS[self.operator](value, self.values[0])
        bound = self.values[0]
        return isinstance(value, float) and isinstance(bound, float) and _ORDERS[self.operator](value, bound)

    def __str__(self) -> str:
        return self._said(self.operator)

    @property
    def opposite(self) -> str:
        """The rule that holds where this one does not, as text."""
        return self._said(_OPPOSITE[self.operator])

    def _said(self, operator: str) -> str:
        shown = [f"{value:g}" if isinstance(value, float) else value for value in self.values]
        values = "{" + ", ".join(shown) + "}" if self.operator == "in" else shown[0]
        return f"{self.column} {operator} {values}"


def parse_rule(text: str, key: str) -> Rule:
    """Read ``column operator value`` or ``column in {value, value}``; `key` names the setting in errors."""
    found = _RULE.fullmatch(text.strip())
    if not found:
        raise ConfigError(
            f"{key} is {text!r}; write a column, one of > >= < <= == != and a value, such as 'target > 0', "
            "or 'target in {2, 3}'"
        )
    operator, right = found["operator"].strip(), found["values"].strip()
    if operator == "in":
        if not right.endswith("}"):
            raise ConfigError(f"{key} is {text!r}; close the values of 'in' with a brace: 'target in {{2, 3}}'")
        listed = right[1:-1].split(",")
    else:
        listed = [right]
    values = tuple(value_of(each.strip().strip("'\"")) for each in listed)
    if "" in values:
        raise ConfigError(f"{key} is {text!r}; a value is missing after {operator!r}")
    if operator in _ORDERS and not isinstance(values[0], float):
        raise ConfigError(f"{key} is {text!r}; {operator} compares numbers, and {values[0]!r} is none; use == or in")
    return Rule(found["column"].strip(), operator, values)
