"""What a method is made of: payloads that travel, the node and the server that the two halves of a stage see.

A method file holds both halves of an algorithm. The node's half is a function ``(Node, Payload) -> Payload``, called
an action; the server's half is a plain procedure that asks machines for actions and reduces their replies. Neither
knows Flower: records, client_app and strategies carry the payloads over whichever Grid lies below.
"""

from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, Protocol

import torch
from numpy.typing import NDArray
from torch import Tensor

from fedjtt.cache import StageCache
from fedjtt.config import RunConfig
from fedjtt.data.grouped import GroupedDataset, Splits
from fedjtt.data.host import Host, NoRows
from fedjtt.models import FlatModel, ModelBuilder
from fedjtt.seeding import torch_generator
from fedjtt.workspace import builder_of, initial_values, network_of

if TYPE_CHECKING:
    from fedjtt.methods.lesson import Lesson

Array = NDArray[Any]
Scalar = int | float | list[int] | list[float]
Place = Literal["machines", "server"]
# What the initial weights of a run's network, and of a method's second one, are drawn for.
PURPOSES = ("weights", "biased-weights")


@dataclass(frozen=True)
class Payload:
    """What one message carries: arrays by name, numbers by name."""

    arrays: Mapping[str, Array] = field(default_factory=dict)
    numbers: Mapping[str, Scalar] = field(default_factory=dict)

    def integer(self, name: str) -> int:
        """Return a number that must be whole."""
        value = self.numbers[name]
        if not isinstance(value, int):
            raise TypeError(f"{name} is {value!r}, not a whole number")
        return value

    def real(self, name: str) -> float:
        """Return a number."""
        value = self.numbers[name]
        if isinstance(value, list):
            raise TypeError(f"{name} is a list, not a number")
        return float(value)

    def reals(self, name: str) -> list[float]:
        """Return a number, or a list of them, as a list: a reply that is a sum lists what is not summed."""
        value = self.numbers[name]
        return [float(item) for item in value] if isinstance(value, list) else [float(value)]

    def integers(self, name: str) -> list[int]:
        """Return a list of whole numbers."""
        value = self.numbers[name]
        if not isinstance(value, list):
            raise TypeError(f"{name} is {value!r}, not a list")
        return [int(item) for item in value]


def seconds_of(replies: Sequence[Payload]) -> list[float]:
    """Return the seconds that every machine says; a reply that stands for many machines lists theirs."""
    return [seconds for reply in replies for seconds in reply.reals("seconds")]


def is_sum(replies: Sequence[Payload]) -> bool:
    """Return whether the one reply stands for all machines: under ``secure-aggregation`` the server sees no other."""
    return any("machines" in reply.numbers for reply in replies)


def senders_of(replies: Sequence[Payload]) -> int:
    """Return how many machines the replies come from."""
    return sum(reply.integer("machines") if "machines" in reply.numbers else 1 for reply in replies)


@dataclass(frozen=True)
class Part:
    """Rows of a dataset: what a machine sees of one split, without a copy of it."""

    dataset: GroupedDataset
    rows: Tensor

    def __len__(self) -> int:
        """Return the number of examples."""
        return len(self.rows)

    @property
    def id(self) -> Tensor:
        """int64 ``[n]``: the ids of the part's examples, ascending."""
        return self.dataset.id[self.rows]


@dataclass(frozen=True)
class NodeData:
    """A machine's part of each split."""

    train: Part
    validation: Part
    test: Part


def trained_on(data: NodeData, split: str) -> NodeData:
    """Return what a node sees where methods train on another split: that split in train's place."""
    return data if split == "train" else replace(data, train=data.validation)


def whole(splits: Splits) -> NodeData:
    """Return all rows of all splits."""
    return NodeData(*(Part(data, torch.arange(len(data))) for data in (splits.train, splits.validation, splits.test)))


