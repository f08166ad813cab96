"""Identification by vote: every machine's own model also judges a few other machines' data. Models travel, data stays.

A machine's model is right about rare examples that it has seen often enough to learn them by heart; models of other
machines have not seen them. Over the server N models travel up and N x peers down.
"""

from collections.abc import Sequence

import numpy as np

from fedjtt.methods.base import Node, Payload, Server
from fedjtt.methods.census import Population
from fedjtt.methods.identification import Identified, forget_found, join_reports, request_of
from fedjtt.methods.identify_local import OWN_MODEL, find_own
from fedjtt.seeding import numpy_generator


def lend(node: Node, request: Payload) -> Payload:
    """Train the machine's own model and hand it out, with what became of it."""
    forget_found(node)  # an earlier judgement of this machine is not what its own model found
    node.memo.pop(OWN_MODEL, None)
    found = find_own(node, request.integer("examples"))
    forget_found(node)  # what its own model found is not the vote, should the judgement never come
    numbers = {
        "machine": node.partition_id, "steps": found.steps, "seconds": found.seconds, "tries": found.tries,
        "useless": int(found.flaw != "" or not len(node.data.train)),
    }  # fmt: skip
    return Payload({"model": node.memo[OWN_MODEL]}, numbers)


def peers_of(machines: Sequence[int], peers: int, seed: int) -> dict[int, list[int]]:
    """Return, for every machine, the machines whose models judge its data.

    The next ones on a ring in an order drawn by seed, so that every model travels equally often.
    """
    ring = [machines[int(index)] for index in numpy_generator(seed, "peers").permutation(len(machines))]
    others = min(peers, len(ring) - 1)
    return {
        machine: [ring[(place + step) % len(ring)] for step in range(1, others + 1)]
        for place, machine in enumerate(ring)
    }


def identify_with_peers(server: Server, population: Population) -> Identified:
    """Collect the machines' models, send each machine its peers' and let it split its data by their vote."""
    config, numbers = server.config, request_of(population)
    lent = {reply.integer("machine"): reply for reply in server.ask("machines", "lend", Payload(numbers=numbers))}
    sound = {machine: reply.arrays["model"] for machine, reply in lent.items() if not reply.integer("useless")}
    if len(sound) < len(lent):
        useless = len(lent) - len(sound)
        server.note(f"{useless} of {len(lent)} machines' own models were useless and judged no data")
    chosen = peers_of(sorted(lent), config.peers, config.seed)
    requests = {}
    for machine, reply in lent.items():
        models = [sound[peer] for peer in chosen[machine] if peer in sound]
        stacked = np.stack(models) if models else np.zeros((0, 0), dtype=np.float32)
        told = {name: reply.integer(name) for name in ("steps", "tries")}
        requests[machine] = Payload({"models": stacked}, {**numbers, **told, "own": int(machine in sound)})
    replies = server.ask("machines", "judge", requests)
    server.keep("judge", requests)
    seconds = [reply.real("seconds") for reply in lent.values()]
    return join_reports(server, replies, {"sum": sum(seconds), "slowest": max(seconds)})
