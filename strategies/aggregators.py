"""Flower's aggregation rules as the rule that joins the machines' weights in a round."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
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

from fedjtt.automatic import AUTO_SERVER_RATE
from fedjtt.config import RunConfig
from fedjtt.errors import EngineError
from fedjtt.methods.averaging import weighted_mean
from fedjtt.methods.base import Array
from fedjtt.records import from_array_record, to_array_record

WEIGHT_KEY = "num-examples"
# Byzantine machines that Krum and Bulyan are to withstand, as a share of the machines that answer.
MALICIOUS_SHARE = 0.2


@dataclass(frozen=True)
class _Terms:
    """What the rules ask for: the server's learning rate, machines in a round, FedProx's pull."""

    rate: float
    machines: float
    proximal_mu: float

    @property
    def malicious(self) -> int:
        """Machines that a rule is to withstand."""
        return int(MALICIOUS_SHARE * self.machines)

    @property
    def selected(self) -> int:
        """Updates that Multi-Krum takes the mean of; Flower's default, one, would make it Krum."""
        return max(1, int(self.machines) - self.malicious)


AGGREGATORS: dict[str, Callable[[_Terms], FedAvg]] = {
    "fedavg": lambda terms: FedAvg(),  # noqa: ARG005
    "fedprox": lambda terms: FedProx(proximal_mu=terms.proximal_mu),
    "fedavgm": lambda terms: FedAvgM(server_learning_rate=terms.rate, server_momentum=0.9),
    "fedadagrad": lambda terms: FedAdagrad(eta=terms.rate),
    "fedadam": lambda terms: FedAdam(eta=terms.rate),
    "fedyogi": lambda terms: FedYogi(eta=terms.rate),
    "fedmedian": lambda terms: FedMedian(),  # noqa: ARG005
    "fedtrimmedavg": lambda terms: FedTrimmedAvg(beta=MALICIOUS_SHARE),  # noqa: ARG005
    "krum": lambda terms: Krum(num_malicious_nodes=terms.malicious),
    "multikrum": lambda terms: MultiKrum(num_malicious_nodes=terms.malicious, num_nodes_to_select=terms.selected),
    "fednova": lambda terms: FedAvg(),  # noqa: ARG005 (of updates that methods/fit.py has normalised)
    "bulyan": lambda terms: Bulyan(num_malicious_nodes=terms.malicious),
}


def robust_aggregator(config: RunConfig) -> "Aggregator":
    """Return the rule of the robust stage."""
    machines = 1 if config.robust == "central" else config.machines * float(config.fraction_train)
    return Aggregator(config.aggregator, _Terms(float(config.server_learning_rate), machines, config.proximal_mu))


def identify_aggregator(config: RunConfig) -> "Aggregator":
    """Return the rule of the federated identification."""
    machines = config.machines * float(config.fraction_train)
    return Aggregator(config.identify_aggregator, _Terms(float(config.identify_server_learning_rate), machines, 0.0))


class Aggregator:
    """A Flower rule fed with vectors: state such as Adam's moments lives in the rule, from round to round.

    Attributes
    ----------
    steps : bool
        Whether the rule steps along the mean update, and so may go beyond the machines' values.
    """

    def __init__(self, name: str, terms: _Terms) -> None:
        self._rule = AGGREGATORS[name](terms)
        self.name, self.steps = name, name in AUTO_SERVER_RATE

    def combine(
        self, server_round: int, current: Array, updates: Sequence[tuple[Array, float]], running: int = 0
    ) -> Array:
        """Return the joined weights.

        A rule that steps along the mean update joins what is trained; the running statistics behind it are the
        machines' mean, since a step could bring a variance below 0. All other rules stay between the machines' values.

        Parameters
        ----------
        current : ndarray
            The weights that the round started from.
        updates : sequence of (ndarray, float)
            The machines' weights and sizes, ordered by partition id.
        running : int
            How many of the last numbers are batch norms' running statistics; only a rule that steps asks.

        Raises
        ------
        EngineError
            Where the rule cannot work with these updates.
        """
        if running and self.steps:
            trained, sizes = len(current) - running, [size for _, size in updates]
            moved = self.combine(server_round, current[:trained], [(each[:trained], size) for each, size in updates])
            return np.concatenate([moved, weighted_mean([each[trained:] for each, _ in updates], sizes)])
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

    def state(self) -> dict[str, Array]:
        """Return what an adaptive rule keeps from round to round: momentum, or Adam's moments."""
        kept = {name: getattr(self._rule, name, None) for name in ("momentum_vector", "m_t", "v_t")}
        return {
            name: value[0] if isinstance(value, list) else value["weights"] for name, value in kept.items() if value
        }

    def resume(self, state: Mapping[str, Array]) -> None:
        """Take over what :meth:`state` returned."""
        for name, value in state.items():
            setattr(self._rule, name, [value] if name == "momentum_vector" else {"weights": value})

    def summary(self) -> None:
        """Log the rule's settings, as every Flower strategy does."""
        self._rule.summary()


def _update_message(position: int, vector: Array, size: float) -> Message:
    """Return an update in the form that Flower's rules read: one ArrayRecord and one MetricRecord with the size."""
    arrays, metrics = to_array_record({"weights": vector}), MetricRecord({WEIGHT_KEY: size})
    return Message(RecordDict({"arrays": arrays, "metrics": metrics}), position + 1, MessageType.TRAIN)
