"""The hosts of a deployment on one machine: server and nodes as children of this process; run as a script.

Imports no package: it stands below the keeper that ends all of it, and waits most of the time. What it says to the run
that it belongs to are files in the folder: ``ready``, or ``failed`` with a line of why. A host that ends is
started again, as a service is; only a server that ends by itself is the end of all.
"""

import json
import os
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

READY = "ready"
FAILED = "failed"
LOGS = "logs"
PROCESSES = "processes.json"
SERVER_SECONDS = 120.0
LOOK_SECONDS = 0.1
RESTART_SECONDS = 2.0
RETRY_SECONDS = 5.0  # where it ended by itself and may do so again: to start costs a core for seconds


class _StartError(Exception):
    """A line of why the hosts are not there."""


class Host:
    """A host of the deployment: the script that it runs, and its process.

    Parameters
    ----------
    folder : Path
        Of the deployment.
    name : str
        Of the host's folder.
    """

    def __init__(self, folder: Path, name: str, **environment: str) -> None:
        self._folder, self._environment = folder, environment
        self.name = name
        self._ended_at: float | None = None
        self.process = start(folder, name, "start.sh", **environment)

    def bring_back(self) -> bool:
        """Start a host that has ended again, after a while, as ``Restart=always`` of its service would."""
        code = self.process.poll()
        if code is None:
            return False
        if self._ended_at is None:
            self._ended_at = time.monotonic()
        if time.monotonic() - self._ended_at < (RETRY_SECONDS if _by_itself(code) else RESTART_SECONDS):
            return False
        self._ended_at = None
        self.process = start(self._folder, self.name, "start.sh", **self._environment)
        return True


def _by_itself(code: int) -> bool:
    """Return whether a process was not killed; Python says that by a negative code, a shell by one above 128."""
    return 0 <= code <= 128


def start(folder: Path, name: str, script: str, **environment: str) -> subprocess.Popen[bytes]:
    """Start a script of a host's folder with a log of its own."""
    with (folder / LOGS / f"{name}.log").open("ab") as log:
        return subprocess.Popen(
            ["/bin/sh", str(folder / "hosts" / name / script)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, **environment},
        )


def last_line(folder: Path, name: str) -> str:
    """Return the last line of a host's log."""
    lines = (folder / LOGS / f"{name}.log").read_text(errors="replace").split("\n")
    return next((line.strip()[:300] for line in reversed(lines) if line.strip()), "it wrote nothing")


def _check(folder: Path, server: Host) -> None:
    """Notice a server that ended by itself, which would do so again; one that was killed is brought back."""
    code = server.process.poll()
    if code is not None and _by_itself(code):
        raise _StartError(f"{server.name} ended with exit code {code}: {last_line(folder, server.name)}")


def await_server(folder: Path, port: int, server: Host) -> None:
    """Wait until the server answers over TLS."""
    context = ssl.create_default_context(cafile=str(folder / "hosts" / "server" / "ca.crt"))
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
    deadline = time.monotonic() + SERVER_SECONDS
    while time.monotonic() < deadline:
        _check(folder, server)
        try:
            with opener.open(f"https://localhost:{port}/health", timeout=1):
                return
        except (urllib.error.URLError, TimeoutError, ConnectionError):
            time.sleep(LOOK_SECONDS)
    raise _StartError(f"the server did not answer within {SERVER_SECONDS:.0f} s: {last_line(folder, 'server')}")


def run(folder: Path, node_ports: list[int]) -> None:
    """Start the server, make the nodes known, start the nodes, and bring back who is killed, until the server ends."""
    (folder / LOGS).mkdir()
    manifest = json.loads((folder / "hosts" / "server" / "deployment.json").read_text())
    server = Host(folder, "server", FEDJTT_LISTEN="127.0.0.1")
    await_server(folder, manifest["server"]["port"], server)
    if start(folder, "server", "register.sh").wait():
        raise _StartError(f"a node could not be registered: {last_line(folder, 'server')}")
    hosts = [server] + [
        Host(folder, name, FEDJTT_NODE_PORT=str(port)) for name, port in zip(manifest["keys"], node_ports, strict=True)
    ]
    _tell(folder, hosts)
    (folder / READY).touch()
    while True:
        _check(folder, server)
        if [host for host in hosts if host.bring_back()]:
            _tell(folder, hosts)
        time.sleep(LOOK_SECONDS)


def _tell(folder: Path, hosts: list[Host]) -> None:
    """Write which process is which host's; renamed into place, for whoever reads it meanwhile."""
    beside = folder / f"{PROCESSES}.part"
    beside.write_text(json.dumps({host.name: host.process.pid for host in hosts}))
    beside.replace(folder / PROCESSES)


def main(folder: Path, node_ports: list[int]) -> None:
    """Run the hosts; why they ended is left as a line."""
    try:
        run(folder, node_ports)
    except _StartError as failure:
        (folder / FAILED).write_text(str(failure))
        sys.exit(1)


if __name__ == "__main__":
    main(Path(sys.argv[1]), [int(port) for port in sys.argv[2].split(",")])
