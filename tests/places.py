"""Places that a deployment's page speaks of, each with folders of its own and, where root may, a network of its own."""

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.tiny import REPO

SECONDS = 400


@dataclass(frozen=True)
class Place:
    """One computer of the page.

    Attributes
    ----------
    root : Path
        In place of its file system.
    address : str
        By which the others reach it.
    namespace : str
        Its network; empty: this machine's own.
    port : int
        Of the node's own server, which must differ where the network is shared.
    """

    root: Path
    address: str
    namespace: str
    port: int

    def run(self, script: str, **variables: str) -> str:
        """Run a script here and return what it printed; it must end well."""
        path = os.pathsep.join([str(self.root.parent / "bin"), os.environ["PATH"]])
        given = {"PATH": path, "PYTHONPATH": str(REPO), "FEDJTT_NODE_PORT": str(self.port), **variables}
        environment = {name: value for name, value in os.environ.items() if name not in ("FEDJTT_DATA", "FLWR_HOME")}
        enter = ["ip", "netns", "exec", self.namespace] if self.namespace else []
        said = self.root / "said.txt"  # a file: what is left running in the background would hold a pipe open
        with said.open("w") as file:
            done = subprocess.run(
                [*enter, "sh", "-euc", script], cwd=self.root, env={**environment, **given}, timeout=SECONDS,
                stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT,
            )  # fmt: skip
        assert done.returncode == 0, f"{script}\n{said.read_text()}"
        return said.read_text()


@contextmanager
def three_places(folder: Path) -> Iterator[dict[str, Place]]:
    """Give your machine, the server, north and south; their networks are gone afterwards."""
    (folder / "bin").mkdir()
    (folder / "bin" / "fedjtt").write_text(f'#!/bin/sh\nexec {sys.executable} -m experiments.cli "$@"\n')
    (folder / "bin" / "fedjtt").chmod(0o755)
    mark = uuid.uuid4().hex[:6]
    names = {name: f"fedjtt-{mark}-{name}" for name in ("server", "north", "south")}
    try:
        shared = not (os.geteuid() == 0 and _networks(names, mark))
        places = {"your machine": Place(folder / "admin", "", "", 9094)}
        for number, (name, namespace) in enumerate(names.items()):
            address = "127.0.0.1" if shared else f"10.77.0.{number + 1}"
            place = "the server" if name == "server" else name
            places[place] = Place(folder / name, address, "" if shared else namespace, 9094 + number)
        for place in places.values():
            (place.root / "opt").mkdir(parents=True)
        yield places
    finally:
        for name in names.values():
            subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)


def _networks(names: dict[str, str], mark: str) -> bool:
    """Make a network each, north and south joined with the server by a bridge in it; False where that is impossible."""
    server = names["server"]
    commands = [f"ip netns add {name}" for name in names.values()]
    commands += [f"ip -n {name} link set lo up" for name in names.values()]
    commands += [f"ip -n {server} link add br0 type bridge", f"ip -n {server} address add 10.77.0.1/24 dev br0"]
    commands += [f"ip -n {server} link set br0 up"]
    for number, name in enumerate(("north", "south")):
        here, there = f"fj{mark}{number}a", f"fj{mark}{number}b"
        commands += [
            f"ip link add {here} type veth peer name {there}",
            f"ip link set {here} netns {server}",
            f"ip link set {there} netns {names[name]}",
            f"ip -n {server} link set {here} master br0 up",
            f"ip -n {names[name]} link set {there} name eth0",
            f"ip -n {names[name]} address add 10.77.0.{number + 2}/24 dev eth0",
            f"ip -n {names[name]} link set eth0 up",
        ]
    try:
        return all(subprocess.run(each.split(), capture_output=True, check=False).returncode == 0 for each in commands)
    except FileNotFoundError:
        return False
