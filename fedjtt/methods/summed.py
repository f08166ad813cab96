"""What of a reply is summed over machines without anybody seeing the single ones, and how: both halves.

Counts are added up. Weights and losses count by the machine's size: what travels is their product with it, and the sum
is divided by the sum of the sizes. Seconds are said in the clear, for a sum does not tell the slowest machine's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

import numpy as np

from fedjtt.methods.base import Array, Payload, Scalar
from fedjtt.secagg.fixed_point import Ring, decode_real, decode_whole, encode_real, encode_whole

SIZE, SECONDS, MACHINES = "size", "seconds", "machines"
ABSENT, ALONE = -2, -1


@dataclass(frozen=True)
class Form:
    """What becomes of an action's reply.

    Attributes
    ----------
    counts : tuple of str
        Whole numbers and lists of them: added up.
    weighted : tuple of str
        Arrays and numbers of which the mean by size is taken; ``size`` itself is added up.
    sums : tuple of str
        Other numbers and lists of them: added up.
    arrays : tuple of str
        Arrays of one dimension: added up, and arrays again.
    alike : tuple of str
        Whole numbers that are the same on every machine, and said in the clear.
    timed : bool
        Whether the reply says its seconds.
    """

    counts: tuple[str, ...] = ()
    weighted: tuple[str, ...] = ()
    sums: tuple[str, ...] = ()
    arrays: tuple[str, ...] = ()
    alike: tuple[str, ...] = ()
    timed: bool = True

    @property
    def parts(self) -> int:
        """Number of parts whose lengths a layout begins with."""
        return len(self.counts) + len(self.weighted) + len(self.sums) + len(self.arrays)


_REPORT = ("examples", "errors", "useless", "minority", "true-positives", "label-errors", "label-sizes")
FORMS: Mapping[str, Form] = {
    "census": Form(("examples", "label-counts", "group-counts"), timed=False),
    "learn": Form(weighted=("weights",)),
    "look": Form(("label-errors", "label-sizes", "both", "either")),
    "identify": Form(_REPORT),
    "judge": Form(_REPORT),
    "tally": Form(("counts",), timed=False),
    "slopes": Form(weighted=("slopes",)),
    "fit": Form(
        weighted=("weights", "average", "slopes", "loss"), sums=("dro-gains", "dro-seen", "eta-sum"), alike=("steps",)
    ),
    "assess": Form(
        ("correct", "count", "reference-correct", "reference-count", "kind-correct", "kind-count"),
        alike=("attributes",),
        timed=False,
    ),
    "spectrum": Form(("count",), arrays=("sums",), alike=("width",), timed=False),
    "gram": Form(("rows",), arrays=("gram",)),
    "squares": Form(("rows",), arrays=("squares",)),
    "scatter": Form(("count",), arrays=("total", "products")),
    "divide": Form(("count",)),
    "target": Form(("count",), sums=("losses",), arrays=("sums",)),
    "align": Form(("rows", "negative")),
    "rank": Form(("counts",), timed=False),
    "drop": Form(("removed", "label-removed", "group-removed"), timed=False),
}
"""By action; no other reply of a run has anything to hide in a sum, and identify = peers is refused."""


@dataclass(frozen=True)
class Flat:
    """A reply as a vector.

    Attributes
    ----------
    vector : ndarray
        uint64: what is masked.
    layout : list of int
        In the clear, the same on every machine: how long each part is (-2: not there, -1: one number), then what is
        alike.
    """

    vector: Ring
    layout: list[int]


def flatten(action: str, reply: Payload, machines: int) -> Flat:
    """Return a machine's reply as a vector whose sum over machines can be read by :func:`read_sum`."""
    form, parts, layout = FORMS[action], [], []
    size = reply.real(SIZE) if form.weighted else 1.0
    if form.weighted:
        parts.append(encode_real(np.array([size]), SIZE, machines))
    for name in form.counts:
        value = reply.numbers.get(name)
        layout.append(_length_of(value))
        parts.append(encode_whole(_listed(value), name, machines))
    for name in form.weighted:
        held = reply.arrays.get(name, reply.numbers.get(name))
        layout.append(_length_of(held))
        values = np.array([] if held is None else held, dtype=np.float64).reshape(-1)
        parts.append(encode_real(values * size, name, machines))
    for name in (*form.sums, *form.arrays):
        told = reply.arrays.get(name) if name in form.arrays else reply.numbers.get(name)
        layout.append(_length_of(told))
        values = np.array([] if told is None else told, dtype=np.float64).reshape(-1)
        parts.append(encode_real(values, name, machines))
    return Flat(np.concatenate(parts), layout + [reply.integer(name) for name in form.alike])


def length_of(action: str, layout: Sequence[int]) -> int:
    """Return how long a vector of this layout is."""
    form = FORMS[action]
    return bool(form.weighted) + sum(map(_numbers_in, layout[: form.parts]))


def read_sum(action: str, total: Flat, seconds: Sequence[float], machines: int) -> Payload:
    """Return the one reply that stands for those of `machines` machines.

    Raises
    ------
    ValueError
        Where the sizes do not add up to something: there is no mean.
    """
    form, parts = FORMS[action], _parts(action, total)
    numbers: dict[str, Scalar] = {MACHINES: machines, **({SECONDS: list(seconds)} if form.timed else {})}
    arrays: dict[str, Array] = {}
    for name, (length, part) in zip(form.counts, parts, strict=False):
        if length != ABSENT:
            values = decode_whole(part)
            numbers[name] = values[0] if length == ALONE else values
    if form.weighted:
        numbers[SIZE] = size = float(decode_real(total.vector[:1])[0])
        if size <= 0:
            raise ValueError(f"the machines' sizes add up to {size:g}")
        for name, (length, part) in zip(form.weighted, parts[len(form.counts) :], strict=False):
            if length == ALONE:
                numbers[name] = float(decode_real(part)[0]) / size
            elif length != ABSENT:
                arrays[name] = (decode_real(part) / size).astype(np.float32)
    others = (*form.sums, *form.arrays)
    for name, (length, part) in zip(others, parts[len(form.counts) + len(form.weighted) :], strict=True):
        if name in form.arrays:
            arrays[name] = decode_real(part)
        elif length != ABSENT:
            reals = decode_real(part).tolist()
            numbers[name] = reals[0] if length == ALONE else reals
    numbers |= dict(zip(form.alike, total.layout[len(parts) :], strict=True))
    return Payload(arrays, numbers)


def _parts(action: str, total: Flat) -> list[tuple[int, Ring]]:
    """Return every part's length, as the layout says it, and its stretch of the vector; the size stands before them."""
    form = FORMS[action]
    lengths = total.layout[: form.parts]
    ends = list(accumulate(map(_numbers_in, lengths), initial=int(bool(form.weighted))))
    return [(length, total.vector[first:end]) for length, (first, end) in zip(lengths, pairwise(ends), strict=True)]


def _numbers_in(length: int) -> int:
    return {ABSENT: 0, ALONE: 1}.get(length, length)


def _length_of(value: Scalar | Array | None) -> int:
    if value is None:
        return ABSENT
    return len(value) if isinstance(value, list | np.ndarray) else ALONE


def _listed(value: Scalar | None) -> list[int]:
    values = [] if value is None else value if isinstance(value, list) else [value]
    if not all(isinstance(each, int) for each in values):
        raise TypeError(f"{value!r} is not a count")
    return [int(each) for each in values]
