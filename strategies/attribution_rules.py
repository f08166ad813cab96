"""Rules for the replies of a stage that measures effects and removes by them: shapes of sums, counts that fit."""

from collections.abc import Mapping

import numpy as np

from fedjtt.methods.assess import SPLITS
from fedjtt.methods.base import Payload
from fedjtt.methods.removal import BINS
from strategies.known import Known, Rule, misshapen

SLACK = 1 + 1e-9


def _of_kernel(known: Known, machine: int, request: Payload, reply: Payload) -> str:
    ((name, triangle),) = reply.arrays.items()
    models = len(request.arrays["weights"]) if request.arrays["weights"].ndim == 2 else 1
    width, rows, own = models * request.integer("width"), reply.integer("rows"), known.examples(machine)
    if objection := misshapen(reply, {name: (width * (width + 1) // 2,)}, np.float64):
        return objection
    if rows not in (0, own):
        return f"it sums over {rows} of its {own} rows"
    diagonal = np.cumsum([0, *range(width, 1, -1)])
    if (triangle[diagonal] < 0).any() or (not rows and triangle.any()):
        return f"its {name} is no sum of squares over {rows} rows"
    return ""


def _of_target(known: Known, machine: int, request: Payload, reply: Payload) -> str:
    count, losses = reply.integers("count"), reply.reals("losses")
    if objection := misshapen(reply, {"sums": (len(count) * request.integer("width"),)}, np.float64):
        return objection
    if len(losses) != len(count) or any(loss < 0 or (loss and not n) for loss, n in zip(losses, count, strict=True)):
        return "its losses do not fit its validation rows"
    return _of_counts(known, machine, reply)


def _of_scatter(known: Known, machine: int, request: Payload, reply: Payload) -> str:
    count, size = reply.integers("count"), request.arrays["basis"].shape[1]
    shapes = {"total": (len(count) * size,), "products": (len(count) * size * (size + 1) // 2,)}
    if objection := misshapen(reply, shapes, np.float64):
        return objection
    # Points have length 1: no coordinate's sum is more than their number.
    if (np.abs(reply.arrays["total"].reshape(len(count), size)).max(axis=1, initial=0) > np.array(count) * SLACK).any():
        return "its sums are larger than its validation rows allow"
    return _of_counts(known, machine, reply)


def _of_division(known: Known, machine: int, request: Payload, reply: Payload) -> str:
    if len(reply.integers("count")) != 2 * len(request.arrays["centres"]):
        return f"it counts {len(reply.integers('count'))} groups"
    return _of_counts(known, machine, reply)


def _of_counts(known: Known, machine: int, reply: Payload) -> str:
    held = known.held.get((machine, SPLITS.index("validation")))
    if held is not None and sum(reply.integers("count")) > sum(held):
        return f"it counts {sum(reply.integers('count'))} validation rows and has {sum(held)}"
    return ""


def _of_alignment(known: Known, machine: int, request: Payload, reply: Payload) -> str:  # noqa: ARG001
    rows, own = reply.integer("rows"), known.examples(machine)
    if rows != own or reply.integer("negative") > own:
        return f"it scores {rows} examples, {reply.integer('negative')} negatively, and has {own}"
    return ""


def _of_ranks(known: Known, machine: int, request: Payload, reply: Payload) -> str:
    counts, own = reply.integers("counts"), known.examples(machine)
    if len(counts) != BINS:
        return f"it counts in {len(counts)} bins"
    if sum(counts) > own or (not request.integer("level") and sum(counts) != own):
        return f"it counts {sum(counts)} of its {own} examples"
    return ""


def _of_drop(known: Known, machine: int, request: Payload, reply: Payload) -> str:  # noqa: ARG001
    removed, labels, own = reply.integer("removed"), reply.integers("label-removed"), known.labels(machine)
    if len(labels) != len(own) or any(gone > had for gone, had in zip(labels, own, strict=True)):
        return "it removes more examples of a label than it has"
    groups = reply.integers("group-removed")
    if sum(labels) != removed or (groups and sum(groups) != removed):
        return f"its counts do not add up to {removed} removed examples"
    if not known.ids:
        return ""
    ids, owned = reply.arrays["ids"], known.owner(machine)
    if ids.dtype.kind not in "iu" or ids.ndim != 1 or len(np.unique(ids)) != len(ids) or len(ids) != removed:
        return f"it names {len(np.unique(ids))} ids and removes {removed} examples"
    foreign = 0 if owned is None else int((~np.isin(ids, owned)).sum())
    return f"{foreign} of its {len(ids)} ids are not its own" if foreign else ""


ATTRIBUTION_RULES: Mapping[str, Rule] = {
    "gram": _of_kernel,
    "squares": _of_kernel,
    "target": _of_target,
    "scatter": _of_scatter,
    "divide": _of_division,
    "align": _of_alignment,
    "rank": _of_ranks,
    "drop": _of_drop,
}
