"""Four real runs, made once for all tests of a process: two methods on two seeds of digits."""

from pathlib import Path

import pytest

from tests.experiments.analyse.made_runs import really_run


@pytest.fixture(scope="session")
def made_sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sweep")
    for method in ("erm", "group-balanced"):
        for seed in (0, 1):
            really_run(folder / "runs" / f"{method}-{seed}", method=method, seed=seed)
    return folder
