"""What the server accepts of a machine's reply: the right names and shapes, finite values, counts that fit its data.

A broken or hostile machine must not spoil a sum. What is objected to here is named in the log and in the result, and
the reply counts as missing. What a machine can invent without contradicting itself, such as plausible weights, is the
business of the aggregation rules (Krum, trimmed mean, median).
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from fedjtt.methods.base import Array, Payload

Owner = Callable[[int], Array | None]
"""From a partition id to the ids of that machine's train examples, where the server can know them; else None."""


def nobody(partition_id: int) -> Array | None:  # noqa: ARG001 (an owner's signature)
    """Know no machine's ids."""
    return None


@dataclass
class Acceptance:
    """Judges replies by the request, by what the sender said before, and by what the server knows itself.

    Attributes
    ----------
    owner : callable
        Gives the ids that a machine may name.
    max_update_norm : float
        Longest change of the weights that a machine may send; 0: any finite one.
    census : dict
        By partition id, the label counts that the machine gave first.
    """

    owner: Owner = nobody
    max_update_norm: float = 0.0
    census: dict[int, list[int]] = field(default_factory=dict)

    def objection(self, action: str, machine: int, request: Payload, reply: Payload) -> str:
        """Return what is wrong with a reply, in words, or an empty string."""
        rule = RULES.get(action)
        if rule is None:
            return ""
        try:
            return _not_finite(reply) or rule(self, machine, request, reply)
        except KeyError as error:
            return f"it lacks {error.args[0]}"
        except (TypeError, ValueError) as error:
            return str(error)

    def examples(self, machine: int) -> int:
        """Return the number of the machine's train examples."""
        if machine not in self.census:
            raise ValueError("it has not said before how many examples it has")
        return sum(self.census[machine])


def _not_finite(reply: Payload) -> str:
    for name, value in reply.numbers.items():
        values = value if isinstance(value, list) else [value]
        if not all(math.isfinite(item) for item in values):
            return f"{name} is not finite"
    for name, array in reply.arrays.items():
        if array.dtype.kind == "f" and array.size and not np.isfinite([array.min(), array.max()]).all():
            return f"{name} has values that are not finite"
    return ""


def _of_moments(accept: Acceptance, machine: int, request: Payload, reply: Payload) -> str:  # noqa: ARG001
    count, present = reply.integer("examples"), reply.arrays["present"]
    for name, array in reply.arrays.items():
        sums = name in ("total", "squares")
        if array.dtype != (np.float64 if sums else np.uint8 if name == "schema" else np.int64):
            return f"its {name} is {array.dtype}"
        if sums and array.shape != (len(present), 3):
            return f"its {name} is {list(array.shape)} for {len(present)} columns"
        if name.startswith("category-") and (array.min(initial=0) < 0 or array.sum() != count):
            return f"its {name} does not add up to its {count} examples"
    if count < 0 or present.ndim != 1 or ((present < 0) | (present > count)).any():
        return f"it counts numbers that its {count} examples do not have"
    return ""


def _of_census(accept: Acceptance, machine: int, request: Payload, reply: Payload) -> str:  # noqa: ARG001
    labels, groups = reply.integers("label-counts"), reply.integers("group-counts")
    if min(labels, default=0) < 0 or min(groups, default=0) < 0:
        return "a count is negative"
    if reply.integer("examples") != sum(labels) or (groups and sum(groups) != sum(labels)):
        return f"its counts do not add up to its {reply.integer('examples')} examples"
    owned = accept.owner(machine)
    if owned is not None and len(owned) != sum(labels):
        return f"it counts {sum(labels)} examples, and its part has {len(owned)}"
    if accept.census.setdefault(machine, labels) != labels:
        return "its counts are not those that it gave before"
    return ""


