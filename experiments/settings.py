"""Runs by setting: which runs differ in the seed only, what a setting is called, which settings go together."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from experiments.config_keys import (
    ALWAYS_SAID,
    OF_THE_METHOD,
    ONLY_WITH_IDENTIFICATION,
    auto_value,
    uses,
    usual_values,
    varied_keys,
    with_auto,
)
from experiments.results import GROUP_NAMES, Row, flatten, method_name, read_names, read_runs
from fedjtt.methods.identify_local import IDENTIFY_KEYS

# What cannot matter on one machine: it holds all the data, takes all the steps, has no peers, and its update is the
# whole update.
_ALIKE_ON_ONE_MACHINE = (
    "robust", "identify-schedule", "robust-schedule", "partition", "dirichlet-alpha", "peers", "peer-vote",
    "fraction-train",
)  # fmt: skip

HYPER_PARAMETERS = (
    "optimizer", "learning-rate", "learning-rate-schedule", "weight-decay", "momentum", "batch-size",
    "clip-norm", "mixture-ratio", "mixture-cut",
    "cvar-alpha", "cvar-threshold", "dro-step", "dro-adjustment", "dfr-penalty", "dfr-fits", "dfr-tolerance",
    "upsample", "upsample-fraction", "rest-density", "rest-period", "rest-rate", "rest-exact-every", "rest-weight",
)  # fmt: skip
"""Keys that say how a method was set, and not which it is."""


@dataclass(frozen=True)
class Setting:
    """The config of runs that differ in the seed only: method, robust, machines and the keys that vary.

    Attributes
    ----------
    items : tuple of (str, Any)
        Config key and value, in the order of the schema; keys that cannot have mattered to these runs are not there.
    usual : frozenset of (str, Any)
        Keys with the value that most runs have: a label does not say them.
    names : tuple of (str, frozenset)
        What the tables of the sweep's file call it, each with the items that a label then need not say.
    """

    items: tuple[tuple[str, Any], ...]
    usual: frozenset[tuple[str, Any]] = field(default=frozenset(), compare=False)
    names: tuple[tuple[str, frozenset[tuple[str, Any]]], ...] = field(default=(), compare=False)

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value of a config key."""
        return dict(self.items).get(key, default)

    def without(self, *keys: str) -> "Setting":
        """Return what is left when some keys are not looked at."""
        return replace(self, items=tuple(item for item in self.items if item[0] not in keys))

    def only(self, *keys: str) -> "Setting":
        """Return what some keys say, without the setting's names."""
        return replace(self, items=tuple(item for item in self.items if item[0] in keys), names=())

    def but(self, **changes: Any) -> "Setting":
        """Return the setting with other values for keys of one word."""
        return replace(self, items=tuple((key, changes.get(key, value)) for key, value in self.items))

    def agrees(self, other: "Setting", *ignored: str) -> bool:
        """Say whether no key that both have, apart from the ignored ones, has another value."""
        theirs = dict(other.items)
        return all(key in ignored or theirs.get(key, value) == value for key, value in self.items)

    @property
    def label(self) -> str:
        """How tables and legends call it, such as ``JTT, central, 10 machines``."""
        called = [(name, items) for name, items in self.names if items & set(self.items)]
        covered = self.usual.union(*(items for _, items in called))
        items, whole = dict(self.items), {"method", *OF_THE_METHOD}  # which are one name where the method is said
        named = [method_name(items)] if "method" in items else []
        rest = [item for item in self.items if item not in covered and not (named and item[0] in whole)]
        return ", ".join([*named, *(said(*item) for item in rest), *(name for name, _ in called)])


Groups = dict[Setting, list[Row]]
Variants = dict[Setting, dict[int, list[Row]]]
"""Settings without the machines, each with its runs by number of machines: the lines of a figure."""


def said(key: str, value: Any) -> str:
    """Return how a label says a key's value."""
    value = f"{value:g}" if isinstance(value, float) else value
    if key == "groups":
        return GROUP_NAMES.get(str(value), str(value))
    if key == "machines":
        return "1 machine" if value == 1 else f"{value} machines"
    if key == "mixture-cut":
        return "cut first" if value else "not cut"
    if value is None:  # runs of an earlier version, which did not know the key
        return f"{key} not known"
    plain = ("robust", "dataset", "identify-schedule", "difficulty", "balance")
    return str(value) if key in plain else f"{key} {value}"


def by_setting(rows: Sequence[Row], names: Mapping[str, Mapping[str, Any]] | None = None) -> Groups:
    """Group rows that differ in the seed only; `names` as :func:`experiments.results.read_names` returns them.

    A key is no part of a setting that it cannot have mattered to; see :func:`uses`. Values that ``auto`` made different
    for other machines are ``auto`` again, in the rows too.
    """
    rows = with_auto(rows)
    keys = [*OF_THE_METHOD, *(key for key in varied_keys(rows) if key not in (*ALWAYS_SAID, *OF_THE_METHOD))]
    usual = frozenset(usual_values(rows).items())
    groups: Groups = {}
    for row in rows:
        own = [key for key in keys if uses(row, key)]
        items = tuple((key, row.get(f"config.{key}")) for key in (*ALWAYS_SAID, *own))
        groups.setdefault(Setting(items, usual), []).append(row)
    named = _named(groups, names or {})
    order = list(groups)
    return {replace(s, names=named[s]): groups[s] for s in sorted(groups, key=lambda setting: _rank(setting, order))}


def read_settings(folder: Path) -> Groups:
    """Return a sweep's finished runs by setting, with the names that its file gives."""
    return by_setting([flatten(run) for run in read_runs(folder)], read_names(folder))


