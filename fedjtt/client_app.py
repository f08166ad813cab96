"""The Flower ClientApp: turns messages into actions on this machine's data. The same under every engine."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from logging import ERROR
from typing import Any

import torch
from flwr.app import Context, Message
from flwr.clientapp import ClientApp
from flwr.common.logger import log

from fedjtt.cache import StageCache
from fedjtt.config import RunConfig
from fedjtt.data.host import Host, NoRows, empty_splits
from fedjtt.errors import DataError, FedJTTError
from fedjtt.hosts import DATA_FILE, DATA_FORMAT, check_size, load_host
from fedjtt.methods.base import Node, NodeData, whole
from fedjtt.methods.registry import CATEGORIES, action_for
from fedjtt.models import ModelBuilder
from fedjtt.provide import Provider, placed, provide_from_config
from fedjtt.records import PARTITION_ID, failure_records, from_records, read_memo, to_reply, write_memo

NOTHING_YET = whole(empty_splits((0,), 1, 1, images=False))
"""What a machine with rows of its own sees of them until it is told how they are encoded."""


@lru_cache(maxsize=8)
def _parse(items: tuple[tuple[str, str | int | float | bool], ...]) -> RunConfig:
    return placed(RunConfig.parse(dict(items)))


def make_client_app(
    provide: Provider = provide_from_config,
    cache: StageCache | None = None,
    model_builder: ModelBuilder | None = None,
) -> ClientApp:
    """Build the ClientApp.

    Parameters
    ----------
    provide : callable
        Returns the data of (config, partition id, number of partitions).
    cache : StageCache or None
        Where this machine keeps results of finished stages.
    model_builder : callable or None
        A network in place of ``config.model``.
    """
    app = ClientApp()

    def handle(message: Message, context: Context, action: str) -> Message:
        partition_id = int(context.node_config[PARTITION_ID])
        try:
            config = _parse(tuple(sorted(context.run_config.items())))
            if torch.get_num_threads() != config.threads:
                torch.set_num_threads(config.threads)
            torch.set_flush_denormal(True)
            num_partitions = int(context.node_config["num-partitions"])
            memo = read_memo(context)
            kept = dict(memo)
            held = held_by(context.node_config, config, provide)
            data, host = (held, None) if isinstance(held, NodeData) else (NOTHING_YET, held)
            # Nobody knows whether a host's file is what it was when a stage was kept.
            kept_stages = None if host is not None else cache
            node = Node(partition_id, num_partitions, config, data, memo, kept_stages, model_builder, host)
            reply = action_for(action, config)(node, from_records(message.content))
            if memo.keys() != kept.keys() or any(memo[name] is not kept[name] for name in memo):
                write_memo(context, memo)
            content = to_reply(reply, partition_id)
        except FedJTTError as error:
            content = failure_records(public_error(error), partition_id)
        return Message(content, reply_to=message)

    for name, category in CATEGORIES.items():
        _register(app, category, name, handle)
    return app


def held_by(
    node_config: Mapping[str, Any], config: RunConfig, provide: Provider = provide_from_config
) -> NodeData | Host | NoRows:
    """Return a machine's data; what its own node config names wins over what the run's config says."""
    partition_id, num_partitions = int(node_config[PARTITION_ID]), int(node_config["num-partitions"])
    if config.own_data and (named := str(node_config.get(DATA_FILE, ""))):
        check_size(config, num_partitions)
        return load_host(config, partition_id, named, str(node_config.get(DATA_FORMAT, "")))
    return provide(config, partition_id, num_partitions)


def public_error(error: FedJTTError) -> FedJTTError:
    """Return what may be told of an error to another host; one that quotes a host's cells or paths is logged here."""
    if not isinstance(error, DataError) or not error.where:
        return error
    log(ERROR, "%s", error)
    return DataError(f"{error.where}; this host's log has the whole line")


def _register(app: ClientApp, category: str, name: str, handle: Callable[[Message, Context, str], Message]) -> None:
    decorator = getattr(app, category)

    def handler(message: Message, context: Context) -> Message:
        return handle(message, context, name)

    decorator(name)(handler)


app = make_client_app(cache=StageCache.from_environment())
