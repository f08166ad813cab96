"""Config keys of runs: which can have mattered to a run, which vary between runs, and what was ``auto``."""

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any

from experiments.results import CONFIG_KEYS, Row
from fedjtt.automatic import AUTO_SERVER_RATE
from fedjtt.choices import REMOVING, SIZED_BY, TORCHVISION, WITH_GROUPS
from fedjtt.config import NOT_IN_ID, RunConfig

ALWAYS_SAID = ("method", "robust", "machines")
OF_THE_METHOD = ("groups", "balance", "d3m-remove-by")
"""Keys that are part of a method's name, where the method uses them."""
_NEVER_USUAL = (*ALWAYS_SAID, *OF_THE_METHOD, "dataset", "difficulty", "identify-schedule")
_ONLY_WITH_SCORES = ("attribution", "projection", "d3m-alignment", "d3m-models")
ONLY_WITH_IDENTIFICATION = ("identify", "peer", "upsample")
# Keys that change nothing but under these values of another key.
_ONLY_UNDER: dict[str, tuple[str, Collection[str]]] = {
    "peers": ("identify", ("peers",)),
    "peer-vote": ("identify", ("peers",)),
    "identify-aggregator": ("identify", ("federated",)),
    "identify-label-correction": ("identify", ("federated",)),
    **{
        f"model-{size}": ("model", tuple(name for name, sizes in SIZED_BY.items() if size in sizes))
        for size in ("width", "depth")
    },
    "pretrained": ("model", TORCHVISION),
    "groups": ("method", WITH_GROUPS),
    "balance": ("method", ("balance",)),
    "mixture-ratio": ("balance", ("mixture",)),
    "mixture-cut": ("balance", ("mixture",)),
    "cvar-alpha": ("method", ("cvar-dro",)),
    "cvar-threshold": ("method", ("cvar-dro",)),
    "dfr-penalty": ("method", ("dfr",)),
    "dfr-fits": ("method", ("dfr",)),
    "dfr-tolerance": ("method", ("dfr",)),
    "dro-step": ("method", ("group-dro", "agnostic")),
    "dro-adjustment": ("method", ("group-dro", "agnostic")),
    "d3m-remove": ("method", REMOVING),
    "d3m-remove-by": ("method", REMOVING),
    **{key: ("method", ("rest",)) for key in CONFIG_KEYS if key.startswith("rest-")},
    "upsample-fraction": ("upsample", ("auto",)),
    "robust-schedule": ("robust", ("federated",)),
    "identify-server-learning-rate": ("identify-aggregator", AUTO_SERVER_RATE),
    "server-learning-rate": ("aggregator", AUTO_SERVER_RATE),
    "proximal-mu": ("aggregator", ("fedprox",)),
    "dirichlet-alpha": ("partition", ("label-dirichlet", "group-dirichlet")),
}
_AUTO_WITH_MACHINES = ("robust-epochs", "robust-rounds", "fraction-train")
"""Keys of which ``auto`` is another number for other machines, another method, or in the other robust mode."""
_APART_FROM_AUTO = ("robust", "machines", "robust-schedule", *_AUTO_WITH_MACHINES)


def uses(row: Row, key: str) -> bool:
    """Say whether a config key can have changed what this run found."""
    identifies = "identification.error-set-size" in row
    refers = row.get("config.selection") == "val-bias-unsupervised" and key not in ("identify", "peers", "peer-vote")
    if key.startswith("upsample") and row.get("config.method", "jtt") != "jtt":
        return False
    if key.startswith(ONLY_WITH_IDENTIFICATION) and not (identifies or refers):
        return False
    if key.startswith(_ONLY_WITH_SCORES):
        return row.get("config.method") in REMOVING and row.get("config.d3m-remove-by") == "score"
    if key.startswith("mixture") and row.get("config.method") != "balance":
        return False
    together = row.get("config.identify") == "federated" or refers
    central = row.get("config.robust") == "central"
    if key == "identify-server-learning-rate" and not together:
        return False
    if key in ("identify-rounds", "identify-averaging"):
        return together or row.get("config.identify-stop") == "stable"
    if key == "fraction-train":
        return not central or (identifies and together)
    if key in ("partition", "dirichlet-alpha") and central and not identifies:
        return False
    other, values = _ONLY_UNDER.get(key, ("", ()))
    return not other or row.get(f"config.{other}") in values or (other == "identify" and refers)


