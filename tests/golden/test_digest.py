"""The digest of a tiny run is the same in two processes. Not pinned to a value: another CPU or torch has other bits."""

import json
import os
import subprocess
import sys

import pytest

from tests.tiny import REPO

PROGRAM = """
import json, fedjtt
from tests.tiny import tiny_config, tiny_splits
digests = [
    fedjtt.simulate(tiny_config(method=method, robust=robust), tiny_splits()).result["digest"]
    for method in ("erm", "jtt", "group-balanced") for robust in ("central", "federated")
]
digests.append(fedjtt.simulate(tiny_config(robust="federated", workers=2)).result["digest"])
print(json.dumps(digests))
"""


@pytest.mark.slow
def test_two_processes_give_the_same_digests() -> None:
    def run(hash_seed: str) -> str:
        environment = {**os.environ, "PYTHONPATH": str(REPO), "PYTHONHASHSEED": hash_seed, "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-c", PROGRAM]
        done = subprocess.run(command, cwd=REPO, env=environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout

    first = run("1")
    assert first == run("2")
    assert len(set(json.loads(first))) == 7  # and all methods and places differ, as they should
