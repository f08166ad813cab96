"""What the server accepts of a machine's reply: the right names and shapes, finite values, counts that fit its data.

A broken or hostile machine must not spoil a sum. What is objected to here is named in the log and in the result, and
the reply counts as missing. What a machine can invent without contradicting itself, such as plausible weights, is the
business of the aggregation rules (Krum, trimmed mean, median).
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from fedjtt.config import RunConfig
from fedjtt.methods.averaging import by_size
from fedjtt.methods.base import Array, Payload
from fedjtt.training import Span

Owner = Callable[[int], Array | None]
"""From a partition id to the ids of that machine's train examples, where the server can know them; else None."""

# What a reply to an action must have: whole numbers and lists of them, none negative, and other numbers.
_REPORT = ("examples", "errors", "steps", "tries", "useless")
WHOLE: Mapping[str, tuple[str, ...]] = {
    "census": ("examples",), "fit": ("steps",), "identify": _REPORT, "judge": _REPORT, "look": ("both", "either"),
    "lend": ("machine", "steps", "tries", "useless"), "assess": ("attributes",),
}  # fmt: skip
LISTS: Mapping[str, tuple[str, ...]] = {
    "census": ("label-counts", "group-counts"), "judge": ("label-errors", "label-sizes"),
    "look": ("label-errors", "label-sizes"), "assess": ("correct", "count"),
}  # fmt: skip
REAL: Mapping[str, tuple[str, ...]] = {
    "fit": ("size", "loss", "seconds"), "learn": ("size", "seconds"), "identify": ("seconds",), "judge": ("seconds",),
    "look": ("seconds",), "lend": ("seconds",),
}  # fmt: skip


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
    ids : bool
        Whether machines name their errors; if not, no id may leave them.
    average : bool
        Whether machines send averages of their weights in the robust stage.
    parameters : int or None
        Length of a model that a machine hands out, where it is known.
    census, groups : dict
        By partition id, the counts per label and per group that the machine gave first.
    held : dict
        By partition id and split, the counts that the machine evaluated on first.
    """

    owner: Owner = nobody
    max_update_norm: float = 0.0
    ids: bool = False
    average: bool = False
    parameters: int | None = None
    census: dict[int, list[int]] = field(default_factory=dict)
    groups: dict[int, list[int]] = field(default_factory=dict)
    held: dict[tuple[int, int], list[int]] = field(default_factory=dict)

    @classmethod
    def of_run(cls, config: RunConfig, owner: Owner) -> "Acceptance":
        """Return what judges a run's replies."""
        return cls(owner, config.max_update_norm, config.robust == "central", config.averaging == "ema")

    def objection(self, action: str, machine: int, request: Payload, reply: Payload) -> str:
        """Return what is wrong with a reply, in words, or an empty string."""
        rule = RULES.get(action)
        if rule is None:
            return ""
        try:
            misformed = _not_finite(reply) or _other_arrays(self._arrays(action), reply) or _negative(action, reply)
            return misformed or rule(self, machine, request, reply)
        except KeyError as error:
            return f"it lacks {error.args[0]}"
        except (TypeError, ValueError, OverflowError) as error:
            return str(error)

    def labels(self, machine: int) -> list[int]:
        """Return the machine's train examples per label."""
        if machine not in self.census:
            raise ValueError("it has not said before how many examples it has")
        return self.census[machine]

    def examples(self, machine: int) -> int:
        """Return the number of the machine's train examples."""
        return sum(self.labels(machine))

    def _arrays(self, action: str) -> tuple[str, ...]:
        if action in ("identify", "judge"):
            return ("error-ids",) if self.ids else ()
        fitted = ("weights", "average") if self.average else ("weights",)
        return {"fit": fitted, "learn": ("weights",), "lend": ("model",)}.get(action, ())


