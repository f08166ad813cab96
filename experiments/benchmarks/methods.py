"""An epoch of every method's rounds against one of ERM's, over ten machines, bookkeeping of the server's included.

All take the same steps of the same batch (but where a cut leaves a machine fewer examples), and the clock runs from the
end of the first round to the end of the last: what comes before the rounds (counts, cuts, identification) is no epoch,
and first calls are nobody's.
"""

import time
from collections.abc import Mapping
from typing import Any

from experiments.benchmarks.harness import Row, Setting, interleaved, medians_of, one_thread, ratios_of, spuco_mnist
from fedjtt.api import simulate
from fedjtt.choices import BALANCES, REMOVING
from fedjtt.config import RunConfig
from fedjtt.data.grouped import Splits
from fedjtt.methods.registry import METHODS

TARGET = 1.3
STEPS, QUICK_STEPS = 150, 12  # of ten machines in batches of 32: an epoch of SpuCoMNIST's 48,004
ROUNDS = 4
FEW = 500  # rows to evaluate on: an evaluation is the same for all methods
COMMON: dict[str, Any] = {
    "dataset": "spuco-mnist", "machines": 10, "robust": "federated", "batch-size": 32, "robust-schedule": "same-epochs",
    "robust-epochs": 1e-5, "robust-rounds": ROUNDS, "learning-rate": 0.01, "selection": "last",
    "identify": "local", "identify-epochs": 1, "identify-min-steps": 0, "identify-batch-size": 512,
    "identify-stop": "last", "identify-guard": False, "upsample": 2,
}  # fmt: skip
VARIANTS: dict[str, dict[str, Any]] = {
    **{name: {"method": name} for name in METHODS if name != "balance"},
    # Their rounds are the same whoever has been removed; what finds them is no epoch, and takes long.
    **{name: {"method": name, "d3m-remove": 1, "d3m-remove-by": "random"} for name in REMOVING},
    **{f"balance, {kind}": {"method": "balance", "balance": kind} for kind in BALANCES},
    "group-dro, inferred groups": {"method": "group-dro", "groups": "inferred"},
    "cvar-dro, of a batch": {"method": "cvar-dro", "cvar-threshold": "batch"},
}
TWO_NETWORKS = ("lff",)
"""Methods that are reported and not judged."""


class Clock:
    """An observer that takes this process's CPU time at the end of every round."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def progress(self, stage: str, server_round: int, rounds: int, figures: Mapping[str, Any]) -> None:  # noqa: ARG002
        """Be told of a round."""
        if stage == "robust":
            self.times.append(time.process_time())

    @property
    def seconds(self) -> float:
        """From the first round's end to the last's."""
        return self.times[-1] - self.times[0]


def seconds_of(variant: Mapping[str, Any], splits: Splits, steps: int) -> float:
    """Return the CPU seconds of a method's rounds after the first."""
    clock = Clock()
    simulate(RunConfig.parse({**COMMON, "robust-min-steps": steps, **variant}), splits, observer=clock)
    return clock.seconds


def run(setting: Setting) -> list[Row]:
    """Measure every method's ratio."""
    one_thread()
    splits = spuco_mnist(setting.data_dir, 2_000 if setting.quick else None)
    few = spuco_mnist(setting.data_dir, FEW)
    splits = Splits(splits.train, few.validation, few.test, splits.label_names, splits.attribute_names)
    steps = QUICK_STEPS if setting.quick else STEPS
    sides = [lambda v=variant: seconds_of(v, splits, steps) for variant in VARIANTS.values()]
    seconds_of(VARIANTS["erm"], splits, QUICK_STEPS)  # torch's and oneDNN's first calls are nobody's
    figures = interleaved(sides, setting.pairs)
    erm = list(VARIANTS).index("erm")
    seconds = medians_of(figures)
    return [
        Row(
            f"method: {name}",
            ratios_of(figures, place, erm),
            None if name in TWO_NETWORKS else TARGET,
            f"10 machines, LeNet, batch 32, {ROUNDS - 1} rounds of {steps // ROUNDS} steps: "
            f"{seconds[place]:.2f} CPU s, ERM {seconds[erm]:.2f}",
        )
        for place, name in enumerate(VARIANTS)
        if name != "erm"
    ]
