"""A deployment on this machine, a server and four nodes with processes of their own, against one process."""

import json
import statistics
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from experiments.benchmarks.harness import Row, Setting, interleaved, medians_of, ratios_of
from experiments.deploy.demo import configs_of
from experiments.deploy.demo_data import demo_data
from experiments.deploy.local import local_deployment
from experiments.deploy.visit import run_over
from fedjtt.api import simulate
from fedjtt.config import RunConfig
from fedjtt.tracking import RunFolder

MACHINES = 4
BYTES_A_NUMBER = 4
LONGEST_SECONDS = 1800.0
LIMIT_SECONDS = 5.0
LENET = {
    "dataset": "digits", "model": "lenet", "machines": MACHINES, "method": "erm", "robust": "federated",
    "robust-rounds": 10, "robust-epochs": 10, "robust-min-steps": 0, "selection": "last", "averaging": "none",
    "engine": "flower",
}  # fmt: skip


class _Deployed:
    """Runs a config in process and over a deployment, and notes what came out."""

    def __init__(self, home: Path, config: RunConfig, scratch: Path, name: str) -> None:
        self._home, self._config, self._scratch, self._name = home, config, scratch, name
        self._times = 0
        self.last = scratch
        self.results: list[dict[str, Any]] = []
        self.exchanges: list[float] = []

    def in_process(self) -> float:
        """Do the run in this process and return its wall seconds."""
        self.results.append(simulate(self._config.replace(engine="in-process")).result)
        return float(self.results[-1]["seconds"]["wall"])

    def deployed(self) -> float:
        """Do the run over the deployment and return its wall seconds, without Flower's start of the server's app."""
        self._times += 1
        self.last = self._scratch / f"{self._name}-{self._times}"
        folder = RunFolder(self.last, self._config)
        deadline = time.monotonic() + LONGEST_SECONDS
        self.results.append(run_over(self._home, self._config, folder, deadline=deadline))
        lines = [json.loads(line) for line in (folder.path / "metrics.jsonl").read_text().splitlines()]
        self.exchanges += [b["time"] - a["time"] for a, b in pairwise(lines) if a["stage"] == b["stage"] == "robust"]
        return float(self.results[-1]["seconds"]["wall"])

    @property
    def problem(self) -> str:
        """Why the times cannot be compared, if so."""
        digests = {result["digest"] for result in self.results}
        return "" if len(digests) == 1 else f"the weights differ: {sorted(digests)}"


def run(setting: Setting) -> list[Row]:
    """Measure both runs' overhead, the bytes of plain updates, and an exchange warm and with Flower's cold apps."""
    quick: dict[str, Any] = {"robust-rounds": 2} if setting.quick else {}
    data = demo_data(setting.scratch / "rows")
    hospitals = configs_of(data, [f"{key}={value}" for key, value in quick.items()])["JTT"]
    lenet = RunConfig.parse({**LENET, **quick})
    with local_deployment(lenet, time.monotonic() + LONGEST_SECONDS) as home:
        own_rows = _Deployed(home, hospitals, setting.scratch, "rows")
        rows = [_overhead(setting, own_rows, "deployment-rows", f"the run of make deploy-demo, JTT. {data.about}")]
        images = _Deployed(home, lenet, setting.scratch, "lenet")
        rows.append(_overhead(setting, images, "deployment-lenet", "LeNet on digits, ERM, selection = last"))
    few = lenet.replace(robust_rounds=2 if setting.quick else 4)
    with local_deployment(few, time.monotonic() + LONGEST_SECONDS, warm_apps=False) as home:
        cold = _Deployed(home, few, setting.scratch, "cold")
        cold.deployed()
    return [*rows, _updates(images), *_exchanges(images.exchanges, cold.exchanges)]


def _overhead(setting: Setting, both: _Deployed, name: str, what: str) -> Row:
    """Measure a deployment's wall seconds over those of one process."""
    figures = interleaved([both.in_process, both.deployed], setting.pairs)
    inside, deployed = medians_of(figures)
    result = both.results[0]
    rounds = int(result["config"]["robust-rounds"])
    cost = result["bytes"]
    how = (
        f"{what}; {MACHINES} machines, {rounds} robust rounds; wall s of a run, without the starts: in process "
        f"{inside:.1f}, deployed {deployed:.1f}; a robust round {statistics.median(both.exchanges):.1f} s and "
        f"{(sum(cost['robust'].values()) + sum(cost['evaluate'].values())) / rounds / 1e3:.0f} kB; digests equal"
    )
    return Row(name, ratios_of(figures, 1, 0), None, how, problem=both.problem)


def _updates(images: _Deployed) -> Row:
    """Compare the bytes of the messages with those of the bare updates: one model down and one up."""
    weights = np.load(images.last / "weights.npy")
    result = images.results[0]
    bare = BYTES_A_NUMBER * weights.size * 2 * MACHINES * int(result["config"]["robust-rounds"])
    sent = result["bytes"]["sent"] + result["bytes"]["received"]
    how = f"all messages of the LeNet run {sent / 1e6:.2f} MB, updates of {weights.size:,} numbers {bare / 1e6:.2f} MB"
    return Row("deployment-bytes", (sent / bare,), 1.3, how)


def _exchanges(warm: list[float], cold: list[float]) -> list[Row]:
    """Hold the median exchange against its limit, and one with cold apps against it."""
    ours, theirs = statistics.median(warm), statistics.median(cold)
    how = f"a round of the LeNet run is one exchange: median of {len(warm)}, {ours:.1f} s, over {LIMIT_SECONDS:.0f} s"
    cold_how = (
        f"the same with an app that starts cold for every message, Flower's way: {theirs:.1f} s, over {ours:.1f} s"
    )
    return [
        Row("deployment-exchange", (ours / LIMIT_SECONDS,), 1.0, how),
        Row("deployment-cold", (theirs / ours,), None, cold_how),
    ]
