"""The Flower ClientApp: turns messages into actions on this machine's data. The same under every engine."""

from collections.abc import Callable
from functools import lru_cache

import torch
from flwr.app import Context, Message
from flwr.clientapp import ClientApp

from fedjtt.cache import StageCache
from fedjtt.config import RunConfig
from fedjtt.errors import FedJTTError
from fedjtt.methods.base import Node
from fedjtt.methods.registry import CATEGORIES, action_for
from fedjtt.models import ModelBuilder
from fedjtt.provide import Provider, provide_from_config
from fedjtt.records import PARTITION_ID, failure_records, from_records, read_memo, to_reply, write_memo


@lru_cache(maxsize=8)
def _parse(items: tuple[tuple[str, str | int | float | bool], ...]) -> RunConfig:
    return RunConfig.parse(dict(items))


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
            data = provide(config, partition_id, num_partitions)
            node = Node(partition_id, num_partitions, config, data, memo, cache, model_builder)
            reply = action_for(action, config)(node, from_records(message.content))
            if memo.keys() != kept.keys() or any(memo[name] is not kept[name] for name in memo):
                write_memo(context, memo)
            content = to_reply(reply, partition_id)
        except FedJTTError as error:
            content = failure_records(error, partition_id)
        return Message(content, reply_to=message)

    for name, category in CATEGORIES.items():
        _register(app, category, name, handle)
    return app


def _register(app: ClientApp, category: str, name: str, handle: Callable[[Message, Context, str], Message]) -> None:
    decorator = getattr(app, category)

    def handler(message: Message, context: Context) -> Message:
        return handle(message, context, name)

    decorator(name)(handler)


app = make_client_app(cache=StageCache.from_environment())
