"""What the server accepts of a machine's reply: the right names and shapes, finite values, counts that fit its data.

A broken or hostile machine must not spoil a sum. What is objected to here is named in the log and in the result, and
the reply counts as missing. What a machine can invent without contradicting itself, such as plausible weights, is the
business of the aggregation rules (Krum, trimmed mean, median).
"""

import math
from collections.abc import Mapping

import numpy as np

from fedjtt.config import RunConfig
from fedjtt.methods.base import Payload
from strategies.known import Known, Owner
from strategies.reply_rules import RULES
from strategies.sparse_rules import slope_arrays

# What a reply to an action must have: whole numbers and lists of them, none negative, and other numbers.
_REPORT = ("examples", "errors", "steps", "tries", "useless")
WHOLE: Mapping[str, tuple[str, ...]] = {
    "describe": ("examples",), "census": ("examples",), "fit": ("steps",), "identify": _REPORT, "judge": _REPORT,
    "look": ("both", "either"),
    "lend": ("machine", "steps", "tries", "useless"), "assess": ("attributes",),
    "features": ("labels", "width"), "moments": ("rows",), "spectrum": ("width",), "gram": ("rows",),
    "squares": ("rows",), "align": ("rows", "negative"), "drop": ("removed",),
}  # fmt: skip
LISTS: Mapping[str, tuple[str, ...]] = {
    "census": ("label-counts", "group-counts"), "identify": ("label-errors", "label-sizes"),
    "judge": ("label-errors", "label-sizes"),
    "look": ("label-errors", "label-sizes"), "assess": ("correct", "count"), "tally": ("counts",),
    "features": ("count",), "slope": ("rows",), "spectrum": ("count",), "scatter": ("count",), "divide": ("count",),
    "target": ("count",), "rank": ("counts",), "drop": ("label-removed", "group-removed"),
}  # fmt: skip
REAL: Mapping[str, tuple[str, ...]] = {
    "fit": ("size", "loss", "seconds"), "slopes": ("size", "seconds"),
    "learn": ("size", "seconds"), "identify": ("seconds",), "judge": ("seconds",),
    "look": ("seconds",), "lend": ("seconds",),
    **dict.fromkeys(("gram", "squares", "scatter", "divide", "target", "align"), ("seconds",)),
}  # fmt: skip


SUMMED_ARRAYS: Mapping[str, tuple[str, ...]] = {
    "moments": ("total", "squares", "gram"), "draw": ("counts",), "slope": ("gradient",), "score": ("correct", "count"),
    "gram": ("gram",), "squares": ("squares",), "scatter": ("total", "products"), "target": ("sums",),
}  # fmt: skip


class Acceptance(Known):
    """Judges a run's replies."""

    @classmethod
    def of_run(cls, config: RunConfig, owner: Owner) -> "Acceptance":
        """Return what judges a run's replies."""
        return cls(
            owner,
            config.max_update_norm,
            biased=config.method == "lff",
            kind=config.groups_kind,
            alike=bool(config.noise_multiplier),
            noisy=bool(config.count_noise),
            ids=config.robust == "central",
            average=config.averaging == "ema",
        )

    def objection(self, action: str, machine: int, request: Payload, reply: Payload) -> str:
        """Return what is wrong with a reply, in words, or an empty string."""
        rule = RULES.get(action)
        if rule is None:
            return ""
        try:
            wanted = self._arrays(action, request, reply)
            misformed = _not_finite(reply) or _other_arrays(wanted, reply) or _negative(action, reply)
            return misformed or rule(self, machine, request, reply)
        except KeyError as error:
            return f"it lacks {error.args[0]}"
        except (TypeError, ValueError, OverflowError) as error:
            return str(error)

    def _arrays(self, action: str, request: Payload, reply: Payload) -> tuple[str, ...]:
        if action == "describe":
            categories = sum(name.startswith("category-") for name in reply.arrays)
            return ("present", "total", "squares", "schema", *(f"category-{place}" for place in range(categories)))
        if action in ("name", "drop"):
            return ("ids",) if self.ids else ()
        if action in ("identify", "judge"):
            return ("error-ids",) if self.ids else ()
        grown = slope_arrays(request)
        fitted = ("weights", *(["average"] if self.average else []), *(["biased"] if self.biased else []), *grown)
        known = {"fit": fitted, "slopes": grown, "learn": ("weights",), "lend": ("model",), "spectrum": ("sums",)}
        return {**known, **SUMMED_ARRAYS}.get(action, ())


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
