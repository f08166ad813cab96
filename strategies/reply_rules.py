"""One rule for each action: a reply must fit the request, what its sender said before and what the server knows."""

import math
from collections.abc import Mapping

import numpy as np

from fedjtt.methods.assess import KIND_COUNTS, REFERENCE_COUNTS
from fedjtt.methods.averaging import by_size
from fedjtt.methods.base import Array, Payload
from fedjtt.methods.group_moments import length_of_sums
from fedjtt.methods.removal import LIMIT
from fedjtt.training import Span
from strategies.attribution_rules import ATTRIBUTION_RULES
from strategies.head_rules import HEAD_RULES
from strategies.known import Known, Rule
from strategies.sparse_rules import SPARSE_RULES, objection_to_slopes, slope_arrays


def _of_moments(known: Known, machine: int, request: Payload, reply: Payload) -> str:  # noqa: ARG001
    count, present = reply.integer("examples"), reply.arrays["present"]
    for name, array in reply.arrays.items():
        sums = name in ("total", "squares")
        if array.dtype != (np.float64 if sums else np.uint8 if name == "schema" else np.int64):
            return f"its {name} is {array.dtype}"
        if sums and array.shape != (len(present), 3):
            return f"its {name} is {list(array.shape)} for {len(present)} columns"
        if name.startswith("category-") and (array.min(initial=0) < 0 or array.sum() != count):
            return f"its {name} does not add up to its {count} examples"
    if present.ndim != 1 or ((present < 0) | (present > count)).any():
        return f"it counts numbers that its {count} examples do not have"
    return ""


