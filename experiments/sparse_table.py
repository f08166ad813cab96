"""The table of sparse networks: what is left of accuracy, operations and bytes."""

from collections.abc import Sequence

from experiments.results import Row
from experiments.settings import HYPER_PARAMETERS, Groups, Setting
from experiments.statistics import Estimate, by_seed, estimate, paired_difference
from experiments.table import Table, percent, points
from experiments.tables import WGA, provenance

_DENSE = ("erm", "jtt", "group-balanced")
_CAPTION = (
    "Aligned: examples with their label's most frequent attribute in train; conflicting: the others. Density: live "
    "share of the weights, biases and norms apart. Ever live: share of them that was live at some time. FLOPs: for one "
    "example, of a dense network's, counted by layer in proportion to its density; training: a forward and a backward "
    "pass. Memory: of the weights where they are kept, with a bit each that says which live. Bytes: of what the same "
    "rounds of dense weights would take, mean over the rounds."
)


def sparse_networks(groups: Groups) -> Table | None:
    """Return one row a setting of REST, with the dense ones beside them; None where no run was sparse."""
    if not any("sparse.density" in row for rows in groups.values() for row in rows):
        return None
    shown = {s: rows for s, rows in groups.items() if s.get("method") in ("rest", *_DENSE)}
    columns = {
        "setting": [setting.label for setting in shown],
        "WGA, %": [percent(estimate(rows, WGA)) for rows in shown.values()],
        "conflicting, %": [percent(estimate(rows, "test.conflicting-accuracy")) for rows in shown.values()],
        "aligned, %": [percent(estimate(rows, "test.aligned-accuracy")) for rows in shown.values()],
        "density, %": [_share(rows, "sparse.density") for rows in shown.values()],
        "ever live, %": [_share(rows, "sparse.in-time-over-parametrisation") for rows in shown.values()],
        "lambda": [_number(estimate(rows, "sparse.lambda")) for rows in shown.values()],
        "FLOPs, inference, %": [_ratio(rows, "flops", "inference") for rows in shown.values()],
        "FLOPs, training, %": [_ratio(rows, "flops", "training") for rows in shown.values()],
        "memory, %": [_ratio(rows, "memory", "weights") for rows in shown.values()],
        "bytes, %": [_share(rows, "sparse.share-of-dense-bytes") for rows in shown.values()],
    }
    kept = {name: cells for name, cells in columns.items() if any(cell != "–" for cell in cells)}
    caption = f"{provenance([row for rows in shown.values() for row in rows])} {_CAPTION}"
    return Table("Sparse networks", caption, tuple(kept), tuple(zip(*kept.values(), strict=True)))


def _share(rows: Sequence[Row], name: str) -> str:
    value = estimate(rows, name)
    return "–" if value is None else f"{100 * value.mean:.3g}"


def _ratio(rows: Sequence[Row], what: str, name: str) -> str:
    sparse, dense = (estimate(rows, f"sparse.{what}.{kind}{name}") for kind in ("", "dense-"))
    return "–" if sparse is None or dense is None else f"{100 * sparse.mean / dense.mean:.3g}"


def _number(value: Estimate | None) -> str:
    return "–" if value is None else f"{value.mean:g}"


_CHOSEN_CAPTION = (
    "Of so many densities the one with the best worst-group accuracy on validation, then the best average: test is "
    "not looked at. Conflicting: test accuracy on examples without their label's most frequent attribute. The "
    "differences are of that, in points, paired by seed; oracle: the density chosen in the same way with true groups."
)
_CONFLICTING, _DENSITY = "test.conflicting-accuracy", "rest-density"


def chosen_densities(groups: Groups) -> Table | None:
    """Return one row a setting of REST that ran at several densities, with the one that validation chooses."""
    lines: dict[Setting, list[Setting]] = {}
    for setting in groups:
        if setting.get("method") == "rest" and setting.get(_DENSITY) is not None:
            lines.setdefault(setting.without(_DENSITY), []).append(setting)
    chosen = {line: max(own, key=lambda s: _rank(groups[s])) for line, own in lines.items() if len(own) > 1}
    if not chosen:
        return None
    rows = []
    for line, best in chosen.items():
        oracle = chosen.get(line.but(groups="true")) if line.get("groups") == "inferred" else None
        others = [_dense(best, "erm", groups), _dense(best, "jtt", groups), oracle]
        rows.append((
            line.label, f"{100 * best.get(_DENSITY):g}", str(len(lines[line])),
            percent(estimate(groups[best], "validation.worst-group-accuracy")), percent(estimate(groups[best], WGA)),
            percent(estimate(groups[best], _CONFLICTING)), *(_minus(best, other, groups) for other in others),
        ))  # fmt: skip
    columns = ("setting", "density, %", "of", "validation WGA, %", "WGA, %", "conflicting, %", "minus dense ERM",
               "minus dense JTT", "minus oracle")  # fmt: skip
    shown = [row for setting in chosen.values() for row in groups[setting]]
    return Table("Densities chosen on validation", f"{provenance(shown)} {_CHOSEN_CAPTION}", columns, tuple(rows))


def _rank(rows: Sequence[Row]) -> tuple[float, float]:
    means = (estimate(rows, f"validation.{name}-accuracy") for name in ("worst-group", "average"))
    worst, average = (-1.0 if value is None else value.mean for value in means)
    return worst, average


def _dense(setting: Setting, method: str, groups: Groups) -> Setting | None:
    """Return a dense method's runs on the same data: in the same mode and on as many machines, else central ones."""
    free = ("method", "groups", "robust", "machines", "robust-epochs", *HYPER_PARAMETERS)
    alike = [other for other in groups if other.get("method") == method and other.agrees(setting, *free)]
    place = ("robust", "machines")
    same = [other for other in alike if all(other.get(key) == setting.get(key) for key in place)]
    return next(iter([*same, *(other for other in alike if other.get("robust") == "central")]), None)


def _minus(first: Setting, second: Setting | None, groups: Groups) -> str:
    sides = [by_seed(groups[each], _CONFLICTING) for each in (first, second) if each is not None]
    found = paired_difference(sides[0], sides[1]) if len(sides) == 2 else None
    if found is None:
        return "–"
    half = found.estimate.half
    return points(found.estimate.mean) + ("" if half is None else f" ± {100 * half:.1f}")
