"""The exchange before the first stage: what machines tell, what they agree on, and what one that forgot is told."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import fedjtt
from fedjtt.client_app import make_client_app
from fedjtt.config import RunConfig
from fedjtt.data.host import NoRows
from fedjtt.errors import ConfigError, ForgottenError
from fedjtt.hosts import hosts_of
from fedjtt.methods.base import Node, Payload
from fedjtt.methods.prepare import HAS_MISSING, MEAN, STD, describe, prepared
from fedjtt.provide import provide_parts
from fedjtt.records import MEMO
from fedjtt.server_app import run_method
from fedjtt.simulation import InProcessGrid
from strategies.staged import StagedStrategy
from tests.own_hosts import SCHEMA, own_config, write_hosts
from tests.tiny import NodeData, asked, node_of, tiny_config, tiny_splits

NO_DATA: NodeData = node_of(tiny_config(), tiny_splits().train).data


def parts(config: RunConfig) -> tuple[StagedStrategy, InProcessGrid]:
    machines = InProcessGrid(make_client_app(provide_parts(hosts_of(config))), config, config.machines)
    server = InProcessGrid(make_client_app(provide_parts([NoRows()])), config, 1)
    return StagedStrategy(config, server), machines


def exchanged(config: RunConfig) -> list[tuple[str, int, Payload, Payload]]:
    strategy, grid = parts(config)
    seen = asked(grid)
    strategy.run(grid)
    return seen


def encoding_in(seen: list[tuple[str, int, Payload, Payload]]) -> dict[str, Any]:
    return dict(next(request.arrays for action, _, request, _ in seen if action == "prepare"))


def pooled(folder: Path) -> pd.DataFrame:
    frames = [pd.read_csv(folder / "hosts" / f"{name}.csv", na_values="?") for name in "ac"]
    second = pd.read_csv(folder / "hosts" / "b.csv", na_values="?", sep=";", decimal=",")
    rows = pd.concat([*frames, second.rename(columns={"years": "age"})])
    return rows[rows["part"] == "train"]


def test_standardisation_over_machines_is_that_of_all_rows_together(tmp_path: Path) -> None:
    seen = exchanged(own_config(write_hosts(tmp_path), method="erm"))
    told, rows = encoding_in(seen), pooled(tmp_path)[["age", "weight"]]
    np.testing.assert_allclose(told[MEAN], rows.mean(), rtol=1e-14)
    np.testing.assert_allclose(told[STD], rows.std(ddof=0), rtol=1e-12)
    assert told[HAS_MISSING].tolist() == rows.isna().any().astype(int).tolist() == [0, 1]
    assert [action for action, *_ in seen[:9]] == ["describe"] * 3 + ["prepare"] * 3 + ["census"] * 3


def test_the_order_of_the_hosts_does_not_matter(tmp_path: Path) -> None:
    write_hosts(tmp_path)
    told = [
        encoding_in(
            exchanged(own_config(tmp_path, method="erm", host_files=f"hosts/{a}.csv,hosts/{b}.csv,hosts/{c}.csv"))
        )
        for a, b, c in ("abc", "cab")
    ]
    assert [told[0][name].tobytes() for name in told[0]] == [told[1][name].tobytes() for name in told[0]]


def test_sums_over_few_rows_stay_at_home(tmp_path: Path) -> None:
    """The second host has a weight in two train rows only; the others' sums make the encoding."""
    folder = write_hosts(tmp_path)
    path = folder / "hosts" / "b.csv"
    lines, left = path.read_text().splitlines(), 2
    for place, line in enumerate(lines[1:], 1):
        cells = line.split(";")
        known = cells[4] != "?" and cells[2] == "train"
        cells[4] = cells[4] if known and left > 0 else "?"
        left -= known
        lines[place] = ";".join(cells)
    path.write_text("\n".join(lines) + "\n")
    config = own_config(folder, min_count=5)
    replies = [
        describe(Node(n, 3, config, NO_DATA, {}, host=host), Payload()) for n, host in enumerate(hosts_of(config))
    ]
    assert replies[1].arrays["present"][1] == 0
    assert not replies[1].arrays["total"][1].any()
    assert all(replies[number].arrays["total"].any(axis=1).all() for number in (0, 2))
    frank = describe(Node(1, 3, own_config(folder), NO_DATA, {}, host=hosts_of(config)[1]), Payload())
    assert frank.arrays["present"][1] == 2


