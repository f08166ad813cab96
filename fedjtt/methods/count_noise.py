"""Noise on the counts that a machine sends: rounded Gaussian, the same for the same question.

A question that is asked again is answered alike, so that answers cannot be averaged, and a count that is part of
another never exceeds it. What is done here is the machine's own doing: nobody has to trust the server.
"""

import hashlib
import os
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from fedjtt.methods.base import Action, Array, Node, Payload
from fedjtt.methods.census import census

SECRET = "noise-secret"
Numbers = dict[str, Any]
Draw = Callable[[list[int]], list[int]]
"""Adds noise to counts; none becomes negative."""


def noised(name: str, action: Action) -> Action:
    """Return an action whose counts have noise where ``count-noise`` asks for it."""
    if name not in NOISED:
        return action

    def act(node: Node, request: Payload) -> Payload:
        reply = action(node, request)
        if not node.config.count_noise:
            return reply
        return NOISED[name](node, request, reply, _drawer(node, name, request))

    return act


def _drawer(node: Node, purpose: str, request: Payload | None = None) -> Draw:
    """Return what draws noise for one question; `request` None: for what does not change in a run."""
    asked = hashlib.sha256(purpose.encode())
    if request is not None:
        for name in sorted(request.arrays):
            asked.update(name.encode() + request.arrays[name].tobytes())
        asked.update(repr(sorted(request.numbers.items())).encode())
    seed = hashlib.sha256(_secret(node) + asked.digest()).digest()
    generator = np.random.default_rng(int.from_bytes(seed, "big"))

    def draw(counts: list[int]) -> list[int]:
        noise = generator.normal(0.0, node.config.count_noise, len(counts))
        return [max(0, round(count + added)) for count, added in zip(counts, noise.tolist(), strict=True)]

    return draw


def _secret(node: Node) -> bytes:
    """Return what only this machine knows; drawn once, unless the config gives a seed for experiments."""
    if node.config.noise_seed:
        return f"{node.config.noise_seed}/{node.partition_id}/".encode()
    if SECRET not in node.memo:
        node.memo[SECRET] = np.frombuffer(os.urandom(32), dtype=np.uint8)
    return node.memo[SECRET].tobytes()


def _told_census(node: Node) -> Numbers:
    """Return the counts of the machine's train examples as it tells them, the same throughout a run."""
    numbers = census(node, Payload()).numbers
    draw = _drawer(node, "census")
    labels, groups = numbers["label-counts"], numbers["group-counts"]
    if not isinstance(labels, list) or not isinstance(groups, list):
        raise TypeError("a census counts labels and groups")
    told = draw([int(count) for count in groups or labels])
    if groups:
        width = len(groups) // len(labels)
        labels_told = [sum(told[place : place + width]) for place in range(0, len(told), width)]
    else:
        labels_told = told
    return {"examples": sum(labels_told), "label-counts": labels_told, "group-counts": told if groups else []}


def _census(node: Node, request: Payload, reply: Payload, draw: Draw) -> Payload:  # noqa: ARG001
    return Payload(reply.arrays, _told_census(node))


def _update(node: Node, request: Payload, reply: Payload, draw: Draw) -> Payload:  # noqa: ARG001
    """Let an update weigh as much as the examples that the machine has told of."""
    share = max(1, _told_census(node)["examples"]) / len(node.data.train)
    return Payload(reply.arrays, {**reply.numbers, "size": reply.real("size") * share})


def _report(node: Node, request: Payload, reply: Payload, draw: Draw) -> Payload:  # noqa: ARG001
    told = _told_census(node)
    numbers: Numbers = {**reply.numbers, "examples": told["examples"]}
    if "label-errors" in numbers:
        sizes = told["label-counts"]
        numbers |= {"label-sizes": sizes, "label-errors": _within(draw(reply.integers("label-errors")), sizes)}
        numbers["errors"] = sum(numbers["label-errors"])
    else:
        numbers["errors"] = min(draw([reply.integer("errors")])[0], told["examples"])
    if "minority" in numbers:
        minority, hits = draw([reply.integer("minority"), reply.integer("true-positives")])
        numbers["minority"] = min(minority, told["examples"])
        numbers["true-positives"] = min(hits, numbers["minority"], numbers["errors"])
    return Payload(reply.arrays, numbers)


def _look(node: Node, request: Payload, reply: Payload, draw: Draw) -> Payload:  # noqa: ARG001
    sizes = _drawer(node, "look-sizes")(reply.integers("label-sizes"))
    sizes = _within(sizes, _told_census(node)["label-counts"])
    errors = _within(draw(reply.integers("label-errors")), sizes)
    both, either = draw([reply.integer("both"), reply.integer("either")])
    both = min(both, sum(errors))
    either = max(both, min(either, sum(sizes)))
    told: Numbers = {"label-sizes": sizes, "label-errors": errors, "both": both, "either": either}
    return Payload(reply.arrays, {**reply.numbers, **told})


def _assess(node: Node, request: Payload, reply: Payload, draw: Draw) -> Payload:
    told: Numbers = {}
    for wholes, parts in (
        ("count", "correct"),
        ("reference-count", "reference-correct"),
        ("kind-count", "kind-correct"),
    ):
        if wholes in reply.numbers:
            counts = _drawer(node, f"assess-{wholes}-{request.integer('split')}")(reply.integers(wholes))
            told |= {wholes: counts, parts: _within(draw(reply.integers(parts)), counts)}
    return Payload(reply.arrays, {**reply.numbers, **told})


def _describe(node: Node, request: Payload, reply: Payload, draw: Draw) -> Payload:  # noqa: ARG001
    """Tell other numbers of rows; the means, which are over at least ``min-count`` rows, stay what they are."""
    draw = _drawer(node, "describe")
    examples = draw([reply.integer("examples")])[0]
    present = _within(draw(reply.arrays["present"].tolist()), [examples] * len(reply.arrays["present"]))
    told: dict[str, Array] = {name: _spread(draw, array, examples) for name, array in reply.arrays.items()
                              if name.startswith("category-")}  # fmt: skip
    share = np.array(present) / np.maximum(1, reply.arrays["present"])
    sums = {name: reply.arrays[name] * share[:, None] for name in ("total", "squares")}
    arrays = {**reply.arrays, **told, **sums, "present": np.array(present, dtype=np.int64)}
    return Payload(arrays, {**reply.numbers, "examples": examples})


def _spread(draw: Draw, counts: Array, examples: int) -> Array:
    """Return noisy counts of categories that add up to the rows told of; the last one, rows without any, gives way."""
    told: list[int] = []
    for count in draw(counts[:-1].tolist()):
        told.append(min(count, examples - sum(told)))
    return np.array([*told, examples - sum(told)], dtype=np.int64)


def _within(parts: list[int], wholes: list[int]) -> list[int]:
    return [min(part, whole) for part, whole in zip(parts, wholes, strict=True)]


Noised = Callable[[Node, Payload, Payload, Draw], Payload]
NOISED: Mapping[str, Noised] = {
    "describe": _describe, "census": _census, "learn": _update, "fit": _update, "slopes": _update, "identify": _report,
    "judge": _report, "look": _look, "assess": _assess,
}  # fmt: skip
