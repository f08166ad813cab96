"""Planted faults of a host's own, each found and named; those of the connection are in test_connection.py."""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from experiments.deploy.check import check, read_place
from experiments.deploy.finding import Finding
from experiments.deploy.layout import init
from experiments.flower_process import free_port
from fedjtt.config import RunConfig
from fedjtt.errors import ConfigError
from tests.own_hosts import write_hosts
from tests.tiny import TINY


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("made") / "deployment"
    init(directory, ["north", "south", "east"], f"localhost:{free_port()}")
    return directory


@pytest.fixture
def made(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "deployment"))


def found(folder: Path, **changes: object) -> dict[str, Finding]:
    config = RunConfig.parse({**TINY, **changes})
    return {finding.subject: finding for finding in check(read_place(folder), config)}


def change(folder: Path, edit: Callable[[dict[str, object]], None]) -> None:
    manifest = json.loads((folder / "deployment.json").read_text())
    edit(manifest)
    (folder / "deployment.json").write_text(json.dumps(manifest))


def test_a_host_as_it_was_made_lacks_only_its_server(made: Path) -> None:
    for name in ("north", "east"):
        findings = found(made / name)
        assert list(findings) == ["key", "authority", "server", "versions", "code", "data"]
        assert [subject for subject, finding in findings.items() if not finding.good] == ["server"]


def test_the_server_as_it_was_made_is_not_started_and_knows_no_node(made: Path) -> None:
    findings = found(made / "server")
    assert [subject for subject, finding in findings.items() if not finding.good] == ["nodes", "server"]
    assert findings["nodes"].text == "not registered: north, south, east"


def test_the_servers_own_keys(made: Path) -> None:
    server = made / "server"
    (server / "state").mkdir()
    for key in (server / "nodes").iterdir():
        shutil.copy(key, server / "state" / f"{key.stem}.registered")
    assert found(server)["nodes"].text == "3 registered"
    shutil.copy(server / "nodes" / "north.pub", server / "nodes" / "south.pub")
    (server / "nodes" / "east.pub").unlink()
    assert found(server)["nodes"].text == "nodes/ has no key, or another one, of south, east"
    shutil.copy(made / "authority" / "ca.key", server / "server.key")
    assert "does not belong to the key" in found(server)["key"].text


def test_a_nodes_key(made: Path, tmp_path: Path) -> None:
    key = made / "north" / "node.key"
    key.chmod(0o644)
    assert "node.key has mode 0644: others may read it; chmod 600" in str(found(made / "north")["key"])
    shutil.copy(made / "south" / "node.key", key)
    assert found(made / "north")["key"].text == "node.key is the key of south, not of north"
    init(tmp_path / "other", ["north"])
    shutil.copy(tmp_path / "other" / "north" / "node.key", key)
    assert found(made / "north")["key"].text.startswith("unknown: node.key belongs to no host")
    key.write_text("no key")
    assert "not a private key in OpenSSH's format" in found(made / "north")["key"].text
    key.unlink()
    assert "node.key is not here" in found(made / "north")["key"].text


def test_other_versions_and_other_code(made: Path) -> None:
    def older(manifest: dict[str, object]) -> None:
        versions = manifest["versions"]
        assert isinstance(versions, dict)
        versions.update(torch="1.0", flwr="1.40.0")
        manifest["code"] = "0" * 64

    change(made / "north", older)
    findings = found(made / "north")
    assert not findings["versions"].good
    assert ", not 1.0" in findings["versions"].text
    assert ", not 1.40.0" in findings["versions"].text
    assert "python" not in findings["versions"].text
    assert ", not 000000000000" in findings["code"].text


def test_data_that_is_not_here(made: Path, monkeypatch: pytest.MonkeyPatch, tiny_mnist: Path) -> None:
    monkeypatch.delenv("FEDJTT_DATA", raising=False)
    wanted = {"dataset": "spuco-mnist"}
    for name in ("north", "server"):
        assert "train-images-idx3-ubyte is missing" in found(made / name, **wanted)["data"].text
        settings = made / name / "settings.env"
        settings.write_text(settings.read_text() + f"export FEDJTT_DATA={tiny_mnist}\n")
        assert found(made / name, **wanted)["data"].good
    (made / "north" / "node.toml").write_text("partition-id = 0\n")
    assert "node.toml or the data cannot be read" in found(made / "north")["data"].text
    assert "but the federation has 3 nodes" in found(made / "east", machines=2)["data"].text


def test_a_hosts_own_file_is_the_one_that_its_node_config_names(made: Path, tmp_path: Path) -> None:
    rows = write_hosts(tmp_path / "rows")
    own = {"dataset": "csv", "robust": "federated", "data-dir": str(rows), "schema-file": "schema.toml"}
    assert "host-files is empty" in found(made / "south", **own)["data"].text
    config = made / "south" / "node.toml"
    config.write_text(config.read_text() + 'data-file = "hosts/a.csv"\n')
    # 60 rows, of which (place // 2) % 5 < 3 are train: 36
    assert found(made / "south", **own)["data"].text == "csv, 36 train examples"
    config.write_text(config.read_text().replace("a.csv", "z.csv"))
    assert "z.csv is missing" in found(made / "south", **own)["data"].text


def test_another_python_than_the_start_commands(made: Path) -> None:
    settings = made / "north" / "settings.env"
    settings.write_text(f"export FEDJTT_PYTHON={sys.executable}\n")
    assert "settings" not in found(made / "north")
    settings.write_text("export FEDJTT_PYTHON=/elsewhere/python\n")
    assert found(made / "north")["settings"].text == "start.sh uses /elsewhere/python"


def test_a_folder_that_is_none_of_a_deployment(made: Path) -> None:
    with pytest.raises(ConfigError, match=r"holds no deployment\.json; name a host's folder"):
        read_place(made)
    change(made / "north", lambda manifest: manifest.update(format=2))
    with pytest.raises(ConfigError, match="has format 2, this fedjtt reads 1"):
        read_place(made / "north")
    (made / "east" / "deployment.json").write_text("{}")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_place(made / "east")
