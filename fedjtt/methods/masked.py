"""The mask that all machines share: how a machine knows it, and a lesson of which only live weights travel.

A mask has a number: how often it has changed. The first is a function of the seed. A machine keeps the last one that it
was told; one that has forgotten it, or missed a change, says so and is sent the whole mask.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from fedjtt.config import RunConfig
from fedjtt.errors import ForgottenError
from fedjtt.methods.base import Array, Node, Payload
from fedjtt.methods.lesson import Lesson
from fedjtt.seeding import numpy_generator
from fedjtt.sparse.density import live_counts
from fedjtt.sparse.layout import Layout
from fedjtt.sparse.live import LiveWeights
from fedjtt.sparse.mask import Mask, first_mask
from fedjtt.sparse.wire import (
    BITS,
    TOGGLES,
    bits_of,
    mask_of_bits,
    slopes_told,
    toggled,
    values_of,
    vector_of,
)
from fedjtt.training import Terms

NUMBER = "mask-number"
QUOTAS, DEAD, WHOLE, TRACED = "growth-quotas", "growth-dead", "growth-whole", "growth-traced"


def layout_of(node: Node) -> Layout:
    """Return the layout of the run's network."""
    return Layout.of(node.initial_model().module)


def drawn_mask(config: RunConfig, layout: Layout) -> Mask:
    """Return the mask that a run begins with: the same on every machine and on the server."""
    counts = live_counts(layout.sparse, config.rest_density, config.rest_distribution)
    return first_mask(layout, counts, numpy_generator(config.seed, "rest/mask"))


def mask_of(node: Node, request: Payload, layout: Layout) -> Mask:
    """Return the mask that a request is about, and keep it.

    Raises
    ------
    ForgottenError
        Where the machine does not know it, and the request does not say it.
    """
    number = request.integer(NUMBER)
    known = int(node.memo[NUMBER][0]) if NUMBER in node.memo else -1
    if BITS in request.arrays:
        mask = mask_of_bits(request.arrays[BITS], layout.size)
    elif known == number:
        return mask_of_bits(node.memo[BITS], layout.size)
    elif TOGGLES in request.arrays and known == number - 1:
        mask = toggled(mask_of_bits(node.memo[BITS], layout.size), request.arrays[TOGGLES])
    elif number == 0:
        mask = drawn_mask(node.config, layout)
    else:
        raise ForgottenError("the machine does not know the present mask: it has restarted, or missed a change")
    node.memo.update({BITS: bits_of(mask), NUMBER: np.array([number])})
    return mask


def remember(node: Node, request: Payload) -> Payload:
    """Keep a mask that the request has in full."""
    mask_of(node, request, layout_of(node))
    return Payload()


class MaskedLesson(Lesson):
    """A round in which dead weights stay 0 and do not travel.

    Where the request asks for it, the machine also says which dead weights its steps pulled at: the mask changes next.
    """

    def __init__(self, node: Node, request: Payload, weights: Tensor, terms: Terms | None) -> None:
        super().__init__(weights, terms)
        self.layout = layout_of(node)
        self.mask = mask_of(node, request, self.layout)
        self.quotas = quotas_of(request)
        decay = node.config.momentum if TRACED in request.numbers else None
        self.live = LiveWeights(torch.from_numpy(self.mask), decay)

    def taken(self, vector: Array) -> Array:
        """Return the live weights."""
        return values_of(vector, self.mask)

    def spread(self, values: Array) -> Array:
        """Return the vector of which these are the live weights."""
        return vector_of(values, self.mask)

    def told(self) -> Payload:
        """Return the momentum of the dead weights, where it is asked for."""
        if self.live is None or self.live.trace is None:
            return Payload()
        return Payload(slopes_told(self.live.trace.cpu().numpy(), self.layout, self.mask, self.quotas))


def quotas_of(request: Payload) -> Sequence[int] | None:
    """Return how many dead weights of each layer a machine is to name; None: all."""
    return None if WHOLE in request.numbers or QUOTAS not in request.numbers else request.integers(QUOTAS)
