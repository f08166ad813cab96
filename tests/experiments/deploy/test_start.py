"""``fedjtt deploy run`` and the script that calls it; over real processes it is in test_faults.py."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from experiments.deploy import start
from experiments.deploy.check import read_place
from experiments.deploy.layout import init
from experiments.deploy.local import free_ports
from fedjtt.config import RunConfig
from fedjtt.errors import EngineError
from fedjtt.tracking import RunFolder
from tests.experiments.conftest import Call
from tests.tiny import REPO


@pytest.fixture
def server(tmp_path: Path) -> Path:
    """A server's folder; nothing listens at its port."""
    init(tmp_path / "d", ["a", "b"], f"localhost:{free_ports(1)[0]}")
    return tmp_path / "d" / "server"


def test_without_a_server_it_says_how_to_start_one_and_leaves_nothing(server: Path, tmp_path: Path) -> None:
    config = RunConfig.parse({"machines": 2, "engine": "flower"})
    with pytest.raises(EngineError, match=r"wrong: nothing listens at port \d+ here; \./start\.sh"):
        start.execute_run(config, RunFolder(tmp_path / "run", config), None, read_place(server))
    assert not (tmp_path / "run").exists()
    assert not (server / "state").exists()


def test_a_run_that_is_done_is_only_read(server: Path, tmp_path: Path) -> None:
    config = RunConfig.parse({"machines": 2, "engine": "flower"})
    folder = RunFolder(tmp_path / "run", config)
    folder.begin()
    (folder.path / "result.json").write_text('{"digest": "d"}')
    (folder.path / "done").touch()
    assert start.execute_run(config, folder, None, read_place(server)) == {"digest": "d"}


def test_the_keys_come_from_texts_files_and_options(
    call: Call,
    server: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: dict[str, Any] = {}

    def noted(config: RunConfig, folder: RunFolder, *_: Any, **options: Any) -> Any:
        seen.update(config.flat(), folder=folder.path.name, restarts=options["restarts"], name=options["server"].name)
        raise EngineError("planted")

    monkeypatch.setattr(start, "execute_run", noted)
    Path("run.toml").write_text('method = "erm"\nseed = 1\n')
    pairs = 'robust="federated" out="results/my first" on-restart=resume'
    assert call("deploy", "run", str(server), "run.toml", pairs, "--seed", "7", "--restarts", "5")[0] == 1
    expected = {"method": "erm", "robust": "federated", "seed": 7, "machines": 2, "engine": "flower", "restarts": 5}
    assert {key: seen[key] for key in expected} == expected
    assert (seen["folder"], seen["name"], seen["on-restart"]) == ("my first", "server", "resume")
    call("deploy", "run", str(server))
    assert (seen["folder"], seen["restarts"]) == ("results", 3)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["nowhere"], "nowhere holds no deployment.json"),
        (["SERVER", "method=jt"], "did you mean 'jtt'?"),
        (["SERVER", 'out="half'], "cannot be read (No closing quotation)"),
        (["SERVER", "method"], "has no '='"),
        (["SERVER", "none.toml"], "none.toml does not exist"),
        (["SERVER", "--machines", "2"], "No such option"),
    ],
)
def test_what_is_wrong_is_one_line_and_exit_code_2(
    call: Call,
    server: Path,
    arguments: list[str],
    text: str,
) -> None:
    code, out, err = call("deploy", "run", *(str(server) if each == "SERVER" else each for each in arguments))
    assert (code, out) == (2, "")
    assert text in err
    assert err.count("\n") == 1


def test_the_script_calls_it_in_its_own_folder(server: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "FEDJTT_PYTHON": sys.executable, "PYTHONPATH": str(REPO)}
    ended = subprocess.run(
        ["sh", str(server / "run.sh"), 'method="erm" robust="federated"'],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1
    assert "nothing listens at port" in ended.stderr
    assert "Traceback" not in ended.stderr
