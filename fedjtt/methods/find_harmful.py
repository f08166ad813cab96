"""Which train examples harm validation's badly served groups: the server's half. Nothing but sums comes back to it."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from fedjtt.attribution.alignment import group_weights, target_vector
from fedjtt.attribution.kernel import solve, unpacked
from fedjtt.attribution.pseudo_groups import basis_of, components
from fedjtt.errors import ConfigError
from fedjtt.methods.assess import place_of
from fedjtt.methods.averaging import ordered_sum
from fedjtt.methods.base import Array, Payload, Server, seconds_of
from fedjtt.methods.identification import added_up, added_up_reals


@dataclass(frozen=True)
class Found:
    """What was measured: what the result says of it, and CPU seconds, their ``sum`` and along the ``slowest``."""

    report: dict[str, Any]
    seconds: dict[str, float]


class _Stage:
    """The exchanges of the stage, and what they cost."""

    def __init__(self, server: Server, weights: Array, seconds: dict[str, float]) -> None:
        self.server, self.config, self.weights, self.seconds = server, server.config, weights, dict(seconds)
        told = server.ask("server", "measure", Payload({"weights": weights[0]}))[0]
        self.parameters, self.width = told.integer("parameters"), told.integer("width")
        self.steps = 2 * len(weights) + 1 + 3 * (self.config.method == "auto-d3m")
        self.done = 0

    def ask(self, action: str, arrays: dict[str, Array], on_validation: bool = False, **numbers: int) -> list[Payload]:
        place = place_of(self.config) if on_validation else "machines"
        replies = self.server.ask(place, action, Payload(arrays, {**numbers, "width": self.width}))
        told = seconds_of(replies)
        self._spent(sum(told), max(told))
        self.done += 1
        self.server.progress("attribute", self.done, self.steps, {})
        return replies

    def timed(self, solving: Callable[[], Tensor]) -> Tensor:
        start = time.thread_time()
        found = solving()
        self._spent(*[time.thread_time() - start] * 2)
        return found

    def _spent(self, all_machines: float, slowest: float) -> None:
        self.seconds["sum"] += all_machines
        self.seconds["slowest"] += slowest


def find_harmful(server: Server, weights: Array, seconds: dict[str, float]) -> Found:
    """Let every machine score its examples.

    Parameters
    ----------
    weights : ndarray
        float32 ``[models, num_parameters]``.
    seconds : dict
        What the models took.
    """
    stage = _Stage(server, weights, seconds)
    kernels = [_kernel(stage, number) for number in range(len(weights))]
    if server.config.method == "auto-d3m":
        _find_groups(stage, kernels)
    targets = [stage.ask("target", {"weights": own}, True, model=number) for number, own in enumerate(weights)]
    counts = torch.tensor(added_up(targets[0], "count"))
    losses = torch.tensor([added_up_reals(replies, "losses") for replies in targets]).mean(dim=0)
    if not counts.any():
        raise ConfigError("no machine has min-count rows of a group of validation, on which effects are measured")
    emphasis = group_weights(losses, counts, server.config.d3m_alignment)
    vectors = []
    for replies, kernel in zip(targets, kernels, strict=True):
        sums = _added(replies, "sums").view(len(counts), stage.width)
        wanted = target_vector(sums, counts, emphasis)
        vectors.append(stage.timed(partial(solve, kernel, wanted[None], server.config.attribution_ridge))[0])
    arrays = {"weights": weights, "vectors": torch.stack(vectors).numpy()}
    server.keep("align", Payload(arrays, {"width": stage.width}))
    replies = stage.ask("align", arrays)
    return Found({**_report(stage, counts, losses, emphasis), **_counted(replies)}, stage.seconds)


def _kernel(stage: _Stage, number: int) -> Tensor:
    """Return one model's kernel over all train examples."""
    replies = stage.ask("gram", {"weights": stage.weights[number]}, model=number)
    if not sum(reply.integer("rows") for reply in replies):
        raise ConfigError("no machine has min-count rows of train, over which effects are measured; use another method")
    return unpacked(_added(replies, "gram"))


def _find_groups(stage: _Stage, kernels: Sequence[Tensor]) -> None:
    """Let whoever holds validation divide each label in two."""
    squares = unpacked(_added(stage.ask("squares", {"weights": stage.weights}), "squares"))
    basis = stage.timed(partial(basis_of, squares, kernels, stage.config.attribution_ridge))
    arrays = {"weights": stage.weights, "basis": basis.contiguous().numpy()}
    replies = stage.ask("scatter", arrays, True)
    counts, size = added_up(replies, "count"), basis.shape[1]
    total = _added(replies, "total").view(len(counts), size)
    products = _added(replies, "products").view(len(counts), -1)
    centres, axes = components(total, unpacked(products), counts)
    arrays |= {"centres": centres.numpy(), "components": axes.numpy()}
    if place_of(stage.config) == "machines":
        stage.server.keep("divide", Payload(arrays, {"width": stage.width}))
    stage.ask("divide", arrays, True)


def _added(replies: Sequence[Payload], name: str) -> Tensor:
    return torch.from_numpy(ordered_sum([reply.arrays[name] for reply in replies]))


def _counted(replies: Sequence[Payload]) -> dict[str, Any]:
    rows, negative = (sum(reply.integer(name) for reply in replies) for name in ("rows", "negative"))
    return {"scored": rows, "negative": negative}


def _report(stage: _Stage, counts: Tensor, losses: Tensor, emphasis: Tensor) -> dict[str, Any]:
    """Say how effects were measured, and on which groups."""
    config = stage.config
    rows = zip(counts.tolist(), losses.tolist(), emphasis.tolist(), strict=True)
    if missing := int((counts == 0).sum()):
        stage.server.note(f"validation has no example of {missing} groups: they have no say in what is removed")
    return {
        "models": len(stage.weights), "parameters": stage.parameters, "width": stage.width,
        "groups": "pseudo" if config.method == "auto-d3m" else config.groups_kind,
        "targets": [
            {"group": group, "count": count, "loss": loss / count if count else None, "weight": weight}
            for group, (count, loss, weight) in enumerate(rows)
        ],
    }  # fmt: skip
