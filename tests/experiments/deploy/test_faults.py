"""Faults of real processes over one deployment: every run ends as docs/faults.md says, and nothing of it is left.

The tests share three nodes and a server, and stand in the order in which they wear them out.
"""

import os
import re
import signal
import socket
import subprocess
import sys
import sysconfig
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509 import load_pem_x509_certificate

import fedjtt
from experiments.deploy import local
from experiments.deploy.certificates import Signed, new_node_key, server_certificate
from experiments.deploy.check import read_place
from experiments.deploy.connection import check_server
from experiments.deploy.local import free_ports, local_deployment
from experiments.deploy.start import execute_run
from fedjtt.config import RunConfig
from fedjtt.errors import EngineError
from fedjtt.tracking import RunFolder
from tests.test_flower_engine import MARK, marked, wait_until
from tests.tiny import REPO, TINY

pytestmark = pytest.mark.slow
CONFIG: dict[str, Any] = {
    **TINY, "robust": "federated", "machines": 3, "engine": "flower", "robust-rounds": 4, "on-restart": "resume",
}  # fmt: skip
PATIENCE = 120.0


class Deployment:
    """Server and nodes on this machine, and what can be done to them."""

    def __init__(self, home: Path, ports: list[int]) -> None:
        self.home, self.ports = home, ports

    def hosts_processes(self, name: str) -> list[int]:
        """All processes that work in a host's folder: Flower's, the warm one and the app's forks."""
        found = []
        for place in Path("/proc").glob("[0-9]*/cwd"):
            with suppress(OSError):
                if place.readlink() == self.home / "hosts" / name:
                    found.append(int(place.parent.name))
        return found

    def send(self, name: str, number: signal.Signals, program: str = "") -> None:
        """Send a signal to a host's processes, or to those of a program."""
        for pid in self.hosts_processes(name):
            with suppress(OSError):
                if program in Path(f"/proc/{pid}/cmdline").read_text():
                    os.kill(pid, number)

    def log(self, name: str) -> str:
        return (self.home / "logs" / f"{name}.log").read_text(errors="replace")

    def await_training(self, name: str, server_round: int) -> None:
        """Wait until a node has been given a round's training; it has not answered then."""
        received = re.compile(r"ROUND (\d+)\]\n.*Receiving: train\.fit")
        assert wait_until(lambda: received.findall(self.log(name))[-1:] == [str(server_round)], PATIENCE)

    def run(self, out: Path, faults: dict[int, Callable[[], None]], **changes: Any) -> dict[str, Any]:
        """Make a run in which faults are injected after rounds of its robust stage, each once."""
        config = RunConfig.parse({**CONFIG, **{key.replace("_", "-"): value for key, value in changes.items()}})
        return execute_run(config, RunFolder(out, config), _Injecting(faults), read_place(self.home / "hosts/server"))


