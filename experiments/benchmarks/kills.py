"""``python -m experiments.benchmarks.kills [--kills N] [--seed S]``: killed at random moments, a run ends as if not.

Every try is a process of its own that gets SIGKILL at a moment drawn from the calm run's time, goes on by
``fedjtt run --resume``, and must end with the calm run's digest.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fedjtt
from fedjtt.checkpoint import FOLDER
from fedjtt.errors import RunError
from fedjtt.seeding import numpy_generator

CONFIG: dict[str, Any] = {
    "dataset": "digits", "machines": 3, "model": "mlp", "robust": "federated", "identify-rounds": 4,
    "identify-epochs": 1, "identify-min-steps": 0, "robust-epochs": 2, "robust-rounds": 20, "robust-min-steps": 0,
}  # fmt: skip
START_SECONDS = 120.0
MOST_DRAWS = 4


@dataclass(frozen=True)
class Kill:
    """One killed and resumed run.

    Attributes
    ----------
    seconds : float
        Between the start of its work and the kill.
    checkpoint : int
        The last checkpoint that it had written then; 0: none.
    same : bool
        Whether it ended with the calm run's digest.
    """

    seconds: float
    checkpoint: int
    same: bool


def kill_and_resume(kills: int, seed: int, scratch: Path, config: Mapping[str, Any] | None = None) -> Iterator[Kill]:
    """Kill and resume so many runs, one after another.

    Raises
    ------
    RunError
        Where runs end before they can be killed, or do not go on.
    """
    chosen = {**CONFIG, **(config or {})}
    calm = scratch / "calm"
    process, started = _begin(chosen, calm)
    while process.poll() is None and not (calm / "done").exists():
        time.sleep(0.01)
    whole = time.monotonic() - started  # what a process does after its work may be killed, and means nothing
    if process.wait() != 0:
        raise RunError("the run that nobody kills did not end well")
    digest = _digest(calm)
    chance = numpy_generator(seed, "kills")
    for number in range(kills):
        for draw in range(MOST_DRAWS):
            out, seconds = scratch / f"{number}-{draw}", float(chance.uniform(0, whole))
            if _killed(chosen, out, seconds):
                break
        else:
            raise RunError(f"kill {number + 1}: {MOST_DRAWS} runs ended before they were killed")
        lists = [int(path.stem) for path in (out / FOLDER).glob("*.json")]
        if _start(["--resume", str(out)]).wait() != 0:
            raise RunError(f"kill {number + 1}: the run in {out} did not go on")
        yield Kill(seconds, max(lists, default=0), _digest(out) == digest and not (out / FOLDER).exists())


def _killed(config: Mapping[str, Any], out: Path, seconds: float) -> bool:
    """Start a run and kill it so many seconds after it began its work; return whether it was not done."""
    process, _ = _begin(config, out)
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
    return process.wait() == -signal.SIGKILL and not (out / "done").exists()


def _begin(config: Mapping[str, Any], out: Path) -> tuple[subprocess.Popen[bytes], float]:
    """Start a run and return it, with the moment, as soon as it has begun its folder: imports are not killed here."""
    settings = [part for key, value in config.items() for part in ("--set", f"{key}={value}")]
    process = _start([*settings, "--out", str(out)])
    deadline = time.monotonic() + START_SECONDS
    while not (out / "metrics.jsonl").exists():
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            raise RunError(f"the run in {out} did not begin")
        time.sleep(0.01)
    return process, time.monotonic()


def _start(arguments: list[str]) -> subprocess.Popen[bytes]:
    # A process of its own must find the package as this one did, installed or not.
    package = str(Path(fedjtt.__file__).parents[1])
    path = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH")]))
    command = [sys.executable, "-m", "experiments.cli", "run", "--quiet", *arguments]
    return subprocess.Popen(command, env={**os.environ, "PYTHONPATH": path}, stdout=subprocess.DEVNULL)


def _digest(out: Path) -> str:
    return str(json.loads((out / "result.json").read_text())["digest"])


def main(arguments: list[str] | None = None) -> int:
    """Kill and resume, print a line a kill, and return 1 if any ended otherwise."""
    parser = argparse.ArgumentParser("experiments.benchmarks.kills", description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="fedjtt-kills-") as scratch:
        done = []
        for kill in kill_and_resume(given.kills, given.seed, Path(scratch)):
            done.append(kill)
            verdict = "same digest" if kill.same else "ANOTHER DIGEST"
            print(f"{len(done):3}  after {kill.seconds:5.2f} s, checkpoint {kill.checkpoint:2}: {verdict}", flush=True)
    same = sum(kill.same for kill in done)
    print(f"{same} of {len(done)} runs ended with the digest of the run that nobody killed")
    return int(same < len(done))


if __name__ == "__main__":
    sys.exit(main())
