"""What the server asks about growth: how the network is made, and where the dead weights' gradients point.

A gradient leaves a machine signed, for the sum over machines to be the gradient of all data; the sum of magnitudes
would grow weights that the machines pull apart.
"""

import time
from collections.abc import Callable

import torch

from fedjtt.cache import pack_json
from fedjtt.data.sampling import blank
from fedjtt.methods.base import Node, Payload
from fedjtt.methods.fit import batches_of
from fedjtt.methods.lesson import Lesson
from fedjtt.methods.masked import MaskedLesson, layout_of, quotas_of
from fedjtt.sparse.flops import count_flops
from fedjtt.sparse.wire import slopes_told
from fedjtt.training import gradient_of


def sketch(node: Node, request: Payload) -> Payload:  # noqa: ARG001 (an action's signature)
    """Say how the run's network is made: its parameters, and each layer's operations for one example."""
    layout = layout_of(node)
    flops = count_flops(node.initial_model().module, blank(node.data.train.dataset.x), layout)
    about = {"shapes": layout.shapes(), "inference": flops.inference, "training": flops.training}
    return Payload({"about": pack_json(about)})


def slopes(node: Node, request: Payload, lesson_of: Callable[[Node, Payload], Lesson]) -> Payload:
    """Report the gradient of the dead weights at the weights in the request, over one batch as training draws it."""
    start = time.thread_time()
    lesson = lesson_of(node, request)
    if not isinstance(lesson, MaskedLesson):
        raise TypeError(f"method {node.config.method} has no mask")
    size, part = float(lesson.weights.double().sum()), node.data.train
    gradient = torch.zeros(lesson.layout.size)
    if size:
        places, terms = batches_of(node, lesson, 1, node.generator("rest/growth", request.integer("round")))
        model = node.load(lesson.spread(request.arrays["weights"]))
        gradient = gradient_of(model, part.dataset, part.rows[places[0]], terms, places[0]).cpu()
    told = slopes_told(gradient.numpy(), lesson.layout, lesson.mask, quotas_of(request))
    return Payload(told, {"size": size, "seconds": time.thread_time() - start})