@dataclass
class Node:
    """A machine, as the node's half of an algorithm sees it.

    Attributes
    ----------
    memo : MutableMapping
        Arrays that a machine keeps between messages: a cache of what it can compute again, never the only copy.
    model_builder : callable or None
        A network of the caller's own in place of ``config.model``.
    host : Host or NoRows or None
        The machine's own rows before they are encoded; None: ``data`` is all that there is.
    """

    partition_id: int
    num_partitions: int
    config: RunConfig
    data: NodeData
    memo: MutableMapping[str, Array]
    cache: StageCache | None = None
    model_builder: ModelBuilder | None = None
    host: Host | NoRows | None = None

    def initial_model(self, slot: int = 0, purpose: str = "") -> FlatModel:
        """Return a network with the run's initial weights: the same on every machine and for every method.

        A process has one network for all its machines, and a second one in slot 1 for methods that train two; what is
        returned is valid until the next call. A `purpose` of its own has initial weights of its own.
        """
        purpose = purpose or PURPOSES[slot]
        model = self.network(purpose)
        model.load(initial_values(*self._about_network(), self.config.seed, purpose))
        return model

    def load(self, weights: Array, slot: int = 0) -> FlatModel:
        """Return a network with the given weights, as :attr:`fedjtt.models.FlatModel.vector` orders them."""
        model = self.network(PURPOSES[slot])
        model.load(torch.from_numpy(weights))
        return model

    def network(self, purpose: str = PURPOSES[0]) -> FlatModel:
        """Return the process's network for a purpose, with whatever values it has."""
        return network_of(*self._about_network(), self.config.device, purpose)

    def _about_network(self) -> tuple[ModelBuilder, tuple[int, ...], int]:
        dataset = self.data.train.dataset
        return builder_of(self.config, self.model_builder), tuple(dataset.x.shape[1:]), dataset.num_labels

    def generator(self, purpose: str, server_round: int = 0) -> torch.Generator:
        """Return this machine's generator for a purpose and a round."""
        return torch_generator(self.config.seed, purpose, server_round, self.partition_id)


class Server(Protocol):
    """What the server's half of an algorithm can do; strategies/ implements it over a Flower Grid."""

    @property
    def config(self) -> RunConfig:
        """The run's configuration."""

    @property
    def cache(self) -> StageCache | None:
        """Results of earlier stages, or None."""

    @property
    def initial(self) -> Array | None:
        """Weights to start from in place of the seed's, or None."""

    @property
    def running(self) -> int:
        """How many numbers at the weights' end are batch norms' running statistics, which no gradient trains."""

    @property
    def reference(self) -> Mapping[str, Array] | None:
        """The short ERM model by which validation is grouped, and what it took; None: nothing asks for it."""

    def note(self, text: str) -> None:
        """Add a line to what the result says about itself."""

    def ask(
        self, place: Place, action: str, request: Payload | Mapping[int, Payload], server_round: int = 0
    ) -> list[Payload]:
        """Send a request to every machine of a place and return the good replies, ordered by partition id.

        A mapping from partition ids has a request of its own for each machine, and asks no others.
        """

    def keep(self, action: str, request: Payload | Mapping[int, Payload]) -> None:
        """Remember what a machine that raises ForgottenError is asked again, before its present request is repeated."""

    def combine(
        self, server_round: int, current: Array, updates: Sequence[tuple[Array, float]], stage: str = "robust"
    ) -> Array:
        """Join machines' weights, each with its size, by the stage's aggregator."""

    def spent(self, stage: str) -> tuple[int, int]:
        """Return the bytes that a stage has sent to and received from machines so far."""

    def book(self, stage: str, sent: int, received: int) -> None:
        """Count bytes that a stage cost when its cached result was computed: a result does not depend on a cache."""

    def save(self, name: str, state: Mapping[str, Array]) -> None:
        """Write a state to the run's checkpoint, where it has one: a run that is killed goes on from the last."""

    def saved(self, name: str) -> Mapping[str, Array] | None:
        """Return what was saved under a name before this run was resumed, or None."""

    def progress(self, stage: str, server_round: int, rounds: int, figures: Mapping[str, Any]) -> None:
        """Tell whoever watches that a round has ended."""


Action = Callable[[Node, Payload], Payload]


@dataclass(frozen=True)
class Trained:
    """What a method returns: the selected weights and what the result says of how they came about.

    Attributes
    ----------
    weights : ndarray
        float32, as :attr:`fedjtt.models.FlatModel.vector` orders them.
    history : list of dict
        A line a round.
    seconds : dict
        CPU seconds: ``robust`` along the slowest machine of every round and ``robust-sum`` over all machines.
    selected_round : int
        The round whose weights these are.
    identification : dict or None
        What was found, for methods that look for a minority.
    head : dict or None
        What was chosen for the last layer, for methods that fit it anew.
    removal : dict or None
        What was removed and why, for methods that remove examples.
    sparse : dict or None
        How sparse the network was, for methods that train a sparse one.
    """

    weights: Array
    history: list[dict[str, Any]]
    seconds: dict[str, Any]
    selected_round: int
    identification: dict[str, Any] | None = None
    head: dict[str, Any] | None = None
    removal: dict[str, Any] | None = None
    sparse: dict[str, Any] | None = None


class Method(Protocol):
    """An algorithm: its name, what a node trains on in a round, and its server half."""

    name: str

    def lesson(self, node: Node, request: Payload) -> "Lesson":
        """Return what the node trains on in a round."""

    def coordinate(self, server: Server) -> Trained:
        """Run all stages and return the trained model."""
