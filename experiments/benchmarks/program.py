"""The whole program on the in-process engine against the same on Flower's simulation runtime."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from experiments.benchmarks.harness import Row, Setting, interleaved, medians_of, ratios_of, timed

COMMON = ["--method", "erm", "--robust", "federated", "--machines", "100", "--workers", "2", "--selection", "last"]
LARGE = ["--dataset", "spuco-mnist", "--batch-size", "32", "--robust-epochs", "3", "--robust-rounds", "3"]
SMALL = ["--dataset", "digits", "--batch-size", "32", "--robust-epochs", "20", "--robust-rounds", "20"]
QUICK = ["--dataset", "digits", "--batch-size", "32", "--robust-epochs", "2", "--robust-rounds", "2"]
LONGEST_MINUTES = 20


def run_program(setting: Setting, engine: str, options: list[str], digests: set[str]) -> float:
    """Do one run as a user would, in a folder of its own, and return its wall seconds."""
    out = Path(tempfile.mkdtemp(dir=setting.scratch))
    command = [sys.executable, "-m", "experiments.cli", "run", "--engine", engine, *COMMON, *options]
    command += ["--data-dir", str(setting.data_dir), "--out", str(out / "run"), "--quiet"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    environment.pop("FEDJTT_STAGE_CACHE", None)
    seconds = timed(
        lambda: subprocess.run(
            command, check=True, env=environment, stdout=subprocess.DEVNULL, timeout=60 * LONGEST_MINUTES
        )
    )
    digests.add(json.loads((out / "run" / "result.json").read_text())["digest"])
    return seconds


def _row(setting: Setting, name: str, options: list[str], target: float, size: str) -> Row:
    digests: set[str] = set()
    sides = [
        lambda: run_program(setting, "in-process", options, digests),
        lambda: run_program(setting, "flower", options, digests),
    ]
    figures = interleaved(sides, setting.pairs)
    ours, theirs = medians_of(figures)
    return Row(
        name,
        ratios_of(figures, 1, 0),
        target,
        f"fedjtt run, ERM, federated, {size}; wall s from start to exit: two workers in process {ours:.1f}, two actors "
        f"on Flower {theirs:.1f}; digests equal",
        at_least=True,
        problem="" if len(digests) == 1 else f"the weights differ: {sorted(digests)}",
    )


def many_examples(setting: Setting) -> list[Row]:
    """Measure few rounds over many examples."""
    if setting.quick:
        return [_row(setting, "program", QUICK, 2.0, "100 machines x 12 samples (digits), 2 rounds")]
    size = "100 machines x 480 samples (SpuCoMNIST's 48,004), LeNet, 3 rounds"
    return [_row(setting, "program", LARGE, 2.0, size)]


def few_examples(setting: Setting) -> list[Row]:
    """Measure many rounds over few examples."""
    options = QUICK if setting.quick else SMALL
    size = f"100 machines x 12 samples (digits' 1,200), LeNet, {options[-1]} rounds"
    return [_row(setting, "program-small", options, 4.0, size)]
