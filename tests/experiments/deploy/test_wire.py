"""The ledger against the wire: what a run says that it sent and received, and what went through the nodes' sockets."""

import csv
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from experiments.deploy import local
from experiments.deploy.check import read_place
from experiments.deploy.layout import init
from experiments.deploy.local import local_deployment
from experiments.deploy.start import execute_run
from fedjtt.config import RunConfig
from fedjtt.tracking import RunFolder
from tests.experiments.deploy.counting import Counter, counting_proxy
from tests.test_flower_engine import mark as mark  # a fixture: nothing may be left running
from tests.test_flower_engine import wait_until
from tests.tiny import TINY

ROUNDS = 6
IDLE_SECONDS = 10.0
CONFIG: dict[str, Any] = {
    **TINY, "method": "erm", "model": "lenet", "robust": "federated", "machines": 2, "engine": "flower",
    "robust-rounds": ROUNDS,
}  # fmt: skip


@contextmanager
def counted_deployment(config: RunConfig, patch: pytest.MonkeyPatch) -> Iterator[tuple[Path, list[Counter]]]:
    """Have every node connect through a proxy of its own."""
    with ExitStack() as stack:
        counters: list[Counter] = []

        def init_with_proxies(directory: Path, names: list[str], server: str) -> None:
            init(directory, names, server)
            for name in names:
                port, counter = stack.enter_context(counting_proxy(int(server.rpartition(":")[2])))
                counters.append(counter)
                start = directory / name / "start.sh"
                start.write_text(start.read_text().replace(f"--superlink {server}", f"--superlink localhost:{port}"))

        patch.setattr(local, "init", init_with_proxies)
        yield stack.enter_context(local_deployment(config, time.monotonic() + 120)), counters


@pytest.mark.slow
@pytest.mark.usefixtures("mark")
def test_the_ledger_agrees_with_what_crosses_the_wire(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Polls and heartbeats go on whether there is a run or not; they are measured before it and taken off.

    What is left above the ledger are HTTP's and TLS's own bytes of an object's request: about 20 kB an exchange.
    """
    config = RunConfig.parse(CONFIG)
    with counted_deployment(config, monkeypatch) as (home, counters):
        assert wait_until(lambda: all(counter.connections for counter in counters), 60)
        time.sleep(3)  # what a node says first is no poll
        before = _moved(counters)
        time.sleep(IDLE_SECONDS)
        begun, start = time.monotonic(), _moved(counters)
        idle = [(now - then) / IDLE_SECONDS for now, then in zip(start, before, strict=True)]
        execute_run(config, RunFolder(tmp_path / "run", config), None, read_place(home / "hosts" / "server"))
        seconds = time.monotonic() - begun
        up, down = (now - then for now, then in zip(_moved(counters), start, strict=True))
    with (tmp_path / "run" / "ledger.csv").open() as file:
        rows = list(csv.DictReader(file))
    sent, received, messages = (sum(int(row[name]) for row in rows) for name in ("sent", "received", "messages"))
    wire = up + down - sum(idle) * seconds
    print(
        f"ledger: {sent} sent, {received} received in {messages} messages; "
        f"wire: {down} down, {up} up in {seconds:.0f} s; "
        f"idle {idle[1]:.0f} B/s down, {idle[0]:.0f} B/s up; ratio {wire / (sent + received):.4f} without polls, "
        f"{(up + down) / (sent + received):.4f} with them"
    )
    assert messages == 2 * (ROUNDS + 1)  # the census, and every round
    assert 1 <= wire / (sent + received) <= 1.05
    assert sum(idle) * seconds < 0.05 * wire


def _moved(counters: list[Counter]) -> tuple[int, int]:
    return sum(counter.up for counter in counters), sum(counter.down for counter in counters)