def _of_update(accept: Acceptance, machine: int, request: Payload, reply: Payload) -> str:
    sent, size = request.arrays["weights"], reply.real("size")
    for name, array in reply.arrays.items():
        if name not in ("weights", "average"):
            return f"it sends {name}, which was not asked for"
        if array.shape != sent.shape or array.dtype != sent.dtype:
            return f"{name} is {array.dtype} {list(array.shape)}, not {sent.dtype} {list(sent.shape)}"
    own = accept.examples(machine)
    most = own * (request.integer("factor") + 1 if "factor" in request.numbers else 1)
    if "factor" in request.numbers or "total" not in request.numbers:
        if not own <= size <= most:
            return f"its weighted size is {size:g}, which {own} examples do not have"
    elif size <= 0:
        return f"its weighted size is {size:g}"
    length = float(np.linalg.norm(reply.arrays["weights"].astype(np.float64) - sent))
    if accept.max_update_norm and length > accept.max_update_norm:
        return f"its update is {length:.3g} long; max-update-norm is {accept.max_update_norm:g}"
    return ""


def _of_error_set(accept: Acceptance, machine: int, request: Payload, reply: Payload) -> str:  # noqa: ARG001
    examples, errors = accept.examples(machine), reply.integer("errors")
    if reply.integer("examples") != examples:
        return f"it reports on {reply.integer('examples')} examples and has {examples}"
    if not 0 <= errors <= examples:
        return f"it calls {errors} of its {examples} examples wrong"
    if "minority" in reply.numbers:
        minority, hits = reply.integer("minority"), reply.integer("true-positives")
        if not (0 <= minority <= examples and 0 <= hits <= min(errors, minority)):
            return f"{hits} true positives do not fit {errors} errors and {minority} minority examples"
    if "label-sizes" in reply.numbers:
        if reply.integers("label-sizes") != accept.census[machine]:
            return "its counts per label are not those that it gave before"
        wrong = reply.integers("label-errors")
        if not _within(wrong, accept.census[machine]) or sum(wrong) != errors:
            return f"its errors per label do not add up to {errors} of its examples"
    return _of_ids(accept.owner(machine), reply.arrays.get("error-ids"), errors)


def _of_ids(owned: Array | None, ids: Array | None, errors: int) -> str:
    if ids is None:
        return ""
    if ids.dtype.kind not in "iu" or ids.ndim != 1:
        return f"its ids are {ids.dtype} {list(ids.shape)}, not a list of whole numbers"
    if len(np.unique(ids)) != len(ids):
        return f"{len(ids) - len(np.unique(ids))} ids stand in it more than once"
    if len(ids) != errors:
        return f"it names {len(ids)} ids and announces {errors} errors"
    foreign = 0 if owned is None else int((~np.isin(ids, owned)).sum())
    return f"{foreign} of its {len(ids)} ids are not its own" if foreign else ""


def _of_look(accept: Acceptance, machine: int, request: Payload, reply: Payload) -> str:
    sizes, errors = reply.integers("label-sizes"), reply.integers("label-errors")
    both, either = reply.integer("both"), reply.integer("either")
    if not _within(sizes, accept.census[machine]) or sum(sizes) > request.integer("sample"):
        return "it looked at more examples than it has or was asked to"
    if not _within(errors, sizes) or not 0 <= both <= sum(errors) or not both <= either <= sum(sizes):
        return "its counts do not fit the examples that it looked at"
    return ""


def _of_model(accept: Acceptance, machine: int, request: Payload, reply: Payload) -> str:  # noqa: ARG001
    if reply.integer("machine") != machine:
        return f"it hands out the model of machine {reply.integer('machine')}"
    model = reply.arrays["model"]
    return "" if model.ndim == 1 and model.dtype == np.float32 else f"its model is {model.dtype} {list(model.shape)}"


def _of_counts(accept: Acceptance, machine: int, request: Payload, reply: Payload) -> str:  # noqa: ARG001
    if not _within(reply.integers("correct"), reply.integers("count")):
        return "it has more correct predictions than examples in a group"
    return ""


def _within(parts: list[int], wholes: list[int]) -> bool:
    return len(parts) == len(wholes) and all(0 <= part <= whole for part, whole in zip(parts, wholes, strict=True))


Rule = Callable[[Acceptance, int, Payload, Payload], str]
RULES: Mapping[str, Rule] = {
    "describe": _of_moments,
    "census": _of_census,
    "learn": _of_update,
    "fit": _of_update,
    "look": _of_look,
    "identify": _of_error_set,
    "judge": _of_error_set,
    "lend": _of_model,
    "assess": _of_counts,
}