def on_most_machines(groups: Groups) -> Groups:
    """Return of every variant in either robust mode the runs on its largest number of machines."""
    most: dict[Setting, Setting] = {}
    for setting in groups:
        line = setting.without("machines")
        if line not in most or most[line].get("machines") < setting.get("machines"):
            most[line] = setting
    return {setting: groups[setting] for setting in most.values()}


def _named(groups: Groups, names: Mapping[str, Mapping[str, Any]]) -> dict[Setting, Any]:
    """Return the names of every setting, each with the items that are the same in all settings of that name.

    A table names the settings that have its values, as far as these matter to them. Where another table says the same
    and more that matters, that one names them; where it says more that does not matter, or comes later, it does not.
    A table that sets nothing names what is left, if that is one variant.
    """
    chosen: dict[Setting, list[str]] = {}
    for setting, rows in groups.items():
        fitting = {name: items for name, values in names.items() if (items := _meant(rows, values))}
        best = {name: items for name, items in fitting.items() if not any(items < more for more in fitting.values())}
        plainest = sorted(best, key=lambda name: len(names[name]))  # the first of equals
        chosen[setting] = [name for i, name in enumerate(plainest) if best[name] not in map(best.get, plainest[:i])]
    rest = [s for s, own in chosen.items() if not own and uses(groups[s][0], "identify")]
    if all(setting.agrees(rest[0], "robust", "machines") for setting in rest):
        chosen |= {setting: [name for name, values in names.items() if not values][:1] for setting in rest}
    members = {name: [s for s, own in chosen.items() if name in own] for name in names}
    return {
        s: tuple((name, common) for name in own if (common := _common_items(s, members[name])))
        for s, own in chosen.items()
    }


def _meant(rows: Sequence[Row], values: Mapping[str, Any]) -> frozenset[tuple[str, Any]]:
    """Return those of a table's values that matter to the runs of a setting; none where one of them is another."""
    if not uses(rows[0], "identify") and any(key.startswith(ONLY_WITH_IDENTIFICATION) for key in values):
        return frozenset()
    mattering = [(key, value) for key, value in values.items() if uses(rows[0], key)]
    return frozenset(mattering) if all(_is(row, *item) for row in rows for item in mattering) else frozenset()


def _is(row: Row, key: str, value: Any) -> bool:
    held = row.get(f"config.{key}")
    return bool(held == value or (value == "auto" and held == auto_value(row, key)))


def _common_items(setting: Setting, others: Sequence[Setting]) -> frozenset[tuple[str, Any]]:
    said = (*ALWAYS_SAID, "dataset", "difficulty")
    return frozenset(
        (key, value)
        for key, value in setting.items
        if key not in said and all(other.get(key, value) == value for other in others)
    )


def _rank(setting: Setting, order: Sequence[Setting]) -> tuple[int, int]:
    """Keep the order of the rows, but all machine counts of a variant together, ascending."""
    variants = [other.without("machines") for other in order]
    return variants.index(setting.without("machines")), setting.get("machines")


def variants(groups: Groups, method: str = "jtt") -> Variants:
    """Return a method's variants; those of one number of machines only, which are no lines, come last."""
    return _lines({s: rows for s, rows in groups.items() if s.get("method") == method}, lambda s: s.without("machines"))


def identifications(groups: Groups) -> Variants:
    """Return JTT's variants as far as identification differs: what comes after it cannot change the error set."""
    jtt = {s: rows for s, rows in groups.items() if s.get("method") == "jtt"}
    found = {s: s.without("machines", *_later_keys(s, rows[0])) for s, rows in jtt.items()}
    members: dict[Setting, list[Setting]] = {}
    for setting, line in found.items():
        members.setdefault(line, []).append(setting)
    named = {  # with the names that all of them have
        line: replace(line, names=tuple(n for n in line.names if all(n[0] in dict(s.names) for s in own)))
        for line, own in members.items()
    }
    return _lines(jtt, lambda s: named[found[s]])


def _later_keys(setting: Setting, row: Row) -> list[str]:
    """Return the keys that mattered to these runs, but not to their identification."""
    central = {**row, "config.robust": "central"}  # whose robust stage asks nothing of the machines
    return [key for key, _ in setting.items if key not in IDENTIFY_KEYS or not uses(central, key)]


def _lines(groups: Groups, line_of: Callable[[Setting], Setting]) -> Variants:
    found: Variants = {}
    for setting, rows in groups.items():
        found.setdefault(line_of(setting), {}).setdefault(setting.get("machines"), []).extend(rows)
    return dict(sorted(found.items(), key=lambda item: len(item[1]) < 2))


def on_one_machine(setting: Setting, groups: Groups) -> Setting | None:
    """Return the same variant on one machine, or a setting that is the same computation there; None if neither ran."""
    wanted = setting.but(machines=1)
    alone = wanted.but(identify="local") if setting.get("identify") == "peers" else wanted  # no peers, no vote
    found = [wanted] if wanted in groups else []
    found += [s for each in (wanted, alone) for s in groups if s.agrees(each, *_ALIKE_ON_ONE_MACHINE)]
    return next(iter(found), None)


def on_the_server(setting: Setting, groups: Groups) -> Setting | None:
    """Return the same variant with central robust training, or None if it did not run."""
    return next((s for s in groups if s.agrees(setting.but(robust="central"))), None)


def robust_modes(setting: Setting, candidates: Iterable[Setting]) -> list[Setting]:
    """Return a setting and, of the candidates, its like on as many machines in the other robust mode."""
    found = {setting.get("robust"): setting}
    for other in candidates:
        if other.agrees(setting, "robust"):
            found.setdefault(other.get("robust"), other)
    return [found[mode] for mode in sorted(found)]
