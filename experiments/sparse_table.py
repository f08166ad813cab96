"""The table of sparse networks: what is left of accuracy, operations and bytes."""

from collections.abc import Sequence

from experiments.results import Row
from experiments.settings import Groups
from experiments.statistics import Estimate, estimate
from experiments.table import Table, percent
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