def _of_census(known: Known, machine: int, request: Payload, reply: Payload) -> str:  # noqa: ARG001
    labels, groups = reply.integers("label-counts"), reply.integers("group-counts")
    if reply.integer("examples") != sum(labels):
        return f"its counts do not add up to its {reply.integer('examples')} examples"
    if groups:
        width = max(1, len(groups) // max(1, len(labels)))
        if [sum(groups[place : place + width]) for place in range(0, len(groups), width)] != labels:
            return "its counts per group are not those per label"
    if known.noisy:
        known.census[machine], known.groups[machine] = labels, groups
        return ""
    owned = known.owner(machine)
    if owned is not None and len(owned) != sum(labels):
        return f"it counts {sum(labels)} examples, and its part has {len(owned)}"
    if known.census.setdefault(machine, labels) != labels or known.groups.setdefault(machine, groups) != groups:
        return "its counts are not those that it gave before"
    return ""


def _of_update(known: Known, machine: int, request: Payload, reply: Payload) -> str:
    sent = request.arrays["weights"]
    others = slope_arrays(request)
    for name, array in reply.arrays.items():
        if name in others:
            continue
        if array.shape != sent.shape or array.dtype != sent.dtype:
            return f"{name} is {array.dtype} {list(array.shape)}, not {sent.dtype} {list(sent.shape)}"
    size, own = reply.real("size"), known.examples(machine)
    least, most = _sizes(known, machine, request)
    if not least * (1 - 1e-9) <= size <= most * (1 + 1e-9):
        return f"its weighted size is {size:g}, which {own} examples do not have"
    return _too_long(known.max_update_norm, request, reply) if known.max_update_norm else ""


def _sizes(known: Known, machine: int, request: Payload) -> tuple[float, float]:
    """Return the smallest and the largest weighted size that the machine's examples can have."""
    if known.alike:
        return 1.0, 1.0
    if known.noisy:
        return 0.0, math.inf
    own = known.examples(machine)
    if LIMIT in request.numbers:  # which examples have gone is the machine's secret
        return 0.0, own
    if "group-weights" in request.numbers:
        return _sizes_by_group(known, machine, request)
    return own, own * (request.integer("factor") + 1 if "factor" in request.numbers else 1)


def _sizes_by_group(known: Known, machine: int, request: Payload) -> tuple[float, float]:
    """Return the bounds where examples weigh by their group; both are equal where all of it is known."""
    weights, own = request.reals("group-weights"), known.examples(machine)
    counts = {"true": known.groups.get(machine, []), "class": known.census[machine]}.get(known.kind)
    if known.kind == "machine":
        counts = [own if place == machine else 0 for place in range(len(weights))]
    if counts is None:  # which examples are in the error set is the machine's secret
        return 0.0, own * max(weights)
    size = sum(count * weight for count, weight in zip(counts, weights, strict=True))
    return 0.0 if "group-cut" in request.numbers else size, size


def _too_long(bound: float, request: Payload, reply: Payload) -> str:
    """Object to what goes too far: the weights, and their average, which lies between the last one and the weights."""
    sent = request.arrays["weights"].astype(np.float64)
    length = float(np.linalg.norm(reply.arrays["weights"] - sent))
    if length > bound:
        return f"its update is {length:.3g} long; max-update-norm is {bound:g}"
    if "biased" in reply.arrays:
        length = float(np.linalg.norm(reply.arrays["biased"] - request.arrays["biased"].astype(np.float64)))
        if length > bound:
            return f"its biased network moved by {length:.3g}; max-update-norm is {bound:g}"
    if "average" in reply.arrays:
        before = request.arrays.get("average", sent).astype(np.float64)
        away = float(np.linalg.norm(sent - before))
        length = float(np.linalg.norm(reply.arrays["average"] - before))
        if length > away + bound:
            return (
                f"its average moved by {length:.3g}; max-update-norm is {bound:g}, and the weights were {away:.3g} away"
            )
    return ""


def _of_fit(known: Known, machine: int, request: Payload, reply: Payload) -> str:
    if objection := _of_update(known, machine, request, reply) or objection_to_slopes(request, reply):
        return objection
    if "dro-seen" in reply.numbers and min(reply.reals("dro-seen") + reply.reals("dro-gains"), default=0) < 0:
        return "it saw a negative number of examples, or losses"
    span = Span(request.integer("first"), request.integer("last"), request.integer("total"))
    if "mean-size" in request.numbers:
        span = by_size(span, reply.real("size") / request.real("mean-size"))
    return "" if reply.integer("steps") == span.steps else f"it made {reply.integer('steps')} steps of {span.steps}"


def _of_tally(known: Known, machine: int, request: Payload, reply: Payload) -> str:
    counts, own = sum(reply.integers("counts")), known.examples(machine)
    if len(reply.integers("counts")) % len(request.integers("group-sizes")):
        return f"it counts in {len(reply.integers('counts'))} bins"
    if (counts > own or ("bins" not in request.numbers and counts != own)) and not known.noisy:
        return f"it counts {counts} of its {own} examples"
    return ""


def _of_name(known: Known, machine: int, request: Payload, reply: Payload) -> str:  # noqa: ARG001
    return _of_ids(known.owner(machine), reply.arrays["ids"], known.examples(machine))


def _of_error_set(known: Known, machine: int, request: Payload, reply: Payload) -> str:
    examples, errors = known.examples(machine), reply.integer("errors")
    if reply.integer("examples") != examples and not known.noisy:
        return f"it reports on {reply.integer('examples')} examples and has {examples}"
    if "majority" in request.numbers:
        minority, hits = reply.integer("minority"), reply.integer("true-positives")
        if not (0 <= minority <= examples and 0 <= hits <= min(errors, minority)):
            return f"{hits} true positives do not fit {errors} errors and {minority} minority examples"
    return _of_ids(known.owner(machine), reply.arrays["error-ids"], errors) if known.ids else ""


def _of_judgement(known: Known, machine: int, request: Payload, reply: Payload) -> str:
    wrong, sizes = reply.integers("label-errors"), reply.integers("label-sizes")
    if sizes != known.labels(machine) and not known.noisy:
        return "its counts per label are not those that it gave before"
    if not _within(wrong, sizes) or sum(wrong) != reply.integer("errors"):
        return f"its errors per label do not add up to {reply.integer('errors')} of its examples"
    return _of_error_set(known, machine, request, reply)


def _of_ids(owned: Array | None, ids: Array, errors: int) -> str:
    if ids.dtype.kind not in "iu" or ids.ndim != 1:
        return f"its ids are {ids.dtype} {list(ids.shape)}, not a list of whole numbers"
    if len(np.unique(ids)) != len(ids):
        return f"{len(ids) - len(np.unique(ids))} ids stand in it more than once"
    if len(ids) != errors:
        return f"it names {len(ids)} ids and announces {errors} errors"
    foreign = 0 if owned is None else int((~np.isin(ids, owned)).sum())
    return f"{foreign} of its {len(ids)} ids are not its own" if foreign else ""


def _of_look(known: Known, machine: int, request: Payload, reply: Payload) -> str:
    sizes, errors = reply.integers("label-sizes"), reply.integers("label-errors")
    both, either = reply.integer("both"), reply.integer("either")
    fits = _within(sizes, known.labels(machine)) and sum(sizes) <= request.integer("sample")
    if not fits and not known.noisy:
        return "it looked at more examples than it has or was asked to"
    if not _within(errors, sizes) or both > sum(errors) or not both <= either <= sum(sizes):
        return "its counts do not fit the examples that it looked at"
    return ""


def _of_model(known: Known, machine: int, request: Payload, reply: Payload) -> str:  # noqa: ARG001
    if reply.integer("machine") != machine:
        return f"it hands out the model of machine {reply.integer('machine')}"
    model = reply.arrays["model"]
    if model.ndim != 1 or model.dtype != np.float32 or len(model) != (known.parameters or len(model)):
        return f"its model is {model.dtype} {list(model.shape)}, not float32 [{known.parameters or 'parameters'}]"
    return ""


def _of_counts(known: Known, machine: int, request: Payload, reply: Payload) -> str:
    count, attributes = reply.integers("count"), reply.integer("attributes")
    if not _within(reply.integers("correct"), count):
        return "it has more correct predictions than examples in a group"
    labels, groups = known.census.get(machine), known.groups.get(machine)
    if labels and groups and len(count) != (len(groups) if attributes else len(labels)):
        return f"it counts {len(count)} groups and has {len(groups if attributes else labels)}"
    if not known.noisy and known.held.setdefault((machine, request.integer("split")), count) != count:
        return "it evaluates on other counts than before"
    if KIND_COUNTS[0] in reply.numbers and (objection := _of_kind_counts(known, machine, request, reply)):
        return objection
    return _of_reference_counts(known, machine, reply) if "by-reference" in request.numbers else ""


def _of_kind_counts(known: Known, machine: int, request: Payload, reply: Payload) -> str:
    correct, count = (reply.integers(name) for name in KIND_COUNTS)
    if not _within(correct, count):
        return "it has more correct predictions than examples in an overlapping group"
    labels = len(known.labels(machine))
    kinds, rest = divmod(len(count), max(1, labels))
    if rest or not labels:
        return f"it counts {len(count)} overlapping groups for {labels} labels"
    groups = np.array(reply.integers("count")).reshape(labels, -1).sum(axis=1)
    if not known.noisy and (np.array(count).reshape(labels, kinds) > groups[:, None]).any():
        return "it counts more examples in an overlapping group than it has of the label"
    # -1 is the reference's place
    before = known.held.setdefault((machine, -2 - request.integer("split")), count)
    return "" if known.noisy or before == count else "it evaluates on other overlapping groups than before"


def _of_reference_counts(known: Known, machine: int, reply: Payload) -> str:
    correct, count = (reply.integers(name) for name in REFERENCE_COUNTS)
    if not _within(correct, count):
        return "it has more correct predictions than examples in a group of the reference"
    if len(count) != len(known.labels(machine)) ** 2:
        return f"it counts {len(count)} groups of the reference for {len(known.labels(machine))} labels"
    if known.noisy:
        return ""
    if sum(count) != sum(reply.integers("count")) or sum(correct) != sum(reply.integers("correct")):
        return "its counts by the reference are of other examples"
    return (
        "" if known.held.setdefault((machine, -1), count) == count else "its reference predicts otherwise than before"
    )


def _of_spectrum(known: Known, machine: int, request: Payload, reply: Payload) -> str:
    own, count, width = known.groups.get(machine, []), reply.integers("count"), reply.integer("width")
    if len(count) != len(own) or any(told not in (0, has) for told, has in zip(count, own, strict=True)):
        return "it sums over groups that it does not have"
    if (width + 1) * len(known.labels(machine)) > len(request.arrays["weights"]):
        return f"its features have width {width}"
    sums = reply.arrays["sums"]
    if sums.dtype != np.float64 or sums.shape != (length_of_sums(len(count), width),):
        return f"its sums are {sums.dtype} {list(sums.shape)} for {len(count)} groups and features of width {width}"
    total, outer = (part.reshape(len(count), -1) for part in np.split(sums, [len(count) * width]))
    row, column = np.triu_indices(width)
    squares, rows = outer[:, row == column], np.array(count)[:, None]
    if (squares < 0).any() or (total**2 > rows * squares * (1 + 1e-9)).any():
        return "its sums of squares are smaller than its sums allow"
    return "it sums over groups without rows" if outer[np.array(count) == 0].any() else ""


def _within(parts: list[int], wholes: list[int]) -> bool:
    return len(parts) == len(wholes) and all(0 <= part <= whole for part, whole in zip(parts, wholes, strict=True))


RULES: Mapping[str, Rule] = {
    "describe": _of_moments,
    "census": _of_census,
    "learn": _of_update,
    "fit": _of_fit,
    "look": _of_look,
    "identify": _of_judgement,
    "judge": _of_judgement,
    "tally": _of_tally,
    "name": _of_name,
    "lend": _of_model,
    "assess": _of_counts,
    "spectrum": _of_spectrum,
    **HEAD_RULES,
    **ATTRIBUTION_RULES,
    **SPARSE_RULES,
}
