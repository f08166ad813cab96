"""Rules for the replies of a stage that fits the last layer anew: sums of the right shapes over rows that are there."""

from collections.abc import Mapping

import numpy as np

from fedjtt.methods.base import Payload
from fedjtt.methods.subsets import BINS
from strategies.known import Known, Rule, misshapen

SLACK = 1 + 1e-9


def _of_features(known: Known, machine: int, request: Payload, reply: Payload) -> str:
    count, labels, width = reply.integers("count"), reply.integer("labels"), reply.integer("width")
    if not labels or len(count) % labels or labels * (width + 1) > len(request.arrays["weights"]):
        return f"it has {len(count)} groups, {labels} labels and features of width {width}"
    if machine in known.census and len(known.census[machine]) != labels:
        return f"it has {labels} labels in validation and {len(known.census[machine])} in train"
    if known.validation.setdefault(machine, (count, width)) != (count, width):
        return "its validation rows are not those that it had before"
    return ""


def _of_moments(known: Known, machine: int, request: Payload, reply: Payload) -> str:  # noqa: ARG001
    counts, width = known.validating(machine)
    rows, total, squares, gram = reply.integer("rows"), *(reply.arrays[name] for name in ("total", "squares", "gram"))
    shapes = {"total": (width + 1,), "squares": (width + 1,), "gram": (width + 1, width + 1)}
    if objection := misshapen(reply, shapes, np.float64):
        return objection
    if rows not in (0, sum(counts)) or total[-1] != rows or squares[-1] != rows:
        return f"it sums over {rows} of its {sum(counts)} rows"
    if (total**2 > rows * squares * SLACK).any() or (np.diag(gram) < 0).any():
        return "its sums of squares are smaller than its sums allow"
    return ""


def _of_draw(known: Known, machine: int, request: Payload, reply: Payload) -> str:
    own, counts = np.array(known.validating(machine)[0]), reply.arrays["counts"]
    if objection := misshapen(reply, {"counts": (*request.arrays["prefix"].shape, BINS)}, np.int64):
        return objection
    found = counts.sum(axis=2)
    if counts.min(initial=0) < 0 or (found > own).any() or (not request.integer("level") and (found != own).any()):
        return "its counts in bins do not fit its validation rows"
    return ""


def _of_slope(known: Known, machine: int, request: Payload, reply: Payload) -> str:
    heads, rows, own = request.arrays["heads"], reply.integers("rows"), sum(known.validating(machine)[0])
    if objection := misshapen(reply, {"gradient": heads.shape}, np.float64):
        return objection
    if len(rows) != heads.shape[1] or max(rows, default=0) > own:
        return f"it sums over {rows} rows and has {own}"
    # The last column is a sum over rows of a probability less 0 or 1.
    if (np.abs(reply.arrays["gradient"][..., -1]) > np.array(rows)[:, None] * SLACK).any():
        return "its gradients are larger than its rows allow"
    return ""


def _of_score(known: Known, machine: int, request: Payload, reply: Payload) -> str:
    own = known.validating(machine)[0]
    shapes = {"correct": (len(request.arrays["heads"]), len(own)), "count": (len(own),)}
    if objection := misshapen(reply, shapes, np.int64):
        return objection
    correct, count = reply.arrays["correct"], reply.arrays["count"]
    if correct.min(initial=0) < 0 or (correct > count).any() or (count > np.array(own)).any():
        return "it has more correct predictions than rows in a group, or more rows than before"
    return ""


HEAD_RULES: Mapping[str, Rule] = {
    "features": _of_features,
    "moments": _of_moments,
    "draw": _of_draw,
    "slope": _of_slope,
    "score": _of_score,
}
