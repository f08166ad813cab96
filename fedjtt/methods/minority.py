"""The minority that a robust stage works with, however it was found: both halves."""

from collections.abc import Callable

import torch
from torch import Tensor

from fedjtt.errors import EngineError
from fedjtt.methods.base import Node, Payload, Server
from fedjtt.methods.census import Population
from fedjtt.methods.identification import Identified, pack_identified, unpack_identified
from fedjtt.methods.identify_federated import identify_together
from fedjtt.methods.identify_local import find_own, identify_locally
from fedjtt.methods.identify_peers import identify_with_peers
from fedjtt.methods.judge import judged_errors

IDENTIFY: dict[str, Callable[[Server, Population], Identified]] = {
    "local": identify_locally,
    "federated": identify_together,
    "peers": identify_with_peers,
}
IDS, EXAMPLES = "error-ids", "examples"


def errors_of(node: Node, request: Payload) -> Tensor:
    """Return which of a node's train examples are in the error set, bool ``[n]``.

    On the server by the ids in the request; on a machine by its own finding, or its last judgement by other models.
    """
    if IDS in request.arrays:
        return torch.isin(node.data.train.id, torch.from_numpy(request.arrays[IDS].copy()))
    return find_own(node, request.integer(EXAMPLES)).mask if node.config.identify == "local" else judged_errors(node)


def errors_request(population: Population, found: Identified) -> Payload:
    """Return what :func:`errors_of` needs in a request: ids if, and only if, the server trains on its own data."""
    return Payload({} if found.ids is None else {IDS: found.ids}, {EXAMPLES: population.total})


def find_minority(server: Server, population: Population) -> Identified:
    """Find the machines' error sets, or take them from the checkpoint of a run that was killed afterwards."""
    if (saved := server.saved("identified")) is not None:
        return unpack_identified(saved)
    found = IDENTIFY[server.config.identify](server, population)
    if found.ids is not None and len(found.ids) != sum(found.errors):
        raise EngineError(
            f"the machines announced {sum(found.errors)} errors and named {len(found.ids)} different ids; "
            "two machines hold the same example, or ids were lost"
        )
    server.save("identified", pack_identified(found))
    return found
