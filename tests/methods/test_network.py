"""What the server learns of the run's network: its initial weights, given ones first, and what of them is trained."""

import numpy as np
import pytest
from torch import nn

from fedjtt.client_app import make_client_app
from fedjtt.methods.base import Node, Payload
from fedjtt.methods.network import initial, initial_weights, network, purpose_of
from fedjtt.provide import provide_parts, server_data
from fedjtt.simulation import InProcessGrid
from strategies.staged import StagedStrategy
from tests.tiny import node_of, parts_of_a_run, tiny_config, tiny_splits


def normed(shape: tuple[int, ...], labels: int) -> nn.Module:
    return nn.Sequential(nn.BatchNorm1d(shape[0]), nn.Linear(shape[0], labels))


def node(own: bool = False) -> Node:
    made = node_of(tiny_config(), tiny_splits().train)
    made.model_builder = normed if own else None
    return made


@pytest.mark.parametrize(
    ("own", "parameters", "running"),
    # 5*128 + 129*128 + 129*2 of the mlp; scale and shift of 4, 5*2 of the last layer, and 2*4 statistics
    [(False, 640 + 16512 + 258, 0), (True, 8 + 10, 8)],
)
def test_it_counts_what_is_trained_and_what_is_not(own: bool, parameters: int, running: int) -> None:
    reply = network(node(own), Payload())
    assert reply.numbers == {"parameters": parameters, "running": running}
    assert len(initial(node(own), Payload()).arrays["weights"]) == parameters + running


def test_the_strategy_asks_the_servers_own_node_once() -> None:
    config, splits = tiny_config(), tiny_splits()
    grid = InProcessGrid(make_client_app(provide_parts([server_data(splits)]), None, normed), config, 1)
    strategy = StagedStrategy(config, grid)
    assert strategy.running == 8
    grid.send_and_receive = None  # type: ignore[method-assign, assignment]
    assert strategy.running == 8
    assert parts_of_a_run(config, splits)[0].running == 0


def test_weights_that_were_given_are_the_first_models_only() -> None:
    strategy, _ = parts_of_a_run(tiny_config(), tiny_splits())
    drawn = initial_weights(strategy)
    strategy.initial = np.zeros_like(drawn)
    assert initial_weights(strategy) is strategy.initial
    second = initial_weights(strategy, Payload(numbers={"model": 1}))
    assert second.any()
    assert (second != drawn).any()


def test_several_models_alike_have_purposes_of_their_own() -> None:
    assert purpose_of("robust", Payload()) == purpose_of("robust", Payload(numbers={"model": 0})) == "robust"
    assert purpose_of("robust", Payload(numbers={"model": 2})) == "robust/2"
