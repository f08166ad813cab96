"""What a machine's reply is judged by, beside the request: what it said before, and what the server knows itself."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from fedjtt.methods.base import Array, Payload

Owner = Callable[[int], Array | None]
"""From a partition id to the ids of that machine's train examples, where the server can know them; else None."""


def nobody(partition_id: int) -> Array | None:  # noqa: ARG001 (an owner's signature)
    """Know no machine's ids."""
    return None


@dataclass
class Known:
    """What a reply is judged by, beside the request: what the sender said before, and what the server knows itself.

    Attributes
    ----------
    owner : callable
        Gives the ids that a machine may name.
    max_update_norm : float
        Longest change of the weights that a machine may send; 0: any finite one.
    kind : str
        Which groups examples are weighed by: true, class, inferred or machine.
    alike : bool
        Whether all machines' updates count alike, as under noise-multiplier.
    biased : bool
        Whether machines send a second network, which leans on what is easy.
    noisy : bool
        Whether counts have noise: then they need not fit what is known, or was said before a restart.
    ids : bool
        Whether machines name their errors; if not, no id may leave them.
    average : bool
        Whether machines send averages of their weights in the robust stage.
    parameters : int or None
        Length of a model that a machine hands out, where it is known.
    census, groups : dict
        By partition id, the counts per label and per group that the machine gave first.
    held : dict
        By partition id and split, the counts that the machine evaluated on first.
    validation : dict
        By partition id, what the machine first said of validation for a new last layer: rows per group, and the
        features' width.
    """

    owner: Owner = nobody
    max_update_norm: float = 0.0
    kind: str = "true"
    alike: bool = False
    biased: bool = False
    noisy: bool = False
    ids: bool = False
    average: bool = False
    parameters: int | None = None
    census: dict[int, list[int]] = field(default_factory=dict)
    groups: dict[int, list[int]] = field(default_factory=dict)
    held: dict[tuple[int, int], list[int]] = field(default_factory=dict)
    validation: dict[int, tuple[list[int], int]] = field(default_factory=dict)

    def labels(self, machine: int) -> list[int]:
        """Return the machine's train examples per label."""
        if machine not in self.census:
            raise ValueError("it has not said before how many examples it has")
        return self.census[machine]

    def examples(self, machine: int) -> int:
        """Return the number of the machine's train examples."""
        return sum(self.labels(machine))

    def validating(self, machine: int) -> tuple[list[int], int]:
        """Return the machine's validation rows per group, and the width of their features."""
        if machine not in self.validation:
            raise ValueError("it has not said before how many validation rows it has")
        return self.validation[machine]


Rule = Callable[[Known, int, Payload, Payload], str]
"""From what is known, a machine, the request and the reply to what is wrong with it, or an empty string."""


def misshapen(reply: Payload, shapes: Mapping[str, tuple[int, ...]], kind: type) -> str:
    """Say which of a reply's arrays has another shape or kind than it should, or nothing."""
    for name, shape in shapes.items():
        array: Array = reply.arrays[name]
        if array.shape != shape or array.dtype != kind:
            return f"its {name} is {array.dtype} {list(array.shape)}, not {np.dtype(kind)} {list(shape)}"
    return ""
