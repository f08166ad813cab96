import numpy as np

from fedjtt.methods.base import Payload
from fedjtt.methods.erm import ERM
from tests.tiny import node_of, parts_of_a_run, tiny_config, tiny_splits


def test_every_example_stands_once() -> None:
    weights = ERM().lesson(node_of(tiny_config(), tiny_splits().train), Payload()).weights
    assert weights.tolist() == [1] * 60


def test_erm_has_no_identification_and_needs_no_attribute() -> None:
    for known in (True, False):
        for robust in ("central", "federated"):
            config = tiny_config(method="erm", robust=robust, selection="val-average")
            strategy, grid = parts_of_a_run(config, tiny_splits(known=known))
            trained = strategy.run(grid)
            assert trained.identification is None
            assert len(trained.history) == 2
            assert np.isfinite(trained.weights).all()
