"""Data and settings so small that a whole run takes a blink, and the parts of a run that tests take apart."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fedjtt.cache import StageCache
from fedjtt.client_app import make_client_app
from fedjtt.config import RunConfig
from fedjtt.data.grouped import GroupedDataset, Splits
from fedjtt.methods import identify_local
from fedjtt.methods.base import Node, NodeData, Part, Payload
from fedjtt.provide import provide_parts, server_data, spread
from fedjtt.records import failure_of, from_records
from fedjtt.server_app import Outcome, run_method
from fedjtt.simulation import InProcessGrid
from strategies.staged import Observer, StagedStrategy

REPO = Path(__file__).resolve().parents[1]
# Everything that a tiny run's course depends on, so that no test depends on a default.
TINY: dict[str, Any] = {
    "machines": 3,
    "model": "mlp",
    "momentum": 0.9,
    "identify": "local",
    "identify-optimizer": "sgd",
    "identify-averaging": "none",
    "identify-label-correction": 0.0,
    "identify-epochs": 1,
    "identify-rounds": 2,
    "identify-min-steps": 0,
    "identify-batch-size": 8,
    "identify-learning-rate": 0.01,
    "identify-warm-up": 0.0,
    "identify-weight-decay": 0.03,
    "identify-clip-norm": 0.0,
    "identify-schedule": "same-epochs",
    "identify-objective": "cross-entropy",
    "identify-split": "misclassified",
    "identify-stop": "last",
    "identify-guard": False,
    "identify-aggregator": "fedavg",
    "peers": 2,
    "peer-vote": "majority",
    "upsample-fraction": 2.0,
    "robust-epochs": 1,
    "robust-rounds": 2,
    "robust-min-steps": 0,
    "robust-schedule": "same-epochs",
    "batch-size": 16,
    "learning-rate": 0.03,
    "learning-rate-schedule": "one-cycle",
    "averaging": "ema",
    "weight-decay": 0.003,
    "clip-norm": 0.0,
    "fraction-train": 1.0,
    "max-error-fraction": 1.0,
}


def tiny_config(**changes: Any) -> RunConfig:
    return RunConfig.parse({**TINY, **{name.replace("_", "-"): value for name, value in changes.items()}})


def grouped(label: Any, attribute: Any = None, labels: int = 2, attributes: int = 2, seed: int = 0) -> GroupedDataset:
    """Four features: the attribute loudly, the label softly, and two of noise."""
    label = torch.as_tensor(label).long()
    known = attribute is not None
    shown = torch.as_tensor(attribute).long() if known else torch.zeros_like(label)
    x = torch.from_numpy(np.random.default_rng(seed).normal(size=(len(label), 4)).astype(np.float32))
    x[:, 0] += 3.0 * shown
    x[:, 1] += 1.5 * label
    return GroupedDataset(x, label, shown if known else None, torch.arange(len(label)), labels, attributes)


def tiny_splits(train: int = 60, minority: int = 8, known: bool = True) -> Splits:
    """Two labels, two attributes; `minority` train examples have the other label's attribute."""
    label = torch.arange(train) % 2
    attribute = torch.where(torch.arange(train) < minority, 1 - label, label)
    even = torch.arange(24)
    parts = [
        grouped(label, attribute if known else None, seed=0),
        grouped(even % 2, even // 2 % 2 if known else None, seed=1),
        grouped(even % 2, even // 2 % 2 if known else None, seed=2),
    ]
    return Splits(*parts, ("0", "1"), ("0", "1"))


def node_of(
    config: RunConfig, dataset: GroupedDataset, rows: Tensor | None = None, number: int = 0, machines: int = 1
) -> Node:
    part = Part(dataset, torch.arange(len(dataset)) if rows is None else rows)
    return Node(number, machines, config, NodeData(part, part, part), {})


def a_try(mask: Tensor, steps: int = 1, seconds: float = 0.0) -> Any:
    """What a machine's own training returns, for tests that say what it finds."""
    return identify_local._Try(mask, steps, seconds, np.zeros(1, np.float32))


def parts_of_a_run(
    config: RunConfig,
    splits: Splits,
    rows: list[Tensor] | None = None,
    observer: Observer | None = None,
    cache: StageCache | None = None,
) -> tuple[StagedStrategy, InProcessGrid]:
    """Return what the in-process engine puts together: the strategy with the server's node, and the machines."""
    machines = InProcessGrid(
        make_client_app(provide_parts(spread(splits, config, rows)), cache), config, config.machines
    )
    server = InProcessGrid(make_client_app(provide_parts([server_data(splits)]), cache), config, 1)
    return StagedStrategy(config, server, observer, cache), machines


def run_on(grid: InProcessGrid, config: RunConfig, splits: Splits) -> Outcome:
    return run_method(config, grid, provide_parts([server_data(splits)]))


def asked(grid: InProcessGrid) -> list[tuple[str, int, Payload, Payload]]:
    """Note, as it comes, every exchange with a machine: action, machine, request and reply (empty if it failed)."""
    seen: list[tuple[str, int, Payload, Payload]] = []
    original = grid.send_and_receive

    def noting(messages: Any, **rest: Any) -> Any:
        listed = list(messages)
        replies = original(listed, **rest)
        reply_of = {reply.metadata.src_node_id: reply for reply in replies}
        for message in listed:
            action = message.metadata.message_type.split(".")[1]
            reply = reply_of.get(message.metadata.dst_node_id)
            failed = reply is None or not reply.has_content() or failure_of(reply.content)
            answer = Payload() if failed or reply is None else from_records(reply.content)
            seen.append((action, message.metadata.dst_node_id - 1, from_records(message.content), answer))
        return replies

    grid.send_and_receive = noting  # type: ignore[method-assign]
    return seen
