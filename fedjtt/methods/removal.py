"""Removing train examples over machines: both halves. Each machine drops its own, and knows how far from counts alone.

Every example has a key, the lower the sooner it goes: its score, then, where scores are equal, a number that its id and
the seed hash to. Machines count their keys in bins, inside the bin in which the quota ends again, four times: the
same examples go however they are spread.
"""

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor

from fedjtt.data.grouped import count_labels, minority_mask
from fedjtt.methods.attribute import scores_of
from fedjtt.methods.base import Node, Payload, Scalar, Server
from fedjtt.methods.cut import drawn_numbers
from fedjtt.methods.identification import added_up

LEVELS, BITS = 4, 13
BINS = 2**BITS
DRAWN_BITS = 20
ZERO = 2**31 << DRAWN_BITS
"""Keys below are those of negative scores."""

LIMIT, IDS, MAJORITY = "removal-limit", "removed-ids", "majority"


def ordered(scores: Tensor) -> Tensor:
    """Return whole numbers from 0 to 2^32 that are in the order of scores rounded to float32; -0 is 0."""
    bits = scores.float().view(torch.int32).long()
    size = bits & 0x7FFFFFFF
    return 2**31 + torch.where(bits < 0, -size, size)


def keys_of(node: Node, request: Payload) -> Tensor:
    """Return the key of every train example of a machine, int64 ``[n]``, as ``d3m-remove-by`` says."""
    part, by = node.data.train, node.config.d3m_remove_by
    drawn = drawn_numbers(part.id, node.config.seed)
    if by == "random":
        return drawn
    if by == "majority":
        minority = minority_mask(part.dataset, torch.tensor(request.integers(MAJORITY)))[part.rows]
        return (minority.long() << DRAWN_BITS) | drawn
    return (ordered(scores_of(node)) << DRAWN_BITS) | drawn


def stays(node: Node, request: Payload) -> Tensor:
    """Return which train examples of a node are left, bool ``[n]``; all where the request removes none."""
    part = node.data.train
    if IDS in request.arrays:
        return ~torch.isin(part.id, torch.from_numpy(request.arrays[IDS].copy()))
    if LIMIT not in request.numbers:
        return torch.ones(len(part), dtype=torch.bool)
    return keys_of(node, request) >= request.integer(LIMIT)


def rank(node: Node, request: Payload) -> Payload:
    """Count the machine's keys in bins of their next 13 bits, those whose bits so far are the request's."""
    keys, level = keys_of(node, request), request.integer("level")
    shift = (LEVELS - level) * BITS
    places = (keys[keys >> shift == request.integer("prefix")] >> (shift - BITS)) % BINS
    return Payload(numbers={"counts": torch.bincount(places, minlength=BINS).tolist()})


def drop(node: Node, request: Payload) -> Payload:
    """Report how many of the machine's examples go; their ids if, and only if, the server trains on its own data."""
    part = node.data.train
    gone = ~stays(node, request)
    label, known = part.dataset.label[part.rows][gone], part.dataset.attribute is not None
    group = part.dataset.group[part.rows][gone] if known else label[:0]
    by_group = torch.bincount(group, minlength=part.dataset.num_groups if known else 0)
    numbers: dict[str, Scalar] = {
        "removed": int(gone.sum()),
        "label-removed": count_labels(label, part.dataset.num_labels),
        "group-removed": by_group.tolist(),
    }
    return Payload({"ids": part.id[gone].numpy()} if node.config.robust == "central" else {}, numbers)


def limit_for(server: Server, quota: int, told: dict[str, Any]) -> int:
    """Return the limit below which `quota` keys are, over all machines.

    Never more; fewer only where several examples share score and number.
    """
    prefix, before = 0, 0
    for level in range(LEVELS):
        replies = server.ask("machines", "rank", Payload(numbers={**told, "level": level, "prefix": prefix}))
        place, inside = _bin_of(added_up(replies, "counts"), quota - before)
        prefix, before = prefix * BINS + place, before + inside
    return prefix


def _bin_of(counts: Sequence[int], quota: int) -> tuple[int, int]:
    """Return the bin in which the quota ends, and how many examples stand before it."""
    through = list(accumulate(counts))
    place = next((place for place, total in enumerate(through) if total > quota), len(counts) - 1)
    return place, through[place] - counts[place]
