"""The error set of a machine, however it was found: the node's memory of it, and the report that the server joins."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fedjtt.cache import pack_json, unpack_json
from fedjtt.data.grouped import count_labels, minority_mask
from fedjtt.evaluation import precision_recall
from fedjtt.inference.error_set import pack_mask, unpack_mask
from fedjtt.methods.base import Array, Node, Payload, Server, is_sum, seconds_of, senders_of
from fedjtt.methods.census import Population

MASK, ABOUT = "error-mask", "error-about"


@dataclass(frozen=True)
class Found:
    """What a machine knows of its error set.

    Attributes
    ----------
    mask : Tensor
        bool ``[n]`` over the machine's train examples.
    seconds : float
        CPU seconds of training and splitting on this machine, as far as it did them for itself.
    steps : int
        Steps of its own model; 0 where it has none.
    flaw : str
        Why the set of a model was left out (and the mask is empty), or an empty string.
    tries : int
        Models that were trained for it.
    """

    mask: Tensor
    seconds: float
    steps: int = 0
    flaw: str = ""
    tries: int = 1


def pack_found(found: Found) -> dict[str, Array]:
    """Return arrays that keep what was found, in a machine's memo or its cache."""
    about = {"seconds": found.seconds, "steps": found.steps, "flaw": found.flaw, "tries": found.tries}
    return {MASK: pack_mask(found.mask), ABOUT: pack_json(about)}


def unpack_found(saved: Mapping[str, Array], examples: int) -> Found:
    """Return what :func:`pack_found` packed."""
    return Found(unpack_mask(saved[MASK], examples), **unpack_json(saved[ABOUT]))


def recall_found(node: Node) -> Found | None:
    """Return what the machine has found before, or None if it has forgotten."""
    return unpack_found(node.memo, len(node.data.train)) if MASK in node.memo else None


def forget_found(node: Node) -> None:
    """Forget the machine's error set."""
    for name in (MASK, ABOUT):
        node.memo.pop(name, None)


def report_found(node: Node, request: Payload, found: Found) -> Payload:
    """Report counts of the error set; ids too if, and only if, the server trains on its own data.

    The attribute is read only to count how many of the errors are true minority, after they have been found.
    """
    part, mask = node.data.train, found.mask
    wrong, sizes = errors_by_label(node, mask)
    numbers: dict[str, Any] = {
        "label-errors": wrong, "label-sizes": sizes,
        "examples": len(part), "errors": int(mask.sum()), "steps": found.steps, "seconds": found.seconds,
        "tries": found.tries, "useless": int(found.flaw != ""),
    }  # fmt: skip
    if "majority" in request.numbers:
        minority = minority_mask(part.dataset, torch.tensor(request.integers("majority")))[part.rows]
        numbers |= {"minority": int(minority.sum()), "true-positives": int((minority & mask).sum())}
    wanted = node.config.robust == "central"
    return Payload({"error-ids": part.id[mask].numpy()} if wanted else {}, numbers)


def errors_by_label(node: Node, mask: Tensor) -> tuple[list[int], list[int]]:
    """Return the examples called wrong and the examples in all, of every label: what the guard judges by."""
    part = node.data.train
    label, labels = part.dataset.label[part.rows], part.dataset.num_labels
    return count_labels(label[mask], labels), count_labels(label, labels)


def added_up(replies: Sequence[Payload], name: str) -> list[int]:
    """Return the sums over machines of a list of counts."""
    return [sum(column) for column in zip(*(reply.integers(name) for reply in replies), strict=True)]


def added_up_reals(replies: Sequence[Payload], name: str) -> list[float]:
    """Return the sums over machines of a list of numbers, as good as exact: in any order the same."""
    return [math.fsum(column) for column in zip(*(reply.reals(name) for reply in replies), strict=True)]


@dataclass(frozen=True)
class Identified:
    """The machines' error sets, in the order of their partition ids.

    Attributes
    ----------
    examples, errors : list of int
        Train examples and errors of each machine; under ``secure-aggregation`` their sums alone.
    ids : ndarray or None
        int64, ascending: the union of the reported ids; None where only counts were asked for.
    report : dict
        What the result says of the identification.
    seconds : dict
        CPU seconds, ``sum`` over the machines and the ``slowest``.
    label_errors : list of int
        Errors of every label, over all machines.
    """

    examples: list[int]
    errors: list[int]
    ids: Array | None
    report: dict[str, Any]
    seconds: dict[str, float]
    label_errors: list[int]


