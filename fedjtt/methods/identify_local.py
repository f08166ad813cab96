"""Local identification, the original's: every machine trains a model of its own on its part and keeps its errors.

Nothing is exchanged while the machines train. Afterwards a machine reports the ids of its errors
(``robust = central``: the server has the data and must know which), or only counts (``federated``).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fedjtt.cache import pack_json, unpack_json
from fedjtt.config import digest_of
from fedjtt.data.grouped import minority_mask
from fedjtt.data.sampling import shuffled_passes
from fedjtt.evaluation import precision_recall
from fedjtt.inference.error_set import misclassified, pack_mask, unpack_mask
from fedjtt.methods.base import Array, Node, Payload, Server
from fedjtt.methods.census import Population
from fedjtt.training import Span, TrainSettings, train

# Everything that a machine's identification depends on, beside its number and the number of steps.
LOCAL_KEYS = (
    "dataset", "difficulty", "corner", "spurious-strength", "label-noise", "core-noise", "seed", "threads", "model",
    "machines", "partition", "dirichlet-alpha", "identify", "identify-epochs", "identify-batch-size",
    "identify-learning-rate", "identify-weight-decay", "momentum", "device",
)  # fmt: skip


@dataclass(frozen=True)
class Identified:
    """The machines' error sets, in the order of their partition ids.

    Attributes
    ----------
    examples, errors : list of int
        Train examples and errors of each machine.
    ids : ndarray or None
        int64, ascending: the union of the reported ids; None where only counts were asked for.
    report : dict
        What the result says of the identification.
    seconds : dict
        CPU seconds, ``sum`` over the machines and the ``slowest``.
    """

    examples: list[int]
    errors: list[int]
    ids: Array | None
    report: dict[str, Any]
    seconds: dict[str, float]


def error_mask(node: Node, steps: int) -> tuple[Tensor, float]:
    """Return the machine's error mask and the CPU seconds of finding it.

    Kept in the machine's memo and, where there is one, in its cache; computed again where both are lost (a node that
    restarts forgets its memo), with the same result.
    """
    examples = len(node.data.train)
    key = digest_of(["identify", node.config.subset(LOCAL_KEYS), node.partition_id, node.num_partitions, steps])
    saved = node.memo if "error-mask" in node.memo else (node.cache.load(key) if node.cache else None)
    if saved is None:
        mask, seconds = _train_and_split(node, steps)
        saved = {"error-mask": pack_mask(mask), "error-about": pack_json({"seconds": seconds})}
        if node.cache:
            node.cache.save(key, saved)
    node.memo.update(saved)
    return unpack_mask(saved["error-mask"], examples), float(unpack_json(saved["error-about"])["seconds"])


def _train_and_split(node: Node, steps: int) -> tuple[Tensor, float]:
    config, part = node.config, node.data.train
    copies = torch.ones(len(part), dtype=torch.int64)
    batches = shuffled_passes(copies, config.identify_batch_size, steps, node.generator("identify"))
    settings = TrainSettings(config.identify_learning_rate, config.momentum, config.identify_weight_decay)
    model = node.initial_model()
    outcome = train(model, part.dataset, part.rows[batches], settings, Span(0, steps, steps))
    return misclassified(model, part.dataset, part.rows), outcome.seconds


def identification_steps(epochs: int, examples: int, batch_size: int) -> int:
    """Return the steps of `epochs` passes; a last, partial batch is filled up."""
    return epochs * -(-examples // min(batch_size, examples))


def local_steps(node: Node, request: Payload) -> int:
    """Return this machine's steps; ``same-updates`` makes as many as one machine with all the data would."""
    config = node.config
    same_updates = config.identify_schedule == "same-updates"
    examples = request.integer("examples") if same_updates else len(node.data.train)
    return identification_steps(config.identify_epochs, examples, config.identify_batch_size)


def identify(node: Node, request: Payload) -> Payload:
    """Find the machine's errors and report counts; ids too if, and only if, the server trains on its own data.

    The attribute is read only to count how many of the errors are true minority, after they have been found.
    """
    config, part = node.config, node.data.train
    steps = local_steps(node, request)
    mask, seconds = error_mask(node, steps)
    numbers: dict[str, Any] = {"examples": len(part), "errors": int(mask.sum()), "steps": steps, "seconds": seconds}
    if "majority" in request.numbers:
        minority = minority_mask(part.dataset, torch.tensor(request.integers("majority")))[part.rows]
        numbers |= {"minority": int(minority.sum()), "true-positives": int((minority & mask).sum())}
    ids = {"error-ids": part.id[mask].numpy()} if config.robust == "central" else {}
    return Payload(ids, numbers)


def identify_locally(server: Server, population: Population) -> Identified:
    """Let every machine find its errors; join counts, and ids where they are reported."""
    numbers: dict[str, Any] = {"examples": population.total}
    if population.majority is not None:
        numbers["majority"] = population.majority
    replies = server.ask("machines", "identify", Payload(numbers=numbers))
    machines = [_machine_report(reply) for reply in replies]
    ids = None
    if server.config.robust == "central":
        ids = np.unique(np.concatenate([reply.arrays["error-ids"] for reply in replies]))
    seconds = [machine["seconds"] for machine in machines]
    overall = _overall_report(replies)
    server.progress("identify", len(machines), len(machines), overall)
    return Identified(
        examples=[machine["samples"] for machine in machines],
        errors=[machine["error-set-size"] for machine in machines],
        ids=ids,
        report=overall | {"machines": machines},
        seconds={"sum": sum(seconds), "slowest": max(seconds)},
    )


def _machine_report(reply: Payload) -> dict[str, Any]:
    errors = reply.integer("errors")
    report = {"samples": reply.integer("examples"), "error-set-size": errors, "steps": reply.integer("steps")}
    precision, recall = None, None
    if "minority" in reply.numbers:
        precision, recall = precision_recall(reply.integer("true-positives"), errors, reply.integer("minority"))
        report["minority"] = reply.integer("minority")
    return report | {"precision": precision, "recall": recall, "seconds": reply.real("seconds")}


def _overall_report(replies: list[Payload]) -> dict[str, Any]:
    errors = sum(reply.integer("errors") for reply in replies)
    report: dict[str, Any] = {"error-set-size": errors, "precision": None, "recall": None}
    if all("minority" in reply.numbers for reply in replies):
        true_positives = sum(reply.integer("true-positives") for reply in replies)
        minority = sum(reply.integer("minority") for reply in replies)
        report["precision"], report["recall"] = precision_recall(true_positives, errors, minority)
        report["minority"] = minority
    return report
