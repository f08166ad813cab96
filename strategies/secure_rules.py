"""What the server accepts under secure aggregation: well-formed messages, and a sum that can be one.

Of a masked reply nothing can be judged but its form. Of the sum it is asked whether it fits itself and the census; a
machine that lies within that cannot be found out.
"""

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from fedjtt.methods.base import Payload
from fedjtt.methods.masked import DEAD
from fedjtt.methods.secure import ANSWERED, DROPPED, LAYOUT, MASKED, NEIGHBOURS, PUBLIC, SEALED, SHARES
from fedjtt.methods.summed import FORMS, SECONDS, length_of
from fedjtt.records import PARTITION_ID
from fedjtt.secagg.crypto import PUBLIC_BYTES, SEALED_BYTES, SHARE_BYTES, is_public
from fedjtt.sparse.wire import SLOPES


def objection_to_step(step: str, action: str, request: Payload, reply: Payload) -> str:
    """Return what is wrong with a machine's message, in words, or an empty string."""
    try:
        return _STEPS[step](action, request, reply)
    except KeyError as error:
        return f"it lacks {error.args[0]}"
    except (TypeError, ValueError, OverflowError) as error:
        return str(error)


def objection_to_sum(action: str, request: Payload, reply: Payload, census: Sequence[int] | None) -> str:
    """Return what is wrong with the machines' sum, in words, or an empty string.

    Parameters
    ----------
    census : sequence of int or None
        Train examples per label over all machines, where all have been counted.
    """
    counts = [value for name in FORMS[action].counts if name in reply.numbers for value in _listed(reply, name)]
    if any(value < 0 for value in counts):
        return "a count is negative"
    return _of_weights(request, reply, census) if FORMS[action].weighted else _of_counts(reply, census)


def _of_weights(request: Payload, reply: Payload, census: Sequence[int] | None) -> str:
    for name, array in reply.arrays.items():
        wanted = (request.integer(DEAD),) if name == SLOPES else request.arrays["weights"].shape
        if array.shape != wanted:
            return f"{name} is {list(array.shape)}, not {list(wanted)}"
        if not np.isfinite(array).all():
            return f"{name} has values that are not finite"
    times = float(request.integer("factor") + 1) if "factor" in request.numbers else 1.0
    if "group-weights" in request.numbers:
        times = max(request.reals("group-weights"))
    if census is not None and reply.real("size") > sum(census) * times * (1 + 1e-9):
        return f"its weighted size is {reply.real('size'):g}, which {sum(census)} examples do not have"
    return ""


def _of_counts(reply: Payload, census: Sequence[int] | None) -> str:
    """Object to parts that are larger than their wholes."""
    numbers = reply.numbers
    if "label-counts" in numbers and sum(reply.integers("label-counts")) != reply.integer("examples"):
        return f"its counts do not add up to its {reply.integer('examples')} examples"
    for parts, wholes in (
        ("correct", "count"),
        ("kind-correct", "kind-count"),
        ("label-errors", "label-sizes"),
        ("errors", "examples"),
    ):
        if parts in numbers and not _within(_listed(reply, parts), _listed(reply, wholes)):
            return f"it has more {parts} than {wholes}"
    if "both" in numbers and reply.integer("both") > reply.integer("either"):
        return "more examples are in both sets than in either"
    if census is not None and "label-sizes" in numbers and not _within(reply.integers("label-sizes"), census):
        return "it counts more examples of a label than all machines have"
    if census is not None and "errors" in numbers and reply.integer("examples") > sum(census):
        return f"it reports on {reply.integer('examples')} examples, and all machines have {sum(census)}"
    return ""


def _of_keys(action: str, request: Payload, reply: Payload) -> str:  # noqa: ARG001 (a step's signature)
    objection = _other_form(reply, PUBLIC, (2, PUBLIC_BYTES), np.uint8)
    if objection:
        return objection
    return "" if all(is_public(key.tobytes()) for key in reply.arrays[PUBLIC]) else "its keys are no public keys"


def _of_shares(action: str, request: Payload, reply: Payload) -> str:  # noqa: ARG001
    return _other_form(reply, SEALED, (len(request.arrays[NEIGHBOURS]), SEALED_BYTES), np.uint8)


def _of_masked(action: str, request: Payload, reply: Payload) -> str:  # noqa: ARG001
    form, layout = FORMS[action], reply.integers(LAYOUT)
    known = {LAYOUT, PARTITION_ID, *([SECONDS] if form.timed else [])}
    if more := sorted(reply.numbers.keys() - known):
        return f"it says {more[0]} in the clear"
    if len(layout) != form.parts + len(form.alike):
        return f"its layout has {len(layout)} parts"
    if form.timed and not 0 <= reply.real(SECONDS) < math.inf:
        return f"its seconds are {reply.real(SECONDS)}"
    return _other_form(reply, MASKED, (length_of(action, layout),), np.uint64)


def _of_revealed(action: str, request: Payload, reply: Payload) -> str:  # noqa: ARG001
    named = len(request.arrays[ANSWERED]) + len(request.arrays[DROPPED])
    return _other_form(reply, SHARES, (named, SHARE_BYTES), np.uint8)


_STEPS: Mapping[str, Callable[[str, Payload, Payload], str]] = {
    "keys": _of_keys,
    "shares": _of_shares,
    "masked": _of_masked,
    "reveal": _of_revealed,
}


def _other_form(reply: Payload, name: str, shape: tuple[int, ...], dtype: type) -> str:
    if more := sorted(reply.arrays.keys() - {name}):
        return f"it sends {more[0]}, which was not asked for"
    array = reply.arrays[name]
    if array.shape != shape or array.dtype != dtype:
        return f"its {name} is {array.dtype} {list(array.shape)}, not {np.dtype(dtype)} {list(shape)}"
    return ""


def _listed(reply: Payload, name: str) -> list[int]:
    return reply.integers(name) if isinstance(reply.numbers[name], list) else [reply.integer(name)]


def _within(parts: Sequence[int], wholes: Sequence[int]) -> bool:
    return len(parts) == len(wholes) and all(part <= whole for part, whole in zip(parts, wholes, strict=True))
