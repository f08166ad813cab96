"""What the server accepts of what machines say about dead weights: which arrays, how long, and of which places."""

from collections.abc import Mapping

import numpy as np

from fedjtt.methods.base import Payload
from fedjtt.methods.masked import DEAD, QUOTAS, WHOLE
from fedjtt.sparse.wire import PLACES, SLOPES, VALUES
from strategies.known import Known, Rule, misshapen


def slope_arrays(request: Payload) -> tuple[str, ...]:
    """Return the arrays that a reply says of dead weights, where the request asks about them."""
    if QUOTAS not in request.numbers:
        return ()
    return (SLOPES,) if WHOLE in request.numbers else (PLACES, VALUES)


def objection_to_slopes(request: Payload, reply: Payload) -> str:
    """Return what is wrong with what a reply says of dead weights, or an empty string."""
    names = slope_arrays(request)
    if not names:
        return ""
    dead = request.integer(DEAD)
    wanted = dead if names == (SLOPES,) else sum(request.integers(QUOTAS))
    for name in names:
        if objection := misshapen(reply, {name: (wanted,)}, np.int32 if name == PLACES else np.float32):
            return objection
    places = reply.arrays.get(PLACES)
    if places is None or not len(places):
        return ""
    if (np.diff(places) <= 0).any() or places[0] < 0 or places[-1] >= dead:
        return f"its {PLACES} are not {wanted} different ones of {dead}, ascending"
    return ""


def _of_slopes(known: Known, machine: int, request: Payload, reply: Payload) -> str:
    own, size = known.examples(machine), reply.real("size")
    if not known.noisy and size != own:
        return f"its weighted size is {size:g}, and it has {own} examples"
    return objection_to_slopes(request, reply)


SPARSE_RULES: Mapping[str, Rule] = {"slopes": _of_slopes}