def _not_finite(reply: Payload) -> str:
    for name, value in reply.numbers.items():
        values = value if isinstance(value, list) else [value]
        if not all(math.isfinite(item) for item in values):
            return f"{name} is not finite"
    for name, array in reply.arrays.items():
        if array.dtype.kind == "f" and array.size and not np.isfinite([array.min(), array.max()]).all():
            return f"{name} has values that are not finite"
    return ""


def _other_arrays(wanted: tuple[str, ...], reply: Payload) -> str:
    for name in wanted:
        if name not in reply.arrays:
            return f"it lacks {name}"
    return next((f"it sends {name}, which was not asked for" for name in reply.arrays if name not in wanted), "")


def _negative(action: str, reply: Payload) -> str:
    counts: dict[str, list[int]] = {name: [reply.integer(name)] for name in WHOLE.get(action, ())}
    for name in LISTS.get(action, ()):
        counts[name] = reply.integers(name)
        if counts[name] != reply.numbers[name]:
            return f"{name} is {reply.numbers[name]}, not whole numbers"
    least: dict[str, float] = {name: min(values, default=0) for name, values in counts.items()}
    least |= {name: reply.real(name) for name in REAL.get(action, ())}
    return next((f"{name} is negative" for name, value in least.items() if value < 0), "")


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
    if reply.integer("examples") != sum(labels):
        return f"its counts do not add up to its {reply.integer('examples')} examples"
    if groups:
        width = max(1, len(groups) // max(1, len(labels)))
        if [sum(groups[place : place + width]) for place in range(0, len(groups), width)] != labels:
            return "its counts per group are not those per label"
    owned = accept.owner(machine)
    if owned is not None and len(owned) != sum(labels):
        return f"it counts {sum(labels)} examples, and its part has {len(owned)}"
    if accept.census.setdefault(machine, labels) != labels or accept.groups.setdefault(machine, groups) != groups:
        return "its counts are not those that it gave before"
    return ""


def _of_update(accept: Acceptance, machine: int, request: Payload, reply: Payload) -> str:
    sent = request.arrays["weights"]
    for name, array in reply.arrays.items():
        if array.shape != sent.shape or array.dtype != sent.dtype:
            return f"{name} is {array.dtype} {list(array.shape)}, not {sent.dtype} {list(sent.shape)}"
    size, own = reply.real("size"), accept.examples(machine)
    least, most = _sizes(accept, machine, request)
    if not least * (1 - 1e-9) <= size <= most * (1 + 1e-9):
        return f"its weighted size is {size:g}, which {own} examples do not have"
    return _too_long(accept.max_update_norm, request, reply) if accept.max_update_norm else ""


def _sizes(accept: Acceptance, machine: int, request: Payload) -> tuple[float, float]:
    """Return the smallest and the largest weighted size that the machine's examples can have."""
    own = accept.examples(machine)
    if "group-counts" in request.numbers:  # every group weighs the same over all machines
        overall = request.integers("group-counts")
        weight = sum(overall) / sum(count > 0 for count in overall)
        groups = zip(accept.groups[machine], overall, strict=True)
        size = sum(count * weight / max(1, total) for count, total in groups)
        return size, size
    return own, own * (request.integer("factor") + 1 if "factor" in request.numbers else 1)


def _too_long(bound: float, request: Payload, reply: Payload) -> str:
    """Object to what goes too far: the weights, and their average, which lies between the last one and the weights."""
    sent = request.arrays["weights"].astype(np.float64)
    length = float(np.linalg.norm(reply.arrays["weights"] - sent))
    if length > bound:
        return f"its update is {length:.3g} long; max-update-norm is {bound:g}"
    if "average" in reply.arrays:
        before = request.arrays.get("average", sent).astype(np.float64)
        away = float(np.linalg.norm(sent - before))
        length = float(np.linalg.norm(reply.arrays["average"] - before))
        if length > away + bound:
            return (
                f"its average moved by {length:.3g}; max-update-norm is {bound:g}, and the weights were {away:.3g} away"
            )
    return ""


def _of_fit(accept: Acceptance, machine: int, request: Payload, reply: Payload) -> str:
    if objection := _of_update(accept, machine, request, reply):
        return objection
    span = Span(request.integer("first"), request.integer("last"), request.integer("total"))
    if "mean-size" in request.numbers:
        span = by_size(span, reply.real("size") / request.real("mean-size"))
    return "" if reply.integer("steps") == span.steps else f"it made {reply.integer('steps')} steps of {span.steps}"


def _of_error_set(accept: Acceptance, machine: int, request: Payload, reply: Payload) -> str:
    examples, errors = accept.examples(machine), reply.integer("errors")
    if reply.integer("examples") != examples:
        return f"it reports on {reply.integer('examples')} examples and has {examples}"
    if errors > examples:
        return f"it calls {errors} of its {examples} examples wrong"
    if "majority" in request.numbers:
        minority, hits = reply.integer("minority"), reply.integer("true-positives")
        if not (0 <= minority <= examples and 0 <= hits <= min(errors, minority)):
            return f"{hits} true positives do not fit {errors} errors and {minority} minority examples"
    return _of_ids(accept.owner(machine), reply.arrays["error-ids"], errors) if accept.ids else ""


def _of_judgement(accept: Acceptance, machine: int, request: Payload, reply: Payload) -> str:
    wrong, sizes = reply.integers("label-errors"), reply.integers("label-sizes")
    if sizes != accept.labels(machine):
        return "its counts per label are not those that it gave before"
    if not _within(wrong, sizes) or sum(wrong) != reply.integer("errors"):
        return f"its errors per label do not add up to {reply.integer('errors')} of its examples"
    return _of_error_set(accept, machine, request, reply)


def _of_ids(owned: Array | None, ids: Array, errors: int) -> str:
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
    if not _within(sizes, accept.labels(machine)) or sum(sizes) > request.integer("sample"):
        return "it looked at more examples than it has or was asked to"
    if not _within(errors, sizes) or both > sum(errors) or not both <= either <= sum(sizes):
        return "its counts do not fit the examples that it looked at"
    return ""


def _of_model(accept: Acceptance, machine: int, request: Payload, reply: Payload) -> str:  # noqa: ARG001
    if reply.integer("machine") != machine:
        return f"it hands out the model of machine {reply.integer('machine')}"
    model = reply.arrays["model"]
    if model.ndim != 1 or model.dtype != np.float32 or len(model) != (accept.parameters or len(model)):
        return f"its model is {model.dtype} {list(model.shape)}, not float32 [{accept.parameters or 'parameters'}]"
    return ""


def _of_counts(accept: Acceptance, machine: int, request: Payload, reply: Payload) -> str:
    count, attributes = reply.integers("count"), reply.integer("attributes")
    if not _within(reply.integers("correct"), count):
        return "it has more correct predictions than examples in a group"
    labels, groups = accept.census.get(machine), accept.groups.get(machine)
    if labels and groups and len(count) != (len(groups) if attributes else len(labels)):
        return f"it counts {len(count)} groups and has {len(groups if attributes else labels)}"
    if accept.held.setdefault((machine, request.integer("split")), count) != count:
        return "it evaluates on other counts than before"
    return ""


def _within(parts: list[int], wholes: list[int]) -> bool:
    return len(parts) == len(wholes) and all(0 <= part <= whole for part, whole in zip(parts, wholes, strict=True))


Rule = Callable[[Acceptance, int, Payload, Payload], str]
RULES: Mapping[str, Rule] = {
    "describe": _of_moments,
    "census": _of_census,
    "learn": _of_update,
    "fit": _of_fit,
    "look": _of_look,
    "identify": _of_error_set,
    "judge": _of_judgement,
    "lend": _of_model,
    "assess": _of_counts,
}
