"""A deployment on this machine: the same weights as in one process, and nothing of it left."""

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

import fedjtt
from experiments.deploy.certificates import new_node_key
from experiments.deploy.local import execute_local, free_ports, local_deployment
from fedjtt.config import RunConfig
from fedjtt.errors import ConfigError, DivergedError, EngineError
from fedjtt.tracking import RunFolder
from tests import tiny
from tests.test_flower_engine import Watching, marked, wait_until
from tests.test_flower_engine import mark as mark  # a fixture: nothing may be left running
from tests.tiny import REPO

CONFIG: dict[str, Any] = {**tiny.TINY, "robust": "federated", "machines": 2, "engine": "flower"}


@pytest.fixture
def ports(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Note the ports that a deployment takes."""
    taken: list[int] = []

    def noted(count: int) -> list[int]:
        taken[:] = free_ports(count)
        return taken

    monkeypatch.setattr("experiments.deploy.local.free_ports", noted)
    return taken


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.slow
@pytest.mark.usefixtures("mark")
def test_a_deployment_gives_the_same_weights_and_leaves_nothing(tmp_path: Path, ports: list[int]) -> None:
    config = RunConfig.parse({**CONFIG, "out": str(tmp_path / "run")})
    watching, local = Watching(), Watching()
    folder = RunFolder(tmp_path / "run", config)
    result = execute_local(config, folder, watching, seconds=550)
    assert not [port for port in ports if is_open(port)]
    assert len(ports) == 3
    expected = fedjtt.simulate(config.replace(engine="in-process"), observer=local).result
    assert result["digest"] == expected["digest"]
    assert result["bytes"] == expected["bytes"]
    assert watching.seen == local.seen
    assert {path.name for path in folder.path.iterdir()} == {
        "config.json", "environment.json", "ledger.csv", "metrics.jsonl", "result.json", "weights.npy", "done",
    }  # fmt: skip
    assert execute_local(config, folder, None, seconds=0) == result  # done: only read


@pytest.mark.slow
@pytest.mark.usefixtures("mark")
def test_the_nodes_are_authenticated_over_tls_and_a_failed_run_says_why(
    tmp_path: Path, ports: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One deployment for what needs one: who is let in, and a machine's own error."""
    config = RunConfig.parse({**CONFIG, "identify-learning-rate": 1e6})
    deadline = time.monotonic() + 550
    with local_deployment(config, deadline) as home:
        assert_only_known_nodes_get_in(home, ports)

        def the_same(*_: Any) -> Any:
            return _Given(home)

        monkeypatch.setattr("experiments.deploy.local.local_deployment", the_same)
        folder = RunFolder(tmp_path / "run", config)
        with pytest.raises(DivergedError, match=r"identify.*, machine 0: .*(nan|inf)"):
            execute_local(config, folder, seconds=550)
        assert not folder.done
    assert not [port for port in ports if is_open(port)]


class _Given:
    def __init__(self, home: Path) -> None:
        self._home = home

    def __enter__(self) -> Path:
        return self._home

    def __exit__(self, *rest: object) -> None:
        pass


def assert_only_known_nodes_get_in(home: Path, ports: list[int]) -> None:
    trusting = ssl.create_default_context(cafile=str(home / "hosts" / "host-0" / "ca.crt"))
    with socket.create_connection(("127.0.0.1", ports[0])) as connection:
        trusting.wrap_socket(connection, server_hostname="localhost").close()
    with socket.create_connection(("127.0.0.1", ports[0])) as connection, pytest.raises(ssl.SSLError):
        ssl.create_default_context().wrap_socket(connection, server_hostname="localhost")
    assert "No SuperNode found" not in (home / "logs" / "server.log").read_text()
    folder = home / "hosts" / "host-0"
    private, _ = new_node_key()
    (folder / "strange.key").write_bytes(private)
    (folder / "strange.sh").write_text((folder / "start.sh").read_text().replace("node.key", "strange.key"))
    environment = {**os.environ, "FEDJTT_WARM": "0", "FEDJTT_NODE_PORT": str(free_ports(1)[0])}
    environment |= {"FEDJTT_PYTHON": sys.executable, "PYTHONPATH": str(REPO)}
    with (home / "strange.log").open("wb") as log:
        stranger = subprocess.Popen(
            ["sh", str(folder / "strange.sh")], env=environment, stdout=log, stderr=log, start_new_session=True
        )
    try:
        said = "No SuperNode found with the given public key"
        assert wait_until(lambda: said in (home / "logs" / "server.log").read_text(), 200)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(stranger.pid, signal.SIGKILL)
        stranger.wait()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
def test_nothing_outlives_an_interrupted_run(mark: str, tmp_path: Path, number: signal.Signals) -> None:
    """The run is stopped where all its processes have been started."""
    program = "import sys; from experiments.cli import main; main()"
    settings = [text for key, value in CONFIG.items() if key != "engine" for text in ("--set", f"{key}={value}")]
    command = [sys.executable, "-c", program, "deploy", "local", "--out", str(tmp_path / "run"), *settings]
    run = subprocess.Popen(command, cwd=REPO, stderr=subprocess.DEVNULL)
    try:
        assert wait_until(lambda: any("flwr-serverapp" in name for name in marked(mark).values()), 400)
        (processes,) = Path(os.environ["TMPDIR"]).glob("fedjtt-*/processes.json")
        assert set(json.loads(processes.read_text())) == {"server", "host-0", "host-1"}
        run.send_signal(number)
        assert run.wait(30) != 0
    finally:
        run.kill()
        run.wait()
    assert wait_until(lambda: not marked(mark), 20), marked(mark)
    assert wait_until(lambda: not list(Path(os.environ["TMPDIR"]).iterdir()), 10)


@pytest.mark.usefixtures("mark")
def test_a_server_that_does_not_start_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = RunConfig.parse(CONFIG)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        monkeypatch.setattr("experiments.deploy.local.free_ports", lambda count: [port] * count)
        with pytest.raises(EngineError, match="did not start: server ended with exit code"):
            execute_local(config, RunFolder(tmp_path / "run", config), seconds=60)


@pytest.mark.usefixtures("mark")
def test_the_time_is_limited(tmp_path: Path) -> None:
    config = RunConfig.parse(CONFIG)
    with pytest.raises(EngineError, match="did not start in time"):
        execute_local(config, RunFolder(tmp_path / "run", config), seconds=0.5)


@pytest.mark.usefixtures("mark")
def test_what_the_user_can_correct_is_found_before_anything_starts(tmp_path: Path) -> None:
    config = RunConfig.parse({**CONFIG, "machines": 1201})
    folder = RunFolder(tmp_path / "run", config)
    with pytest.raises(ConfigError, match="machines is 1201"):
        execute_local(config, folder)
    assert not folder.path.exists()


def test_free_ports_differ() -> None:
    ports = free_ports(20)
    assert len(set(ports)) == 20
    assert not any(is_open(port) for port in ports)
