"""Memory of 100 machines against that of one: the data is held once, also with workers."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from experiments.benchmarks.harness import Row, Setting, interleaved, medians_of, ratios_of

OPTIONS = ["--method", "erm", "--robust", "federated", "--batch-size", "32", "--robust-epochs", "1"]
SAMPLE_SECONDS = 0.05


def tree_of(root: int) -> list[int]:
    """Return a process and all below it."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:  # ended in the meantime
            continue
        children.setdefault(parent, []).append(int(stat.parent.name))
    found = [root]
    for pid in found:
        found += children.get(pid, [])
    return found


def proportional_size(pid: int) -> int:
    """Return a process's proportional set size in bytes: a page that n processes share counts 1/n in each."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(1024 * int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def peak_of_program(setting: Setting, machines: int, workers: int) -> float:
    """Do one run and return the largest sum of proportional sizes that was seen over its processes, in MB."""
    out = Path(tempfile.mkdtemp(dir=setting.scratch))
    command = [sys.executable, "-m", "experiments.cli", "run", *OPTIONS, "--robust-rounds", "1"]
    command += ["--dataset", "digits" if setting.quick else "spuco-mnist", "--data-dir", str(setting.data_dir)]
    command += ["--machines", str(machines), "--workers", str(workers), "--out", str(out / "run"), "--quiet"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment)
    peak = 0
    while process.poll() is None:
        peak = max(peak, sum(proportional_size(pid) for pid in tree_of(process.pid)))
        time.sleep(SAMPLE_SECONDS)
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with exit code {process.returncode}")
    return peak / 1e6


def run(setting: Setting) -> list[Row]:
    """Measure 100 machines in one process and in two workers against one machine."""
    if not Path("/proc/self/smaps_rollup").exists():
        return [Row("memory", (float("nan"),), 1.2, "", problem="this system has no /proc/PID/smaps_rollup")]
    sides = [
        lambda: peak_of_program(setting, 1, 1),
        lambda: peak_of_program(setting, 100, 1),
        lambda: peak_of_program(setting, 100, 2),
    ]
    figures = interleaved(sides, setting.pairs)
    one, many, shared = medians_of(figures)
    how = (
        "fedjtt run, ERM, federated, SpuCoMNIST, one round; peak sum of proportional set sizes, MB: "
        "1 machine {:.0f}, 100 machines {} {:.0f}"
    )
    return [
        Row("memory", ratios_of(figures, 1, 0), 1.2, how.format(one, "in one process", many)),
        Row("memory-workers", ratios_of(figures, 2, 0), 1.2, how.format(one, "in two workers", shared)),
    ]
