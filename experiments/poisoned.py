"""Hostile machines in a federated run, under each rule that joins updates: ``python -m experiments.poisoned``.

Two of twelve machines send what contradicts nothing that the server can check: finite weights of the right shape. What
helps is a bound on an update's length or a rule that does without the odd ones; what helps is measured here.
"""

import argparse
import csv
import logging
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from flwr.app import Message

from experiments.options import merged, read_toml
from experiments.statistics import mean_interval
from fedjtt.client_app import make_client_app
from fedjtt.config import RunConfig
from fedjtt.errors import EngineError
from fedjtt.methods.base import Array, Payload
from fedjtt.provide import provide_from_config
from fedjtt.records import PARTITION_ID, failure_of, from_records, to_reply
from fedjtt.seeding import numpy_generator
from fedjtt.server_app import run_method
from fedjtt.simulation import InProcessGrid

HOSTILE = (3, 8)
MACHINES = 12
CONFIG = Path(__file__).parent / "configs" / "poisoned.toml"
BOUND = 15.0  # an honest identification round moves digits' LeNet by 9
DEFENCES: dict[str, dict[str, Any]] = {
    "mean": {},
    "mean, norm bound": {"max-update-norm": BOUND},
    "median": {"aggregator": "fedmedian", "identify-aggregator": "fedmedian"},
    "trimmed mean": {"aggregator": "fedtrimmedavg", "identify-aggregator": "fedtrimmedavg"},
    "Krum": {"aggregator": "krum", "identify-aggregator": "krum"},
    "Multi-Krum": {"aggregator": "multikrum", "identify-aggregator": "multikrum"},
    "Bulyan": {"aggregator": "bulyan", "identify-aggregator": "bulyan"},
}
COLUMNS = (
    "attack", "defence", "seed", "test.worst-group-accuracy", "test.average-accuracy", "precision", "recall", "missing",
    "digest", "error",
)  # fmt: skip
Attack = Callable[[Array, Array, np.random.Generator], Array]
ATTACKS: dict[str, Attack | None] = {
    "none": None,
    "reversed": lambda sent, trained, chance: sent - 5 * (trained - sent),  # noqa: ARG005
    "noise": lambda sent, trained, chance: (sent + chance.normal(0, 1, sent.shape)).astype(sent.dtype),  # noqa: ARG005
    "not a number": lambda sent, trained, chance: np.full_like(sent, np.nan),  # noqa: ARG005
}
"""What a hostile machine sends in place of the weights that it has trained."""


class HostileGrid(InProcessGrid):
    """Machines in this process of which some send other weights than they have trained."""

    attack: Attack | None = None
    seed = 0

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> list[Message]:
        """Deliver the messages and tamper with the hostile machines' updates."""
        sent = {message.metadata.dst_node_id: message for message in messages}
        replies = super().send_and_receive(list(sent.values()), timeout=timeout)
        return [self._tampered(sent[reply.metadata.src_node_id], reply) for reply in replies]

    def _tampered(self, request: Message, reply: Message) -> Message:
        if self.attack is None or not reply.has_content() or failure_of(reply.content) is not None:
            return reply
        told = from_records(reply.content)
        machine = told.integer(PARTITION_ID)
        if machine not in HOSTILE or "weights" not in told.arrays:
            return reply
        asked = from_records(request.content)
        chance = numpy_generator(self.seed, "hostile", asked.integer("round"), machine)
        weights = self.attack(asked.arrays["weights"], told.arrays["weights"], chance)
        return Message(to_reply(Payload({"weights": weights}, told.numbers), machine), reply_to=request)


def run(config: RunConfig, attack: Attack | None) -> dict[str, Any]:
    """Return the result of a run under an attack."""
    grid = HostileGrid(make_client_app(provide_from_config), config, config.machines)
    grid.attack, grid.seed = attack, config.seed
    return run_method(config, grid).result


def study(values: dict[str, Any], seeds: list[int], path: Path, say: Callable[[str], None] = print) -> None:
    """Run every attack under every defence for all seeds, and write a row for each run as soon as it has ended.

    Rows that the file has already are not made again.
    """
    rows = _read(path)
    known = {(row["attack"], row["defence"], row["seed"]) for row in rows}
    for attack, defence in [(attack, defence) for attack in ATTACKS for defence in DEFENCES]:
        for seed in [seed for seed in seeds if (attack, defence, str(seed)) not in known]:
            config = RunConfig.parse({"machines": MACHINES, **values, **DEFENCES[defence], "seed": seed})
            row: dict[str, Any] = dict.fromkeys(COLUMNS, "") | {"attack": attack, "defence": defence, "seed": str(seed)}
            try:
                row |= _figures(run(config, ATTACKS[attack]))
            except EngineError as error:  # Bulyan needs 11 machines where two may lie; it ends, which is an outcome too
                row["error"] = str(error)
            rows.append(row)
            _write(path, rows)
        say(_line(attack, defence, [row for row in rows if (row["attack"], row["defence"]) == (attack, defence)]))


def _figures(result: dict[str, Any]) -> dict[str, Any]:
    found = result["identification"]
    return {
        "test.worst-group-accuracy": result["test"]["worst-group-accuracy"],
        "test.average-accuracy": result["test"]["average-accuracy"],
        "precision": found["precision"], "recall": found["recall"],
        "missing": len(result["missing"]), "digest": result["digest"],
    }  # fmt: skip


def _read(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def _write(path: Path, rows: list[dict[str, Any]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _line(attack: str, defence: str, rows: list[dict[str, Any]]) -> str:
    scores = [100 * float(row["test.worst-group-accuracy"]) for row in rows if not row.get("error")]
    found = mean_interval(scores)
    shown = "ends" if found is None else f"{found.mean:5.1f}" + ("" if found.half is None else f" ± {found.half:4.1f}")
    return f"{attack:<14}{defence:<18}{shown}"


def main(arguments: list[str] | None = None) -> None:
    """Run the study and write its rows."""
    parser = argparse.ArgumentParser("experiments.poisoned", description=__doc__)
    parser.add_argument("--config", type=Path, default=CONFIG)
    parser.add_argument("--set", action="append", default=[], dest="settings", metavar="key=value")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--to", type=Path, default=Path("poisoned.csv"), help="CSV to write, or to go on with")
    given = parser.parse_args(arguments)
    logging.getLogger("flwr").setLevel(logging.WARNING)
    print(f"worst-group accuracy (test), {len(HOSTILE)} of {MACHINES} machines hostile; mean ± half of 95 % interval")
    study(merged(read_toml(given.config), given.settings, {}), given.seeds, given.to)


if __name__ == "__main__":
    main()