def varied_keys(rows: Sequence[Row]) -> list[str]:
    """Return the config keys, apart from the seed, that can change a result and differ between the runs they matter to.

    A key that matters to one part of the runs only has to differ between those.
    """
    keys = [key for key in CONFIG_KEYS if key != "seed" and key not in NOT_IN_ID]
    return [key for key in keys if len({repr(row.get(f"config.{key}")) for row in rows if uses(row, key)}) > 1]


def shared_config(rows: Sequence[Row]) -> dict[str, Any]:
    """Return the config keys that can change a result and that all runs they matter to have in common."""
    keys = [key for key in CONFIG_KEYS if key not in NOT_IN_ID and key not in ("seed", *varied_keys(rows))]
    users = {key: [row for row in rows if uses(row, key) and f"config.{key}" in row] for key in keys}
    return {key: users[key][0][f"config.{key}"] for key in keys if users[key]}


def usual_values(rows: Sequence[Row]) -> dict[str, Any]:
    """Return the varying keys for which more than half of the runs agree, with that value: labels leave it out."""
    usual = {}
    for key in varied_keys(rows):
        values = [row.get(f"config.{key}") for row in rows if uses(row, key)]
        value, times = Counter(values).most_common(1)[0]
        if key not in _NEVER_USUAL and 2 * times > len(values):
            usual[key] = value
    return usual


def with_auto(rows: Sequence[Row]) -> list[Row]:
    """Say ``auto`` for the values that it gives, where they differ between the machines or robust modes of a variant.

    A key that is the same for all of them, or takes the same several values for each, is left as it is.
    """
    told = [dict(row) for row in rows]
    for key in _AUTO_WITH_MACHINES:
        users = [row for row in told if uses(row, key)]
        apart = [other for other in varied_keys(users) if other not in _APART_FROM_AUTO]
        lines: dict[tuple[Any, ...], dict[tuple[Any, ...], list[Row]]] = {}
        for row in users:
            line = tuple((k, row.get(f"config.{k}")) for k in apart if uses(row, k))
            place = (row["config.robust"], row["config.machines"])
            lines.setdefault(line, {}).setdefault(place, []).append(row)
        kinds = [(list(cells.values()), _auto_kind(cells.values(), key)) for cells in lines.values()]
        said = {kind for _, kind in kinds}
        if "different" in said or (said == {"perhaps auto"} and key in varied_keys(users)):
            _say_auto([row for cells, kind in kinds if kind != "fixed" for cell in cells for row in cell], key)
    return told


def _auto_kind(cells: Collection[Sequence[Row]], key: str) -> str:
    """Say of a variant's values, by machines and robust mode, what they show: ``auto`` is one of the ``different``."""
    values = [({row.get(f"config.{key}") for row in cell}, auto_value(cell[0], key)) for cell in cells]
    if any(found != values[0][0] for found, _ in values):
        return "different" if all(auto in found for found, auto in values) else "mixed"
    return "perhaps auto" if all(found == {auto} for found, auto in values) else "fixed"


def _say_auto(rows: Sequence[Row], key: str) -> None:
    for row in rows:
        if row.get(f"config.{key}") == auto_value(row, key):
            row[f"config.{key}"] = "auto"


def auto_value(row: Row, key: str) -> Any:
    """Return what ``auto`` gives for a key in a run's place."""
    place = {name: row[f"config.{name}"] for name in ("dataset", "machines", "method", "robust", "aggregator")}
    return RunConfig.parse({**place, "averaging": "none"}).flat()[key]