def test_another_schema_is_refused_in_one_line(tmp_path: Path) -> None:
    write_hosts(tmp_path / "one")
    write_hosts(tmp_path / "two", schema=SCHEMA.replace('"none", "some"', '"none", "some", "much"'))
    config = own_config(tmp_path / "one")
    strange = hosts_of(own_config(tmp_path / "two"))[2]
    hosts = [*hosts_of(config)[:2], strange]
    grid = InProcessGrid(make_client_app(provide_parts(hosts)), config, 3)
    with pytest.raises(ConfigError, match=r"^machine 2 has another schema than machine 0; give all machines the same"):
        run_method(config, grid, provide_parts([NoRows()]))


def test_a_machine_that_was_told_nothing_has_forgotten(tmp_path: Path) -> None:
    config = own_config(write_hosts(tmp_path))
    with pytest.raises(ForgottenError, match="forgotten how its rows are encoded"):
        prepared(Node(0, 3, config, NO_DATA, {}, host=hosts_of(config)[0]))


class Forgetful(InProcessGrid):
    """Before one exchange, the machines lose what they remember."""

    def __init__(self, at: int, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.at, self.calls = at, 0

    def send_and_receive(self, messages: Any, **rest: Any) -> Any:
        self.calls += 1
        if self.calls == self.at:
            for context in self._contexts.values():
                context.state.pop(MEMO, None)
        return super().send_and_receive(messages, **rest)


@pytest.mark.parametrize("identify", ["federated", "local", "peers"])
@pytest.mark.parametrize("at", [3, 5, 7])
def test_a_restart_changes_nothing(tmp_path: Path, identify: str, at: int) -> None:
    config = own_config(write_hosts(tmp_path), identify=identify)
    calm = fedjtt.simulate(config).result
    grid = Forgetful(at, make_client_app(provide_parts(hosts_of(config))), config, 3)
    upset = run_method(config, grid, provide_parts([NoRows()])).result
    assert grid.calls > at
    assert (upset["digest"], upset["test"]) == (calm["digest"], calm["test"])


def test_the_same_bits_with_two_workers(tmp_path: Path) -> None:
    config = own_config(write_hosts(tmp_path), identify="federated")
    digests = {fedjtt.simulate(config.replace(workers=workers)).result["digest"] for workers in (1, 2)}
    assert len(digests) == 1


def test_without_an_attribute_it_trains_and_says_what_it_cannot_report(tmp_path: Path) -> None:
    bare = "\n".join(line for line in SCHEMA.splitlines() if not line.startswith("attribute"))
    result = fedjtt.simulate(own_config(write_hosts(tmp_path, schema=bare))).result
    assert result["test"]["worst-group-accuracy"] is None
    assert 0 <= result["test"]["worst-class-accuracy"] <= 1
    assert result["identification"]["precision"] is None
    assert result["config"]["selection"] == "val-worst-class"
    assert any("no attribute is known" in note for note in result["notes"])


@pytest.mark.parametrize("identify", ["federated", "local", "peers"])
def test_a_host_may_have_test_rows_only(tmp_path: Path, identify: str) -> None:
    folder = write_hosts(tmp_path)
    path = folder / "hosts" / "c.csv"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], *(line for line in lines if ",test," in line)]) + "\n")
    result = fedjtt.simulate(own_config(folder, identify=identify)).result
    assert [machine["samples"] for machine in result["identification"]["machines"]] == [36, 24, 0]
    assert sum(group["count"] for group in result["test"]["groups"]) == 12 + 8 + 6


def test_nothing_is_asked_where_the_server_knows_the_data() -> None:
    result = fedjtt.simulate(tiny_config(), tiny_splits()).result
    assert set(result["bytes"]) == {"sent", "received", "identify", "robust", "evaluate"}