class _Injecting:
    def __init__(self, faults: dict[int, Callable[[], None]]) -> None:
        self._faults = dict(faults)

    def progress(self, stage: str, server_round: int, rounds: int, figures: Any) -> None:  # noqa: ARG002
        if stage == "robust" and (fault := self._faults.pop(server_round, None)) is not None:
            fault()


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Three nodes and a server; in the end no process of theirs runs, no port is open and no file is left."""
    value, temporary = uuid.uuid4().hex, Path("/tmp") / uuid.uuid4().hex[:8]
    tmp_path_factory.getbasetemp()  # pytest's own folder is not to be made in the one that has to stay empty
    temporary.mkdir()
    ports: list[int] = []

    def noted(count: int) -> list[int]:
        ports.extend(free_ports(count))
        return ports

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(MARK, value)
        patch.setenv("TMPDIR", str(temporary))
        patch.setattr("tempfile.tempdir", str(temporary))
        patch.setattr(local, "free_ports", noted)
        with local_deployment(RunConfig.parse(CONFIG), time.monotonic() + PATIENCE) as home:
            yield Deployment(home, ports)
    left, files = marked(value), list(temporary.iterdir())
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    subprocess.run(["rm", "-rf", str(temporary)], check=True)
    assert not left
    assert not files
    assert len(ports) == 4
    assert not [port for port in ports if is_open(port)]


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def absences(result: dict[str, Any]) -> list[tuple[int, int]]:
    return [(row["round"], row["machine"]) for row in result["missing"]]


def test_nothing_is_lost_where_a_node_the_superlink_and_the_serverapp_are_killed(
    deployment: Deployment, tmp_path: Path
) -> None:
    """Who is brought back goes on, and the weights are those of a calm run.

    Flower lets a node that was killed in again after a minute, during which the others are asked in vain.
    """

    def kill_node_and_superlink() -> None:
        deployment.await_training("host-1", 2)
        deployment.send("host-1", signal.SIGKILL)
        deployment.send("server", signal.SIGKILL, "flower-superlink")

    def kill_serverapp() -> None:
        deployment.send("server", signal.SIGKILL, "flwr-serverapp")

    faults = {1: kill_node_and_superlink, 3: kill_serverapp}
    out = tmp_path / "run"
    settings = {"round_timeout": 25.0, "max_failed_rounds": 9}
    result = deployment.run(out, faults, **settings)
    calm = {key.replace("_", "-"): value for key, value in settings.items()}
    expected = fedjtt.simulate(RunConfig.parse({**CONFIG, **calm, "engine": "in-process"})).result
    assert result["digest"] == expected["digest"]
    assert result["test"] == expected["test"]
    # The server that went on asks first who is there, and may not know yet who it is that does not answer; on a busy
    # machine others are late too.
    assert {row["machine"] for row in result["missing"]} & {1, None}
    assert len((out / "restarts.jsonl").read_text().splitlines()) == 2
    assert any("of 3 machines counted; the others were asked again" in note for note in result["notes"])
    assert sum("went on from its checkpoint" in note for note in result["notes"]) == 2


def test_a_node_that_hangs_and_one_that_never_returns_hold_nobody_up(deployment: Deployment, tmp_path: Path) -> None:
    """A round waits as long as round-timeout says; who wakes up takes part again."""

    def hang() -> None:
        deployment.await_training("host-1", 2)
        deployment.send("host-1", signal.SIGSTOP)

    def wake_and_kill_another() -> None:
        deployment.send("host-1", signal.SIGCONT)
        (deployment.home / "hosts" / "host-2" / "start.sh").rename(deployment.home / "start-2.sh")
        deployment.send("host-2", signal.SIGKILL)

    started = time.monotonic()
    result = deployment.run(
        tmp_path / "run", {1: hang, 2: wake_and_kill_another}, round_timeout=25.0, min_machines=2, max_failed_rounds=3
    )
    seen = absences(result)
    assert (2, 1) in seen  # while it hung
    assert {(3, 2), (4, 2)} <= set(seen)  # while it was gone
    assert (4, 1) not in seen
    assert all("did not answer in time" in row["why"] or "not connected" in row["why"] for row in result["missing"])
    assert time.monotonic() - started < 200


def test_strangers_are_not_let_in(deployment: Deployment, tmp_path: Path) -> None:
    """A node with a key that nobody registered ends; one that speaks plain text never gets as far as to show one."""
    before = deployment.log("server").count("Activated node_id")
    folder = deployment.home / "hosts" / "host-0"
    (folder / "strange.key").write_bytes(new_node_key()[0])
    (folder / "strange.sh").write_text((folder / "start.sh").read_text().replace("node.key", "strange.key"))
    server = f"localhost:{deployment.ports[0]}"
    environment = {**os.environ, "PATH": os.pathsep.join([sysconfig.get_path("scripts"), os.environ["PATH"]])}
    environment |= {"FEDJTT_WARM": "0", "FEDJTT_NODE_PORT": str(free_ports(1)[0]), "PYTHONPATH": str(REPO)}
    environment |= {"FEDJTT_PYTHON": sys.executable, "FLWR_HOME": str(tmp_path)}
    port = ["--host", "127.0.0.1", "--port", str(free_ports(1)[0])]
    strange = _started(["sh", str(folder / "strange.sh")], tmp_path / "strange.log", environment)
    plain = _started(
        ["flower-supernode", "--insecure", "--superlink", server, *port], tmp_path / "plain.log", environment
    )
    try:
        assert wait_until(lambda: strange.poll() is not None, PATIENCE)
        assert strange.returncode != 0
        assert "No SuperNode found with the given public key" in deployment.log("server")
        assert wait_until(lambda: "retrying" in (tmp_path / "plain.log").read_text(), PATIENCE)
        assert plain.poll() is None
        assert deployment.log("server").count("Activated node_id") == before
    finally:
        for process in (strange, plain):
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _started(command: list[str], log: Path, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    with log.open("wb") as file:
        return subprocess.Popen(command, env=environment, stdout=file, stderr=file, start_new_session=True)


def test_an_expired_certificate_of_the_server_is_named(deployment: Deployment, tmp_path: Path) -> None:
    """Nobody connects to it: a host's check says why, and so does the run."""
    hosts = deployment.home / "hosts"
    authority = Signed(
        load_pem_x509_certificate((hosts / "authority" / "ca.crt").read_bytes()),
        load_pem_private_key((hosts / "authority" / "ca.key").read_bytes(), None),
    )
    expired = server_certificate(authority, ["localhost"], 1, datetime.now(UTC) - timedelta(days=9))
    (hosts / "server" / "server.crt").write_bytes(expired.certificate_pem)
    (hosts / "server" / "server.key").write_bytes(expired.key_pem)
    deployment.send("server", signal.SIGKILL, "flower-superlink")
    place = read_place(hosts / "host-0")

    def last_finding() -> str:
        return str([*check_server(place.server, hosts / "host-0" / "ca.crt")][-1])

    assert wait_until(lambda: last_finding().startswith("certificate wrong: the server's has expired"), PATIENCE)
    with pytest.raises(EngineError, match="certificate wrong: the server's has expired; make the deployment anew"):
        deployment.run(tmp_path / "run", {})
    assert not (tmp_path / "run").exists()
    assert wait_until(lambda: "certificate has expired" in deployment.log("host-0"), PATIENCE)
