"""The in-process engine, and the way in from Python: from arrays to a trained model, without a file."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fedjtt.cache import StageCache
from fedjtt.checkpoint import Checkpoints
from fedjtt.client_app import make_client_app
from fedjtt.config import RunConfig
from fedjtt.data.grouped import GroupedDataset, Splits
from fedjtt.data.host import NoRows
from fedjtt.errors import ConfigError, DataError
from fedjtt.frozen import Frozen, composed
from fedjtt.hosts import hosts_of
from fedjtt.methods.base import Array, trained_on
from fedjtt.methods.group_moments import gather_spectra
from fedjtt.models import ModelBuilder, build_model
from fedjtt.provide import (
    Provider,
    check_device,
    fast_layout,
    machines_of,
    notes_of,
    provide_parts,
    server_data,
    splits_of,
    spread,
)
from fedjtt.seeding import torch_generator
from fedjtt.server_app import Outcome, run_method
from fedjtt.simulation import InProcessGrid, ReplyObserver
from fedjtt.spectrum import Spectra
from fedjtt.workers import WorkerPool
from fedjtt.workspace import builder_of
from strategies.known import Owner, nobody
from strategies.staged import Observer, StagedStrategy

Columns = Sequence[Any] | torch.utils.data.Dataset[Any]


def simulate(
    config: RunConfig,
    splits: Splits | None = None,
    train_rows: list[Tensor] | None = None,
    observer: Observer | None = None,
    cache: StageCache | None = None,
    model_builder: ModelBuilder | None = None,
    checkpoints: Checkpoints | None = None,
) -> Outcome:
    """Run a config in this process, or in ``workers`` processes that share its data.

    Parameters
    ----------
    splits : Splits or None
        Data of the caller's own; None: what the config names.
    train_rows : list of Tensor or None
        The machines' train rows; None: as ``partition`` says.
    checkpoints : Checkpoints or None
        Where the run's state is written after every round, and gone on from where it holds one.
    """
    check_device(config.device)
    torch.set_num_threads(config.threads)
    # Flower's strategies log every round; here the observer reports, and warnings still come through.
    logging.getLogger("flwr").setLevel(logging.WARNING)
    provide, own, owner = _providers(config, splits, train_rows)
    notes = notes_of(config) if splits is None else ()
    app = make_client_app(provide, cache, model_builder)
    if config.workers == 1:
        grid = InProcessGrid(app, config, config.machines, None, _told_of_replies(observer))
        return run_method(config, grid, own, observer, cache, model_builder, owner, checkpoints, notes)
    with WorkerPool(min(config.workers, config.machines), InProcessGrid.handler(app)) as pool:
        grid = InProcessGrid(app, config, config.machines, pool, _told_of_replies(observer))
        return run_method(config, grid, own, observer, cache, model_builder, owner, checkpoints, notes)


def spectra(
    config: RunConfig,
    weights: Array,
    splits: Splits | None = None,
    train_rows: list[Tensor] | None = None,
    model_builder: ModelBuilder | None = None,
) -> Spectra:
    """Return how a trained model's features of train are spread in each group, and how unevenly inside each class.

    Sums travel where the config has the data on machines (``evaluation-at = machines``); the numbers are the same.

    Parameters
    ----------
    weights : ndarray
        float32 ``[num_parameters]``, as :attr:`Outcome.weights` or ``weights.npy`` hold them.
    splits, train_rows, model_builder
        As for :func:`simulate`.
    """
    check_device(config.device)
    torch.set_num_threads(config.threads)
    logging.getLogger("flwr").setLevel(logging.WARNING)
    provide, own, owner = _providers(config, splits, train_rows)
    # What the server holds it need not hide from itself.
    bare = config.replace(secure_aggregation=False, noise_multiplier=0.0, count_noise=0.0, noise_seed=0)
    server = InProcessGrid(make_client_app(own, None, model_builder), bare, 1)
    strategy = StagedStrategy(config, server, owner=owner)
    strategy.connect(InProcessGrid(make_client_app(provide, None, model_builder), config, config.machines))
    return gather_spectra(strategy, weights)


def _providers(
    config: RunConfig, splits: Splits | None, train_rows: list[Tensor] | None
) -> tuple[Provider, Provider, Owner]:
    """Return who gives the machines and the server their data, and whose ids are whose."""
    if splits is None and config.own_data:
        return provide_parts(hosts_of(config)), provide_parts([NoRows()]), nobody
    if config.own_data:
        raise ConfigError(f"dataset is {config.dataset}, but data is given as well; leave one of the two out")
    if splits is not None and (frozen := Frozen.of_run(config)) is not None:
        splits = frozen.seen(splits)
    parts = machines_of(config) if splits is None else spread(splits, config, train_rows)
    held = server_data(splits_of(config) if splits is None else splits)

    def owner(partition_id: int) -> Array:
        return trained_on(parts[partition_id], config.train_on).train.id.numpy()

    return provide_parts(parts), provide_parts([held]), owner


def _told_of_replies(observer: Observer | None) -> ReplyObserver | None:
    """Pass on which machines have identified; the stage's last word, with its figures, is the strategy's."""
    if observer is None:
        return None

    def told(kind: str, done: int, expected: int) -> None:
        if kind == "train.identify" and done < expected:
            observer.progress("identify", done, expected, {})

    return told


@dataclass(frozen=True)
class TrainedModel:
    """What :func:`train` returns: a torch module in evaluation mode and the run's result."""

    model: nn.Module
    result: dict[str, Any]

    @property
    def worst_group_accuracy(self) -> float | None:
        """On test; None without attributes."""
        value = self.result["test"]["worst-group-accuracy"]
        return None if value is None else float(value)


