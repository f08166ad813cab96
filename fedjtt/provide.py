"""From a config to what the machines and the server see of the data; nothing is copied on the way."""

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from fedjtt.backbones import TorchvisionBuilder
from fedjtt.choices import PICTURES, TABLES, TEXTS, TRANSFORMERS, WHOLE_IMAGES
from fedjtt.config import RunConfig
from fedjtt.data.grouped import GroupedDataset, Splits
from fedjtt.data.host import Host, NoRows
from fedjtt.data.options import DATA_VARIABLE, DataOptions
from fedjtt.data.partition import partition, split_evenly
from fedjtt.data.sources import load
from fedjtt.errors import ConfigError
from fedjtt.frozen import Frozen
from fedjtt.hosts import check_size, host_of, hosts_of
from fedjtt.methods.base import Array, NodeData, Part, trained_on, whole
from fedjtt.workspace import pretrained_of

Provider = Callable[[RunConfig, int, int], NodeData | Host | NoRows]


def data_options(config: RunConfig) -> DataOptions:
    """Return what a config asks of the data; ``data-dir`` may come from the environment's FEDJTT_DATA."""
    folder = config.data_dir or os.environ.get(DATA_VARIABLE, "")
    options = DataOptions(
        dataset=config.dataset,
        data_dir=Path(folder) if folder else None,
        seed=config.seed,
        label_noise=config.label_noise,
    )
    if config.dataset in TABLES:
        return options
    if config.dataset in PICTURES:
        return replace(options, image_size=int(config.image_size), image_cache=config.image_cache)
    if config.dataset in TEXTS:
        own = config.model in TRANSFORMERS
        return replace(
            options,
            max_length=int(config.max_length),
            text_model=config.text_model if own else "",
            download=config.download and own,
        )
    options = replace(options, download=config.download, spurious_strength=float(config.spurious_strength))
    if config.dataset in WHOLE_IMAGES:
        return options
    return replace(
        options,
        difficulty=config.difficulty,
        corner=config.corner,
        class_imbalance=config.class_imbalance,
        core_noise=config.core_noise,
    )


@lru_cache(maxsize=1)
def _load(options: DataOptions) -> Splits:
    splits = load(options)
    return replace(
        splits,
        train=fast_layout(splits.train),
        validation=fast_layout(splits.validation),
        test=fast_layout(splits.test),
    )


def fast_layout(dataset: GroupedDataset) -> GroupedDataset:
    """Return the dataset with its images in memory channels last, in which convolutions are faster on the CPU."""
    if not isinstance(dataset.x, Tensor) or dataset.x.dim() != 4:
        return dataset
    return replace(dataset, x=dataset.x.contiguous(memory_format=torch.channels_last))


def splits_of(config: RunConfig) -> Splits:
    """Load a config's dataset; a process keeps the last one."""
    if config.own_data:
        raise ConfigError(f"the rows of dataset {config.dataset} lie with its machines; there is no whole to look at")
    return _seen(data_options(config), Frozen.of_run(config))


@lru_cache(maxsize=1)
def _seen(options: DataOptions, frozen: Frozen | None) -> Splits:
    return _load(options) if frozen is None else frozen.seen(_load(options))


def server_data(splits: Splits) -> NodeData:
    """Return what a server that holds all the data sees: everything."""
    return whole(splits)


def spread(splits: Splits, config: RunConfig, train_rows: list[Tensor] | None = None) -> list[NodeData]:
    """Spread the splits over the machines.

    Parameters
    ----------
    train_rows : list of Tensor or None
        The train rows of every machine, ascending; None: as ``partition`` says.
    """
    if train_rows is None:
        train_rows = partition(config.partition, splits.train, config.machines, config.dirichlet_alpha, config.seed)
    validation = split_evenly(splits.validation, config.machines, config.seed, "validation")
    test = split_evenly(splits.test, config.machines, config.seed, "test")
    return [
        NodeData(Part(splits.train, rows), Part(splits.validation, val), Part(splits.test, tst))
        for rows, val, tst in zip(train_rows, validation, test, strict=True)
    ]


def provide_parts(parts: Sequence[NodeData | Host | NoRows]) -> Provider:
    """Return a provider of parts that this process holds."""
    return lambda config, partition_id, num_partitions: parts[partition_id]  # noqa: ARG005 (the provider's signature)


def provide_server_data(config: RunConfig, partition_id: int, num_partitions: int) -> NodeData | NoRows:  # noqa: ARG001
    """Return what the server holds where the config alone says what that is."""
    return NoRows() if config.own_data else server_data(splits_of(config))


def check_device(device: str) -> None:
    """Refuse a device that this machine does not have."""
    if device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device is cuda, but torch finds no CUDA device here; use device = cpu")


def notes_of(config: RunConfig) -> tuple[str, ...]:
    """Return what a result should say of the texts that a config names."""
    return splits_of(config).notes if config.dataset in TEXTS else ()


@lru_cache(maxsize=1)
def machines_of(config: RunConfig) -> list[NodeData]:
    """Return every machine's part of the data that the config names; a process keeps the last one."""
    return spread(splits_of(config), config)


def check_data(config: RunConfig) -> None:
    """Load what the config names, so that whatever is wrong with it is said before anything is computed."""
    if isinstance(builder := pretrained_of(config), TorchvisionBuilder):
        builder.check()
    if config.own_data:
        hosts_of(config)
    else:
        machines_of(config)


def provide_from_config(config: RunConfig, partition_id: int, num_partitions: int) -> NodeData | Host:
    """Return a machine's data where the config alone says what it is: every machine can cut its own part."""
    check_size(config, num_partitions)
    return host_of(config, partition_id) if config.own_data else machines_of(config)[partition_id]


def owner_from_config(config: RunConfig) -> Callable[[int], Array | None]:
    """Return what tells the server which train examples are a machine's, where the config alone says it."""
    if config.own_data:
        return lambda partition_id: None  # noqa: ARG005 (the server does not know what the machines have)
    return lambda partition_id: trained_on(machines_of(config)[partition_id], config.train_on).train.id.numpy()
