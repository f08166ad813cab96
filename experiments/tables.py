"""The tables of a report: a summary by setting and paired differences."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from experiments.config_keys import usual_values
from experiments.measures import bytes_of, human_bytes
from experiments.results import Row
from experiments.settings import HYPER_PARAMETERS, Groups, Setting, on_one_machine, on_the_server
from experiments.statistics import Difference, Estimate, by_seed, estimate, paired_difference, speed_up
from experiments.table import Table, percent, points

WGA = "test.worst-group-accuracy"
ORIGINAL = {
    "identify": "local",
    "identify-batch-size": 64,
    "identify-learning-rate": 0.01,
    "identify-epochs": 2,
    "identify-objective": "cross-entropy",
    "identify-split": "misclassified",
    "identify-stop": "last",
    "identify-min-steps": 0,
    "identify-optimizer": "sgd",
}
"""How the original experiment identified (runs of earlier versions lack some keys); a speed-up's second reference."""

_SELECTIONS = {
    "last": "the last round's model",
    "val-worst-group": "the round with the best worst-group accuracy on validation",
    "val-worst-class": "the round with the best worst-class accuracy on validation (no group labels)",
    "val-average": "the round with the best average accuracy on validation (no group labels)",
    "val-bias-unsupervised": "the round with the best accuracy on validation of the worst group of label and a short "
    "ERM run's prediction (no group labels)",
}


def provenance(rows: Sequence[Row], split: str = "test") -> str:
    """Say where a figure of quality comes from: split, seeds, interval, and what the model was selected on."""
    seeds = sorted({row["config.seed"] for row in rows})
    named = ("seeds " if len(seeds) > 1 else "seed ") + ", ".join(map(str, seeds))
    spread = "mean ± half of the 95 % Student-t interval over seeds" if len(seeds) > 1 else "one seed, so no interval"
    return f"{split.capitalize()} split, {named}; {spread}. {selected(str(row['config.selection']) for row in rows)}"


def selected(selections: Iterable[str]) -> str:
    """Say which round's model runs kept, by their selections."""
    chosen = (f"{_SELECTIONS.get(name, 'the model')} (selection {name})" for name in sorted(set(selections)))
    return f"Selected: {'; '.join(chosen)}."


def _plain(value: Estimate | None, unit: str = "") -> str:
    if value is None:
        return "–"
    digits = 1 if value.mean >= 10 else 2
    return f"{value.mean:.{digits}f}{unit}"


def _factor(rows: Sequence[Row]) -> str:
    values = sorted(by_seed(rows, "identification.upsample-factor").values())
    if not values:
        return "–"
    return f"{values[0]:g}" if values[0] == values[-1] else f"{values[0]:g}–{values[-1]:g}"


def original_setting(groups: Groups) -> Setting | None:
    """Return the original's setting on one machine (central where both ran), or None if it was not run."""
    found = [
        setting
        for setting, rows in groups.items()
        if setting.get("machines") == 1
        and "identification.error-set-size" in rows[0]
        and all(rows[0].get(f"config.{key}", value) == value for key, value in ORIGINAL.items())
    ]
    return min(found, key=lambda setting: setting.get("robust"), default=None)


def speed_ups(groups: Groups, original: Setting | None) -> dict[Setting, tuple[Estimate | None, Estimate | None]]:
    """Return every setting's speed-up over its own variant on one machine, and over the original's setting there."""
    result = {}
    for setting, rows in groups.items():
        same = on_one_machine(setting, groups)
        identifies = "identification.error-set-size" in rows[0]
        result[setting] = (
            None if same is None else speed_up(rows, groups[same]),
            speed_up(rows, groups[original]) if original is not None and identifies else None,
        )
    return result


def summary(groups: Groups) -> Table:
    """Return one row a setting: quality on test, what identification found, CPU seconds and speed-up."""
    speed = speed_ups(groups, original_setting(groups))
    columns = {
        "setting": [setting.label for setting in groups],
        "seeds": [str(len({row["config.seed"] for row in rows})) for rows in groups.values()],
        "WGA, %": [percent(estimate(rows, WGA)) for rows in groups.values()],
        "average, %": [percent(estimate(rows, "test.average-accuracy")) for rows in groups.values()],
        "adj. average, %": [percent(estimate(rows, "test.adjusted-average-accuracy")) for rows in groups.values()],
        "precision, %": [percent(estimate(rows, "identification.precision")) for rows in groups.values()],
        "recall, %": [percent(estimate(rows, "identification.recall")) for rows in groups.values()],
        "factor": [_factor(rows) for rows in groups.values()],
        "identify, s": [
            _plain(
                estimate([row for row in rows if "identification.error-set-size" in row], "seconds.identify.slowest")
            )
            for rows in groups.values()
        ],
        "robust, s": [_plain(estimate(rows, "seconds.robust")) for rows in groups.values()],
        "bytes": ["–" if (value := bytes_of(rows)) is None else human_bytes(value.mean) for rows in groups.values()],
        "speed-up": [_plain(speed[setting][0], "×") for setting in groups],
        "vs original": [_plain(speed[setting][1], "×") for setting in groups],
    }
    kept = {name: cells for name, cells in columns.items() if any(cell != "–" for cell in cells)}
    rows = [row for group in groups.values() for row in group]
    return Table(
        "Results by setting", _summary_caption(rows, kept), tuple(kept), tuple(zip(*kept.values(), strict=True))
    )


