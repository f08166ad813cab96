"""Who shares secrets with whom: everybody with everybody, and from 22 machines on, neighbours on a ring (SecAgg+)."""

from collections.abc import Iterable

from fedjtt.seeding import numpy_generator

FEWEST_NEIGHBOURS = 20


def neighbours_of(machines: Iterable[int], seed: int, server_round: int) -> dict[int, list[int]]:
    """Return every machine's neighbours, ascending; whoever is one's neighbour has it as its own.

    On a ring in an order drawn by seed, so that it does not depend on the order of `machines`, half of the neighbours
    stand on either side. Bell et al. (2020) show that a number is enough that grows with the logarithm of all.
    """
    known = sorted(set(machines))
    half = number_of_neighbours(len(known)) // 2
    if 2 * half >= len(known) - 1:
        return {machine: [other for other in known if other != machine] for machine in known}
    drawn = numpy_generator(seed, "secure-ring", server_round).permutation(len(known))
    ring = [known[int(place)] for place in drawn]
    around = [step for step in range(-half, half + 1) if step]
    place_of = {machine: place for place, machine in enumerate(ring)}
    return {machine: sorted(ring[(place_of[machine] + step) % len(ring)] for step in around) for machine in known}


def number_of_neighbours(machines: int) -> int:
    """Return how many neighbours a machine has on a ring: an even number, at least 20 and about 4 log2 of all."""
    return max(FEWEST_NEIGHBOURS, 4 * (machines - 1).bit_length())


def threshold_of(holders: int) -> int:
    """Return how many of a secret's holders, the owner among them, it takes to know it: more than half.

    So no two disjoint sets of holders can be told different things about who has dropped out.
    """
    return holders // 2 + 1
