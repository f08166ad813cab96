"""What ``fedjtt deploy init`` writes, with which modes, and what it refuses."""

import json
import os
import re
import stat
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import load_ssh_private_key, load_ssh_public_key

from experiments.deploy.layout import Address, init, parse_address
from fedjtt.config import RunConfig
from fedjtt.errors import ConfigError

HOSTS = ["north", "south-2", "East"]
SECRET = {"authority/ca.key", "server/server.key", *(f"{name}/node.key" for name in HOSTS)}
EACH = {"ca.crt", "deployment.json", "node.key", "node.toml", "settings.env", "start.sh"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("made") / "deployment"
    before = os.umask(0)  # modes must not depend on it
    try:
        init(directory, HOSTS, "fl.example.org:9443")
    finally:
        os.umask(before)
    return directory


def files(directory: Path) -> dict[str, Path]:
    return {str(path.relative_to(directory)): path for path in directory.rglob("*") if path.is_file()}


def test_every_host_and_the_server_has_its_folder(made: Path) -> None:
    expected = {"README.md", "authority/ca.crt", "authority/ca.key"}
    for name in HOSTS:
        expected |= {f"{name}/{file}" for file in EACH} | {f"{name}/fedjtt-{name}.service", f"server/nodes/{name}.pub"}
    own = ("ca.crt", "server.crt", "server.key", "settings.env", "start.sh", "register.sh", "run.sh")
    expected |= {f"server/{file}" for file in (*own, "deployment.json", "fedjtt-server.service", "app/pyproject.toml")}
    assert set(files(made)) == expected


def test_only_private_keys_are_private(made: Path) -> None:
    for name, path in files(made).items():
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode == (0o600 if name in SECRET else 0o755 if name.endswith(".sh") else mode & 0o666), name
        assert ("PRIVATE KEY" in path.read_text()) == (name in SECRET), name
    assert stat.S_IMODE(made.stat().st_mode) == 0o700


def test_a_nodes_private_key_belongs_to_the_public_one_that_the_server_has(made: Path) -> None:
    for name in HOSTS:
        private = load_ssh_private_key((made / name / "node.key").read_bytes(), None)
        assert private.public_key() == load_ssh_public_key((made / "server" / "nodes" / f"{name}.pub").read_bytes())


def test_partitions_are_numbered_in_the_hosts_order(made: Path) -> None:
    configs = [tomllib.loads((made / name / "node.toml").read_text()) for name in HOSTS]
    assert configs == [{"partition-id": number, "num-partitions": 3} for number in range(3)]


def test_the_app_takes_as_many_machines_as_there_are_hosts(made: Path) -> None:
    config = tomllib.loads((made / "server/app/pyproject.toml").read_text())["tool"]["flwr"]["app"]["config"]
    assert RunConfig.parse(config) == RunConfig.parse({"machines": 3, "engine": "flower"})
    assert set(config) == set(RunConfig.keys())
    # a run may name a dataset for which other defaults hold
    assert RunConfig.parse({**config, "dataset": "heart4", "machines": 4, "robust": "federated"}).model == "mlp"


def test_the_manifests_differ_in_the_name_only(made: Path) -> None:
    manifests: list[dict[str, Any]] = [
        json.loads((made / name / "deployment.json").read_text()) for name in ("server", *HOSTS)
    ]
    assert [manifest.pop("name") for manifest in manifests] == ["server", *HOSTS]
    assert all(manifest == manifests[0] for manifest in manifests)
    assert manifests[0]["server"] == {"host": "fl.example.org", "port": 9443}


def test_the_scripts_are_shell_and_name_the_server(made: Path) -> None:
    for name, path in files(made).items():
        if name.endswith(".sh"):
            subprocess.run(["sh", "-n", str(path)], check=True)
    assert "--superlink fl.example.org:9443 --root-certificates ca.crt" in (made / "north/start.sh").read_text()
    start = (made / "server/start.sh").read_text()
    assert "--port 9443" in start
    assert "--enable-supernode-auth" in start
    assert "--insecure" not in start


def test_no_path_of_this_machine_is_in_a_file(made: Path) -> None:
    for path in files(made).values():
        text = path.read_text()
        assert str(made.parent) not in text
        assert str(Path.home()) + "/" not in text


def test_the_readme_says_which_port_and_which_way(made: Path) -> None:
    text = (made / "README.md").read_text()
    assert "| every host | fl.example.org | 9443/tcp |" in text
    assert re.search(r"anywhere \| a host \| none", text)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("localhost", Address("localhost", 9092)),
        ("fl.example.org:443", Address("fl.example.org", 443)),
        ("10.0.0.7", Address("10.0.0.7", 9092)),
        ("[fd00::1]:9000", Address("fd00::1", 9000)),
        ("fd00::1", Address("fd00::1", 9092)),
    ],
)
def test_addresses(text: str, address: Address) -> None:
    assert parse_address(text) == address
    assert parse_address(str(address)) == address


BAD: list[tuple[list[str], str, str]] = [
    ([], "localhost", "at least one host"),
    (["a", "b", "a"], "localhost", "host 'a' stands twice"),
    (["a", "A"], "localhost", "host 'A' stands twice"),
    (["server"], "localhost", "host 'server': this name is taken"),
    (["../up"], "localhost", "host '../up': a name has"),
    (["a b"], "localhost", "host 'a b': a name has"),
    (["-a"], "localhost", "host '-a': a name has"),
    (["x" * 64], "localhost", "a name has 1 to 63"),
    (["a"], "", "server is ''"),
    (["a"], "300.1.1.1", "server is '300.1.1.1'"),
    (["a"], "ho st", "server is 'ho st'"),
    (["a"], "$(id)", "server is"),
    (["a"], "localhost:0", "a port is a number from 1 to 65535"),
    (["a"], "localhost:65536", "a port is a number from 1 to 65535"),
    (["a"], "http://host", "server is 'http://host'"),
]


@pytest.mark.parametrize(("hosts", "server", "text"), BAD)
def test_what_is_wrong_is_one_line_and_nothing_is_written(
    tmp_path: Path, hosts: list[str], server: str, text: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        init(tmp_path / "d", hosts, server)
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_a_folder_with_something_in_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "key").write_text("kept")
    (tmp_path / "file").write_text("")
    for name in ("d", "file"):
        with pytest.raises(ConfigError, match=name):
            init(tmp_path / name, ["a"])
    with pytest.raises(ConfigError, match="no folder that can be written into"):
        init(tmp_path / "file" / "d", ["a"])
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["d", "file", "key"]


def test_an_empty_folder_and_a_new_one_below_new_ones_are_fine(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    init(tmp_path / "empty", ["a"])
    init(tmp_path / "new" / "er", ["a"])
    assert (tmp_path / "empty" / "a" / "start.sh").is_file()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "new"]
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["er"]


def test_nothing_is_left_where_it_fails_half_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("experiments.deploy.layout.write_app", fail)
    with pytest.raises(OSError, match="No space left"):
        init(tmp_path / "d", ["a"])
    assert not list(tmp_path.iterdir())