def train(
    train: Columns,
    test: Columns,
    validation: Columns | None = None,
    partition: Sequence[int] | None = None,
    model: ModelBuilder | str = "mlp",
    observer: Observer | None = None,
    **settings: Any,
) -> TrainedModel:
    """Train on arrays or torch datasets; nothing is read from or written to disk.

    Parameters
    ----------
    train, test, validation : (x, label) or (x, label, attribute), or a torch Dataset of such tuples
        x is float ``[n, ...]`` or uint8 images ``[n, channels, height, width]``; labels and attributes are whole
        numbers from 0. Without `validation`, a fifth of the train examples is held back, by seed.
    partition : sequence of int, or None
        The machine of every train example; None: as the setting ``partition`` says, over ``machines``.
    model : str or callable
        ``mlp``, ``lenet``, or a function of (input shape, number of labels) that returns a module.
    settings
        Keys of the run configuration with ``_`` for ``-``, such as ``method="jtt"``, ``machines=10``.

    Examples
    --------
    >>> done = fedjtt.train((x, y, a), test=(x_test, y_test, a_test), machines=10, robust="federated")
    >>> done.worst_group_accuracy
    """
    if validation is None and partition is not None:
        raise ConfigError("partition names the machine of every train example, so validation must be given as well")
    given = [_columns(train), _columns(test), *([_columns(validation)] if validation is not None else [])]
    sizes = _alphabets(given)
    datasets = [fast_layout(_dataset(columns, *sizes)) for columns in given]
    if given[0 if validation is None else 2][2] is None:  # no groups to select a round by
        settings = {"selection": "val-worst-class", **settings}
    if partition is not None:
        settings = {**settings, "machines": int(max(partition, default=0)) + 1}
    named = model if isinstance(model, str) else "mlp"
    config = RunConfig.parse({"model": named, **{key.replace("_", "-"): value for key, value in settings.items()}})
    splits = _with_validation(datasets, config, sizes)
    builder = None if isinstance(model, str) else model
    build = builder_of(config, builder)
    shape, frozen = tuple(splits.train.x.shape[1:]), Frozen.of_run(config)
    seen = splits if frozen is None else frozen.seen(splits)
    outcome = simulate(config, seen, _rows_of(partition, len(splits.train)), observer, None, builder)
    network = build_model(build, tuple(seen.train.x.shape[1:]), sizes[0], None, config.device)
    network.load(torch.from_numpy(outcome.weights))
    return TrainedModel(composed(config, shape, network.module).eval(), outcome.result)


def _columns(data: Columns) -> tuple[Tensor, Tensor, Tensor | None]:
    """Return x, label and attribute of a tuple of arrays or of a torch Dataset."""
    if isinstance(data, torch.utils.data.Dataset):
        rows = [data[index] for index in range(len(data))]  # type: ignore[arg-type]
        data = [np.stack([np.asarray(value) for value in column]) for column in zip(*rows, strict=True)]
    if len(data) not in (2, 3):
        raise DataError(f"a dataset has {len(data)} columns; give (x, label) or (x, label, attribute)")
    x, label, *attribute = (torch.as_tensor(np.asarray(column)) for column in data)
    x = x if x.dtype == torch.uint8 else x.float()
    return x, _whole(label, "label"), _whole(attribute[0], "attribute") if attribute else None


def _whole(column: Tensor, name: str) -> Tensor:
    if column.dim() != 1 or column.is_floating_point() or (len(column) and int(column.min()) < 0):
        raise DataError(f"{name} must be one column of whole numbers from 0; encode names as numbers first")
    return column.long()


def _alphabets(given: list[tuple[Tensor, Tensor, Tensor | None]]) -> tuple[int, int]:
    labels = max(int(label.max()) for _, label, _ in given if len(label)) + 1
    attributes = [int(attribute.max()) for _, _, attribute in given if attribute is not None and len(attribute)]
    return labels, max(attributes, default=0) + 1


def _dataset(columns: tuple[Tensor, Tensor, Tensor | None], num_labels: int, num_attributes: int) -> GroupedDataset:
    x, label, attribute = columns
    return GroupedDataset(x, label, attribute, torch.arange(len(label)), num_labels, num_attributes)


def _with_validation(datasets: list[GroupedDataset], config: RunConfig, sizes: tuple[int, int]) -> Splits:
    train_set, test_set, *rest = datasets
    names = [tuple(str(index) for index in range(size)) for size in sizes]
    if rest:
        return Splits(train_set, rest[0], test_set, names[0], names[1])
    order = torch.randperm(len(train_set), generator=torch_generator(config.seed, "validation-split"))
    held = len(train_set) // 5
    kept, validation = order[held:].sort().values, order[:held].sort().values
    return Splits(train_set.take(kept), train_set.take(validation), test_set, names[0], names[1])


def _rows_of(partition: Sequence[int] | None, examples: int) -> list[Tensor] | None:
    if partition is None:
        return None
    machine = _whole(torch.as_tensor(np.asarray(partition)), "partition")
    if len(machine) != examples:
        raise DataError(f"partition names {len(machine)} examples, train has {examples}; give one machine an example")
    rows = [torch.nonzero(machine == index).flatten() for index in range(int(machine.max()) + 1)]
    empty = [index for index, part in enumerate(rows) if not len(part)]
    if empty:
        raise DataError(
            f"partition leaves machine {empty[0]} without an example; number the machines from 0 without gaps"
        )
    return rows
