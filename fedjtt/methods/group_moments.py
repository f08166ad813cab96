"""The moments of each group's features over whoever holds the train rows: both halves.

A machine sends counts and sums over a group's rows; a sum over fewer than ``min-count`` rows of a machine's own is not
sent. The server needs nothing else for the covariances, so they are the same however the rows are spread.
"""

import numpy as np
import torch
from torch import Tensor

from fedjtt.attribution.kernel import packed, unpacked
from fedjtt.errors import ConfigError, EngineError
from fedjtt.methods.assess import place_of
from fedjtt.methods.averaging import ordered_sum
from fedjtt.methods.base import Array, Node, Payload, Server
from fedjtt.methods.census import count_population
from fedjtt.methods.identification import added_up
from fedjtt.spectrum import GroupMoments, Spectra, group_moments, spectra_of

SUMS = "sums"


def sum_features(node: Node, request: Payload) -> Payload:
    """Report the moments of the machine's train features per group, for the weights in the request."""
    for key in ("noise-multiplier", "count-noise"):
        if node.config.flat()[key]:
            raise ConfigError(
                f"{key} is {node.config.flat()[key]}: sums of features would say what the noise hides; analyse a run "
                "without it"
            )
    part = node.data.train
    if part.dataset.attribute is None:
        raise ConfigError("no attribute of train is known, so there are no groups to compare; name an attribute")
    weights, parameters = request.arrays["weights"], len(node.network().vector)
    if len(weights) != parameters:
        raise ConfigError(
            f"the weights are {len(weights)} numbers, and model {node.config.model} has {parameters} for this data; "
            "give what the run was trained on"
        )
    found = group_moments(node.load(weights), part.dataset, part.rows)
    if node.config.own_data:
        found = found.without_fewer_than(node.config.min_count)
    return Payload({SUMS: _packed(found)}, {"count": found.count.tolist(), "width": found.total.shape[1]})


def gather_spectra(server: Server, weights: Array) -> Spectra:
    """Return the spectra of the train features over all machines, or of the server where it holds the data."""
    place = place_of(server.config)
    population = count_population(server, place)
    if population.group_counts is None:
        raise ConfigError("no attribute of train is known, so there are no groups to compare; name an attribute")
    replies = server.ask(place, "spectrum", Payload({"weights": weights}))
    widths = {reply.integer("width") for reply in replies}
    if len(widths) != 1:
        raise EngineError("the machines' features have different widths; start all of them with the same model")
    sums = ordered_sum([reply.arrays[SUMS] for reply in replies])
    moments = _unpacked(torch.tensor(added_up(replies, "count")), sums, widths.pop())
    return spectra_of(moments, population.group_counts, population.num_labels)


def length_of_sums(groups: int, width: int) -> int:
    """Return how many numbers the moments of so many groups are."""
    return groups * (width + width * (width + 1) // 2)


def _packed(moments: GroupMoments) -> Array:
    """Return the sums as a vector: of the outer products, which are symmetric, one triangle."""
    return torch.cat([moments.total.flatten(), packed(moments.outer).flatten()]).numpy()


def _unpacked(count: Tensor, sums: Array, width: int) -> GroupMoments:
    total, outer = map(torch.from_numpy, np.split(sums, [len(count) * width]))
    return GroupMoments(count, total.view(len(count), width), unpacked(outer.view(len(count), -1)))
