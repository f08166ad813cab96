"""What a machine does where training examples' effects are measured: sums over its features, and its own scores.

Scores stay on the machine, in its memo; what it lost in a restart it is asked to compute again. Where machines have
rows of their own, a sum over fewer than ``min-count`` rows is not sent: those rows do not take part.
"""

import hashlib
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from fedjtt.attribution.kernel import packed
from fedjtt.attribution.projection import Projection
from fedjtt.attribution.trak import TrakSettings, gram_of, influences, projection_of, squares_of
from fedjtt.cache import STAGE_KEYS
from fedjtt.config import RunConfig, digest_of
from fedjtt.data.sampling import blank
from fedjtt.errors import ForgottenError
from fedjtt.evaluation import last_layer
from fedjtt.methods.base import Array, Node, Part, Payload

SCORES = "removal-scores"
# What sums over a machine's features depend on, beside its number, the weights and what the request says.
GRAM_KEYS = (
    *STAGE_KEYS, "machines", "partition", "dirichlet-alpha", "attribution-layers", "attribution-kernel",
    "projection", "projection-dimension", "projection-dtype",
)  # fmt: skip


def trak_settings(config: RunConfig) -> TrakSettings:
    """Return how a run's gradients are taken and projected."""
    return TrakSettings(
        layers=config.attribution_layers, projection=config.projection, dimension=config.projection_dimension,
        dtype=config.projection_dtype, kernel=config.attribution_kernel, ridge=config.attribution_ridge,
        seed=config.seed,
    )  # fmt: skip


def projection_at(node: Node, weights: Array, number: int) -> Projection:
    """Return the projection of one of several models, at its weights."""
    dataset, device = node.data.train.dataset, node.config.device
    example = blank(dataset.x).to(device)
    return projection_of(trak_settings(node.config), node.load(weights), example, number)


def projections_at(node: Node, request: Payload) -> list[Projection]:
    """Return the projections of all models in a request."""
    return [projection_at(node, weights, number) for number, weights in enumerate(request.arrays["weights"])]


def measure(node: Node, request: Payload) -> Payload:
    """Report how many weights attribution takes gradients by, and to how many numbers these are projected."""
    model = node.load(request.arrays["weights"])
    last = node.config.attribution_layers == "last"
    parameters = sum(p.numel() for p in last_layer(model.module).parameters()) if last else len(model.weights)
    return Payload(numbers={"parameters": parameters, "width": min(parameters, node.config.projection_dimension)})


def gram(node: Node, request: Payload) -> Payload:
    """Report the kernel between features over the machine's train rows, as a triangle."""
    rows = taking_part(node, node.data.train)

    def compute() -> Tensor:
        projection = projection_at(node, request.arrays["weights"], request.integer("model"))
        return packed(gram_of(projection, node.config.attribution_kernel, node.data.train.dataset, rows))

    found, seconds = remembered(node, "gram", request, compute)
    return Payload({"gram": found}, {"rows": len(rows), "seconds": seconds})


def squares(node: Node, request: Payload) -> Payload:
    """Report Phi^T D^2 Phi over the machine's train rows and all models' features, as a triangle."""
    rows = taking_part(node, node.data.train)

    def compute() -> Tensor:
        return packed(squares_of(projections_at(node, request), node.data.train.dataset, rows))

    found, seconds = remembered(node, "squares", request, compute)
    return Payload({"squares": found}, {"rows": len(rows), "seconds": seconds})


def align(node: Node, request: Payload) -> Payload:
    """Score every train example of the machine by the vectors in the request, one a model, and keep the scores."""
    part = node.data.train

    def compute() -> Tensor:
        vectors = [torch.from_numpy(vector.copy()).unsqueeze(0) for vector in request.arrays["vectors"]]
        return influences(projections_at(node, request), vectors, part.dataset, part.rows)[:, 0]

    scores, seconds = remembered(node, "align", request, compute)
    node.memo[SCORES] = scores
    return Payload(numbers={"rows": len(part), "negative": int((scores < 0).sum()), "seconds": seconds})


def scores_of(node: Node) -> Tensor:
    """Return the machine's scores, float64 ``[n]``.

    Raises
    ------
    ForgottenError
        Where the machine has lost them.
    """
    if SCORES not in node.memo:
        raise ForgottenError("the machine has forgotten its examples' scores")
    return torch.from_numpy(node.memo[SCORES].copy())


def taking_part(node: Node, part: Part) -> Tensor:
    """Return a part's rows, none where they are too few for a sum over them to be sent."""
    return part.rows[:0] if len(part) < least_rows(node) else part.rows


def least_rows(node: Node) -> int:
    """Return the fewest rows that a sum is sent of."""
    return node.config.min_count if node.config.own_data else 0


def remembered(
    node: Node, what: str, request: Payload, compute: Callable[[], Tensor], *inputs: Tensor
) -> tuple[Array, float]:
    """Return what is computed, and its CPU seconds; from the machine's cache where it has been before.

    Parameters
    ----------
    inputs : Tensor
        What it depends on beside the request, the data and the keys of attribution.
    """
    arrays = [*request.arrays.values(), *(each.numpy() for each in inputs)]
    asked = [hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest() for array in arrays]
    about = [node.config.subset(GRAM_KEYS), node.partition_id, node.num_partitions, asked, dict(request.numbers)]
    key = digest_of(["attribution", what, *about])
    saved = node.cache.load(key) if node.cache else None
    if saved is None:
        start = time.thread_time()
        found = compute().numpy()
        saved = {"found": found, "seconds": np.array(time.thread_time() - start)}
        if node.cache:
            node.cache.save(key, saved)
    return saved["found"], float(saved["seconds"])
