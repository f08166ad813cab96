"""A question to the machines, the step of it that an exchange makes, and what came of that."""

from dataclasses import dataclass

from fedjtt.errors import FedJTTError
from fedjtt.methods.base import Payload, Place
from strategies.exchange import Problem, stage_of
from strategies.requests import Requests

FIRST = ("describe", "prepare", "census")
"""Actions that come before the server knows all machines."""

DRAWN = ("fit", "learn", "slopes")
"""Actions that a share of the machines is drawn for."""


@dataclass(frozen=True)
class Question:
    """What is asked of a place.

    Attributes
    ----------
    step : str
        Of secure aggregation: ``keys``, ``shares``, ``masked`` (the action itself), ``reveal``; empty where the action
        is asked for in the clear.
    """

    place: Place
    action: str
    request: Requests
    round: int = 0
    step: str = ""

    @property
    def sent(self) -> str:
        """The action that the messages name."""
        return self.action if self.step in ("", "masked") else self.step

    @property
    def begins(self) -> bool:
        """Whether no exchange of this question has come before, so that anyone connected can take part."""
        return self.step in ("", "keys")

    @property
    def acts(self) -> bool:
        """Whether the machines do what the question asks, for which they may need to be reminded of something."""
        return self.step in ("", "masked")

    @property
    def is_drawn(self) -> bool:
        """Whether a share of the machines is drawn to take part."""
        return self.action in DRAWN and self.begins

    @property
    def stage(self) -> str:
        """The stage that pays for it."""
        return stage_of(self.action)

    @property
    def where(self) -> str:
        """Stage and round, for messages."""
        return f"{self.stage} stage" + (f", round {self.round}" if self.round else "")


@dataclass(frozen=True)
class Tried:
    """What came of asking: how many machines were meant, what counts by machine, and what does not.

    Attributes
    ----------
    needed : int
        Machines that must count.
    total : Payload or None
        The machines' sum, where nothing else is known.
    """

    asked: int
    payloads: dict[int, Payload]
    problems: list[Problem]
    failure: FedJTTError | None
    needed: int = 1
    total: Payload | None = None
