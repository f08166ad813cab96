"""The hosts of a deployment on one machine: server and nodes as children of this process; run as a script.

Imports no package: it stands below the keeper that ends all of it, and waits most of the time. What it says to the run
that it belongs to are files in the folder: ``ready``, or ``failed`` with a line of why.
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


class _StartError(Exception):
    """A line of why the hosts are not there."""


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


def _check(folder: Path, processes: dict[str, subprocess.Popen[bytes]]) -> None:
    for name, process in processes.items():
        if process.poll() is not None:
            raise _StartError(f"{name} ended with exit code {process.returncode}: {last_line(folder, name)}")


def await_server(folder: Path, port: int, server: subprocess.Popen[bytes]) -> None:
    """Wait until the server answers over TLS."""
    context = ssl.create_default_context(cafile=str(folder / "hosts" / "server" / "ca.crt"))
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
    deadline = time.monotonic() + SERVER_SECONDS
    while time.monotonic() < deadline:
        _check(folder, {"server": server})
        try:
            with opener.open(f"https://localhost:{port}/health", timeout=1):
                return
        except (urllib.error.URLError, TimeoutError, ConnectionError):
            time.sleep(LOOK_SECONDS)
    raise _StartError(f"the server did not answer within {SERVER_SECONDS:.0f} s: {last_line(folder, 'server')}")


def run(folder: Path, node_ports: list[int]) -> None:
    """Start the server, make the nodes known, start the nodes, and stay until the server ends."""
    (folder / LOGS).mkdir()
    manifest = json.loads((folder / "hosts" / "server" / "deployment.json").read_text())
    server = start(folder, "server", "start.sh", FEDJTT_LISTEN="127.0.0.1")
    await_server(folder, manifest["server"]["port"], server)
    if start(folder, "server", "register.sh").wait():
        raise _StartError(f"a node could not be registered: {last_line(folder, 'server')}")
    processes = {"server": server} | {
        name: start(folder, name, "start.sh", FEDJTT_NODE_PORT=str(port))
        for name, port in zip(manifest["keys"], node_ports, strict=True)
    }
    pids = {name: process.pid for name, process in processes.items()}
    (folder / PROCESSES).write_text(json.dumps(pids))
    (folder / READY).touch()
    while True:  # a node that ends is the run's to notice, and to go on without
        _check(folder, {"server": server})
        for process in processes.values():
            process.poll()
        time.sleep(LOOK_SECONDS)


def main(folder: Path, node_ports: list[int]) -> None:
    """Run the hosts; why they ended is left as a line."""
    try:
        run(folder, node_ports)
    except _StartError as failure:
        (folder / FAILED).write_text(str(failure))
        sys.exit(1)


if __name__ == "__main__":
    main(Path(sys.argv[1]), [int(port) for port in sys.argv[2].split(",")])
