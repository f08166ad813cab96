"""Flower's aggregation rules as the rule that joins the machines' weights in a round."""

from collections.abc import Callable, Sequence

from flwr.app import Message, MessageType, MetricRecord, RecordDict
from flwr.serverapp.exception import AggregationError
from flwr.serverapp.strategy import (
    Bulyan,
    FedAdagrad,
    FedAdam,
    FedAvg,
    FedAvgM,
    FedMedian,
    FedProx,
    FedTrimmedAvg,
    FedYogi,
    Krum,
    MultiKrum,
)  # fmt: skip

from fedjtt.config import RunConfig
from fedjtt.errors import EngineError
from fedjtt.methods.base import Array
from fedjtt.records import from_array_record, to_array_record

WEIGHT_KEY = "num-examples"
# Byzantine machines that Krum and Bulyan are to withstand, as a share of the machines that answer.
MALICIOUS_SHARE = 0.2

AGGREGATORS: dict[str, Callable[[RunConfig], FedAvg]] = {
    "fedavg": lambda config: FedAvg(),  # noqa: ARG005
    "fedprox": lambda config: FedProx(proximal_mu=config.proximal_mu),
    "fedavgm": lambda config: FedAvgM(server_learning_rate=_rate(config), server_momentum=0.9),
    "fedadagrad": lambda config: FedAdagrad(eta=_rate(config)),
    "fedadam": lambda config: FedAdam(eta=_rate(config)),
    "fedyogi": lambda config: FedYogi(eta=_rate(config)),
    "fedmedian": lambda config: FedMedian(),  # noqa: ARG005
    "fedtrimmedavg": lambda config: FedTrimmedAvg(beta=MALICIOUS_SHARE),  # noqa: ARG005
    "krum": lambda config: Krum(num_malicious_nodes=_malicious(config)),
    "multikrum": lambda config: MultiKrum(num_malicious_nodes=_malicious(config)),
    "bulyan": lambda config: Bulyan(num_malicious_nodes=_malicious(config)),
}


def _rate(config: RunConfig) -> float:
    return float(config.server_learning_rate)


def _malicious(config: RunConfig) -> int:
    machines = 1 if config.robust == "central" else config.machines
    return int(MALICIOUS_SHARE * machines * config.fraction_train)


class Aggregator:
    """A Flower rule fed with vectors: state such as Adam's moments lives in the rule, from round to round."""

    def __init__(self, config: RunConfig) -> None:
        self._rule = AGGREGATORS[config.aggregator](config)
        self.name = config.aggregator

    def combine(self, server_round: int, current: Array, updates: Sequence[tuple[Array, float]]) -> Array:
        """Return the joined weights.

        Parameters
        ----------
        current : ndarray
            The weights that the round started from.
        updates : sequence of (ndarray, float)
            The machines' weights and sizes, ordered by partition id.

        Raises
        ------
        EngineError
            Where the rule cannot work with these updates.
        """
        self._remember(current)
        replies = [_update_message(position, vector, size) for position, (vector, size) in enumerate(updates)]
        try:
            arrays, _ = self._rule.aggregate_train(server_round, replies)
        except (AggregationError, ValueError) as error:
            raise EngineError(f"aggregator {self.name}: {error}") from error
        if arrays is None:
            raise EngineError(f"aggregator {self.name} returned no weights for round {server_round}")
        return from_array_record(arrays)["weights"].astype(current.dtype, copy=False)

    def _remember(self, current: Array) -> None:
        """Tell the adaptive rules what the machines started from, which they learn from configure_train."""
        if hasattr(self._rule, "current_arrays"):
            record = to_array_record({"weights": current})
            keeps_records = isinstance(self._rule, FedAvgM)
            self._rule.current_arrays = record if keeps_records else from_array_record(record)

    def summary(self) -> None:
        """Log the rule's settings, as every Flower strategy does."""
        self._rule.summary()


def _update_message(position: int, vector: Array, size: float) -> Message:
    """Return an update in the form that Flower's rules read: one ArrayRecord and one MetricRecord with the size."""
    arrays, metrics = to_array_record({"weights": vector}), MetricRecord({WEIGHT_KEY: size})
    return Message(RecordDict({"arrays": arrays, "metrics": metrics}), position + 1, MessageType.TRAIN)
