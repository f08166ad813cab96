"""A run that is started again from its checkpoint when its server was killed or died: ``on-restart = resume``.

Flower itself resumes nothing: a SuperLink that comes back with its database fails the runs that it had. What a machine
reports as its own error, what a user can correct, and a run that was stopped by hand end as they do.
"""

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.deploy.connection import check_server
from experiments.deploy.layout import Address
from fedjtt import run_lock
from fedjtt.checkpoint import Checkpoints
from fedjtt.config import RunConfig
from fedjtt.errors import EngineError, ServerLostError
from fedjtt.tracking import RunFolder

RESTARTS = 3
RESTARTS_FILE = "restarts.jsonl"
SERVER_SECONDS = 180.0
LOOK_SECONDS = 0.2


@dataclass(frozen=True)
class Recovery:
    """How a run is started again.

    Attributes
    ----------
    server : Address
        Of the SuperLink, as the nodes know it; it runs on this host.
    authority : Path
        The certificate that the SuperLink's is signed by.
    stop : callable
        Has Flower stop what is left of the run.
    restarts : int
        Starts in a row after which no new checkpoint was written before it is given up; 0: none at all.
    deadline : float
        When to give up, by the monotonic clock.
    """

    server: Address
    authority: Path
    stop: Callable[[], None]
    restarts: int = RESTARTS
    deadline: float = math.inf

    def run(self, start: Callable[[], None], config: RunConfig, folder: RunFolder) -> None:
        """Call `start`, which makes the run, until it comes to an end of its own.

        Raises
        ------
        FedJTTError
            What `start` raised, unless the server was lost; EngineError where it was and cannot be had back, or where
            the run gets no further.
        """
        before, tries = _reached(folder, config), 0
        if not before:
            (folder.path / RESTARTS_FILE).unlink(missing_ok=True)
        while True:
            try:
                return start()
            except ServerLostError as lost:
                if config.on_restart != "resume":
                    raise EngineError(f"{lost}; on-restart = resume would start it again") from None
                reached = _reached(folder, config)
                tries = 1 if reached > before else tries + 1
                if tries > self.restarts:
                    raise EngineError(f"{lost}; it was started again {tries - 1} times and got no further") from None
                before = reached
                self._await(lambda: not run_lock.is_held(folder.path), "the process of before does not end", lost)
                self._await(self._answers, "the SuperLink does not come back", lost)
                self.stop()
                folder.begin()
                _enter(folder, {"try": tries, "checkpoint": reached, "why": str(lost)})

    def _answers(self) -> bool:
        return all(finding.good for finding in check_server(self.server, self.authority, at_home=True))

    def _await(self, met: Callable[[], bool], otherwise: str, lost: ServerLostError) -> None:
        deadline = min(self.deadline, time.monotonic() + SERVER_SECONDS)
        while not met():
            if time.monotonic() > deadline:
                raise EngineError(f"{lost}; {otherwise}") from None
            time.sleep(LOOK_SECONDS)


def _reached(folder: RunFolder, config: RunConfig) -> int:
    """Return the number of the last checkpoint."""
    return Checkpoints.of_run(folder.path, config.replace(on_restart="resume")).number


def _enter(folder: RunFolder, line: dict[str, Any]) -> None:
    with (folder.path / RESTARTS_FILE).open("a") as file:
        file.write(json.dumps({**line, "time": round(time.time(), 3)}) + "\n")