def _summary_caption(rows: Sequence[Row], columns: dict[str, list[str]]) -> str:
    meanings = {
        "WGA, %": "WGA: worst-group accuracy; adj. average: group accuracies weighted by the groups' share of train.",
        "precision, %": "Precision and recall: of the error set, against the true minority of train.",
        "factor": "Factor: times that an error example stands in the robust stage's data.",
        "robust, s": "Seconds: CPU seconds on one thread, identify of the slowest machine, robust along the slowest.",
        "bytes": "Bytes: what server and machines sent each other in all; training on the server sends nothing.",
        "speed-up": "Speed-up: CPU seconds (identify + robust) of the same variant on one machine / of this setting.",
        "vs original": "Vs original: the same, over the original's identification (batch 64, lr .01, 2 epochs) "
        "on one machine.",
    }
    usual = ", ".join(f"{key} {value}" for key, value in usual_values(rows).items())
    unsaid = [f"Where not said: {usual}."] if usual else []
    return " ".join([provenance(rows), *unsaid, *(text for name, text in meanings.items() if name in columns)])


def comparisons(groups: Groups, asked: Mapping[str, Sequence[tuple[Setting, Setting]]] | None = None) -> list[Table]:
    """Return the paired differences in WGA: a table for every question (`asked`, or all) that has an answer."""
    every = [row for group in groups.values() for row in group]
    caption = (
        "Worst-group accuracy of the first setting minus that of the second, in percentage points: mean of the "
        "differences seed by seed (listed) with its Student-t interval; not distinguishable: the interval covers 0. "
        f"{provenance(every)}"
    )
    columns = ("first − second", "difference", "interval", "verdict", "seed by seed")
    asked = questions(groups) if asked is None else asked
    tables = [Table(title, caption, columns, _differences(pairs, groups)) for title, pairs in asked.items()]
    return [table for table in tables if table.rows]


def _differences(pairs: Sequence[tuple[Setting, Setting]], groups: Groups) -> tuple[tuple[str, ...], ...]:
    return tuple(
        (contrast(first, second), points(difference.estimate.mean), _interval(difference), difference.verdict,
         _arithmetic(difference))
        for first, second in pairs
        if (difference := wga_difference(first, second, groups)) is not None
    )  # fmt: skip


def contrast(first: Setting, second: Setting) -> str:
    """Say what two settings have in common, once, and what is compared."""
    same = [key for key, value in first.items if (key, value) in second.items]
    names = [name for name in first.names if name[0] in dict(second.names)]
    common = replace(first.without(*(key for key, _ in first.items if key not in same)), names=tuple(names)).label
    ours, theirs = (_apart(setting, same, dict(names)) for setting in (first, second))
    return f"{common}: {ours} − {theirs}" if common else f"{ours} − {theirs}"


def _apart(setting: Setting, keys: Collection[str], shared: Collection[str]) -> str:
    """Return a setting's label without keys, and without the names that both share and what these stand for."""
    said = [key for name, items in setting.names if name in shared for key, _ in items]
    own = tuple(each for each in setting.names if each[0] not in shared)
    return replace(setting.without(*keys, *said), names=own).label


def wga_difference(first: Setting, second: Setting, groups: Groups) -> Difference | None:
    """Return the paired difference in test WGA of two settings; None where they share no seed."""
    return paired_difference(by_seed(groups[first], WGA), by_seed(groups[second], WGA))


def questions(groups: Groups) -> dict[str, list[tuple[Setting, Setting]]]:
    """Return the pairs to compare, question by question."""
    federated = [s for s in groups if s.get("robust") == "federated"]
    robust = [(s, central) for s in federated if (central := on_the_server(s, groups)) is not None]
    spread = [(s, one) for s in groups if s.get("machines") > 1 and (one := on_one_machine(s, groups)) is not None]
    erms = {s: erm for s in groups if s.get("method") != "erm" and (erm := erm_for(s, groups)) is not None}
    others = [(s, erm) for s, erm in erms.items() if s.get("method") not in ("jtt", "group-balanced")]
    return {
        "Federated minus central, paired": robust,
        "More machines minus one machine, paired": spread,
        "JTT minus ERM, paired": [(s, erm) for s, erm in erms.items() if s.get("method") == "jtt"],
        "Other methods minus ERM, paired": others,
    }


def erm_for(setting: Setting, groups: Groups) -> Setting | None:
    """Return ERM at the same robust mode and machines; else central ERM, which is the same on any number of them.

    The number of epochs may differ: an ERM epoch is shorter than one over upsampled data. Where each method was tuned
    for itself, there is one ERM that differs in what was tuned: then that one.
    """
    apart = ("method", "robust", "machines", "robust-epochs")
    erms = [other for other in groups if other.get("method") == "erm"]
    for ignored in (apart, (*apart, *HYPER_PARAMETERS)):
        alike = [other for other in erms if other.agrees(setting, *ignored)]
        same = [other for other in alike if all(other.get(key) == setting.get(key) for key in ("robust", "machines"))]
        found = same or [other for other in alike if other.get("robust") == "central"]
        if found and (ignored == apart or len(found) == 1):
            return found[0]
    return None


def _interval(difference: Difference) -> str:
    over_seeds = difference.estimate
    if over_seeds.half is None:
        return "–"
    return f"{points(over_seeds.low)} to {points(over_seeds.high)}"


def _arithmetic(difference: Difference) -> str:
    return ", ".join(points(value) for value in difference.by_seed.values())