def pack_identified(found: Identified) -> dict[str, Array]:
    """Return arrays that keep what was identified, for a checkpoint."""
    about = {name: value for name, value in vars(found).items() if name != "ids"}
    return {"about": pack_json(about)} | ({} if found.ids is None else {"ids": found.ids})


def unpack_identified(saved: Mapping[str, Array]) -> Identified:
    """Return what :func:`pack_identified` packed."""
    return Identified(**unpack_json(saved["about"]), ids=saved.get("ids"))


def join_reports(
    server: Server,
    replies: Sequence[Payload],
    before: dict[str, float] | None = None,
    about: dict[str, Any] | None = None,
) -> Identified:
    """Join the machines' reports: counts, and ids where they were reported.

    Parameters
    ----------
    before : dict or None
        CPU seconds, ``sum`` and ``slowest``, of what the machines did before they split their data.
    about : dict or None
        What the result says beside the counts.
    """
    machines = None if is_sum(replies) else [_machine_report(reply) for reply in replies]
    ids = None
    if server.config.robust == "central":
        ids = np.unique(np.concatenate([reply.arrays["error-ids"] for reply in replies]))
    seconds = seconds_of(replies)
    earlier = before or {"sum": 0.0, "slowest": 0.0}
    overall = _overall_report(replies)
    flagged = flag_large_sets(server, replies)
    server.progress("identify", senders_of(replies), senders_of(replies), overall)
    return Identified(
        examples=[reply.integer("examples") for reply in replies],
        errors=[reply.integer("errors") for reply in replies],
        ids=ids,
        report={**overall, **(about or {}), "machines": machines, "flagged": flagged},
        seconds={"sum": earlier["sum"] + sum(seconds), "slowest": earlier["slowest"] + max(seconds)},
        label_errors=added_up(replies, "label-errors"),
    )


def flag_large_sets(server: Server, replies: Sequence[Payload]) -> list[int]:
    """Return the machines whose error set is larger than ``max-error-fraction`` allows, and say so: broken or hostile.

    Their sets count all the same: that a model is wrong about a machine's data may also be what was looked for.
    """
    most = server.config.max_error_fraction
    flagged = [
        reply.integer("partition-id")
        for reply in replies
        if reply.integer("errors") > most * reply.integer("examples") and "partition-id" in reply.numbers
    ]
    if flagged:
        named = ", ".join(map(str, flagged))
        server.note(f"machines {named} call more than {most:g} of their examples wrong: look at their data")
    return flagged


def request_of(population: Population) -> dict[str, Any]:
    """Return what every machine is told to report its error set: the sizes, and what the true minority is."""
    numbers: dict[str, Any] = {"examples": population.total}
    if population.majority is not None:
        numbers["majority"] = population.majority
    return numbers


def _machine_report(reply: Payload) -> dict[str, Any]:
    errors = reply.integer("errors")
    report = {"samples": reply.integer("examples"), "error-set-size": errors, "steps": reply.integer("steps")}
    precision, recall = None, None
    if "minority" in reply.numbers:
        precision, recall = precision_recall(reply.integer("true-positives"), errors, reply.integer("minority"))
        report["minority"] = reply.integer("minority")
    told = {"tries": reply.integer("tries"), "useless": bool(reply.integer("useless"))}
    return report | {"precision": precision, "recall": recall, **told, "seconds": reply.real("seconds")}


def _overall_report(replies: Sequence[Payload]) -> dict[str, Any]:
    errors = sum(reply.integer("errors") for reply in replies)
    examples = sum(reply.integer("examples") for reply in replies)
    report: dict[str, Any] = {"samples": examples, "error-set-size": errors, "precision": None, "recall": None}
    if all("minority" in reply.numbers for reply in replies):
        true_positives = sum(reply.integer("true-positives") for reply in replies)
        minority = sum(reply.integer("minority") for reply in replies)
        report["precision"], report["recall"] = precision_recall(true_positives, errors, minority)
        report["minority"] = minority
    return report
