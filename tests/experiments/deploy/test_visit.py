"""Runs over one deployment do not get into each other's way; with real processes they are in test_demo.py."""

from pathlib import Path
from typing import Any

import pytest

from experiments.deploy import visit
from fedjtt.config import RunConfig
from fedjtt.tracking import RunFolder
from tests.tiny import TINY


def test_every_run_has_an_app_of_its_own_and_absolute_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[Path, str, str]] = []

    def watched(home: Path, app: Path, config: RunConfig, folder: RunFolder, *_: Any, **__: Any) -> None:
        assert home == tmp_path
        assert (app / "pyproject.toml").exists()
        seen.append((app, config.out, config.data_dir))
        folder.finish({"name": folder.path.name}, [])  # type: ignore[arg-type]

    monkeypatch.setattr(visit, "watch", watched)
    monkeypatch.chdir(tmp_path)
    config = RunConfig.parse({**TINY, "robust": "federated", "data-dir": "rows"})
    results = [visit.run_over(tmp_path, config, RunFolder(Path("out") / name, config)) for name in ("a", "b")]
    assert results == [{"name": "a"}, {"name": "b"}]
    assert [out for _, out, _ in seen] == [str(tmp_path / "out" / name) for name in ("a", "b")]
    assert {data for *_, data in seen} == {str(tmp_path / "rows")}
    assert len({app.parent for app, *_ in seen}) == 2  # Flower's logs are written beside the apps
