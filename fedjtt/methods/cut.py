"""Cutting groups to a quota over machines: both halves. Who stays is a function of seed and id, and of nothing else.

Every example has a number that its id and the seed hash to; of a group those with the smallest numbers stay. Machines
count their numbers in bins, the server finds the bin in which the quota ends, and once more inside it: two exchanges of
counts, and the same subset however the examples are spread.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from fedjtt.methods.base import Node, Payload, Place, Server
from fedjtt.methods.grouping import Groups, groups_of
from fedjtt.methods.identification import added_up
from fedjtt.seeding import derive_seed

BINS = 1024
CUT = "group-cut"


def drawn_numbers(ids: Tensor, seed: int) -> Tensor:
    """Return a number in [0, 1024^2) for every id, int64 ``[n]``."""
    return drawn(ids, seed, [0])[0]


def drawn(ids: Tensor, seed: int, draws: Sequence[int]) -> Tensor:
    """Return every id's number in each of several draws, int64 ``[draws, n]``: splitmix64's mixing of id and seed."""
    key = torch.tensor([derive_seed(seed, "cut", draw) for draw in draws], dtype=torch.int64).unsqueeze(1)
    z = (ids + _signed(0x9E3779B97F4A7C15)) ^ key
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        z = (z ^ _shifted(z, shift)) * _signed(factor)
    return _shifted(z ^ _shifted(z, 31), 44)


def _signed(value: int) -> int:
    """Return 64 bits as torch's int64 has them."""
    return value - 2**64 if value >= 2**63 else value


def _shifted(z: Tensor, bits: int) -> Tensor:
    """Shift to the right without the sign."""
    return (z >> bits) & ((1 << (64 - bits)) - 1)


def kept(node: Node, request: Payload, group: Tensor) -> Tensor:
    """Return which train examples stay, bool ``[n]``; all where the request names no cut."""
    if CUT not in request.numbers:
        return torch.ones(len(group), dtype=torch.bool)
    limits = torch.tensor(request.integers(CUT))
    return drawn_numbers(node.data.train.id, node.config.seed) < limits[group]


def tally(node: Node, request: Payload) -> Payload:
    """Count a machine's numbers per group: in 1,024 bins, or inside the bin that the request names for each group."""
    group = groups_of(node, request)
    number = drawn_numbers(node.data.train.id, node.config.seed)
    groups = len(request.integers("group-sizes"))
    if "bins" in request.numbers:
        inside = number // BINS == torch.tensor(request.integers("bins"))[group]
        group, place = group[inside], number[inside] % BINS
    else:
        place = number // BINS
    counts = torch.bincount(group * BINS + place, minlength=groups * BINS)
    return Payload(numbers={"counts": counts.tolist()})


def cut_groups(server: Server, groups: Groups, quotas: Sequence[int]) -> tuple[list[int], list[int]]:
    """Return the limits below which a number stays, by group, and how many examples of each group then stay.

    Never more than the quota; fewer only where several examples share the number at which it ends.
    """
    first = _counted(server, groups.place, groups.request)
    bins, before = zip(*(_bin_of(counts, quota) for counts, quota in zip(first, quotas, strict=True)), strict=True)
    numbers = {**groups.request.numbers, "bins": list(bins)}
    second = _counted(server, groups.place, Payload(groups.request.arrays, numbers))
    limits, sizes = [], []
    for counts, quota, size, place, earlier in zip(second, quotas, groups.sizes, bins, before, strict=True):
        if quota >= size:
            limits.append(BINS * BINS)
            sizes.append(size)
            continue
        inner, inside = _bin_of(counts, quota - earlier)
        limits.append(place * BINS + inner)
        sizes.append(earlier + inside)
    return limits, sizes


def _bin_of(counts: list[int], quota: int) -> tuple[int, int]:
    """Return the bin in which the quota ends, and how many examples stand before it."""
    total = 0
    for place, count in enumerate(counts):
        if total + count > quota:
            return place, total
        total += count
    return BINS - 1, total - counts[-1]


def _counted(server: Server, place: Place, request: Payload) -> list[list[int]]:
    counts = added_up(server.ask(place, "tally", request), "counts")
    return [counts[start : start + BINS] for start in range(0, len(counts), BINS)]
