"""Which file is whose: the config's names, a node's own, heart4's four; and what may be told of an error."""

import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from flwr.app import Context, RecordDict

import fedjtt
from fedjtt.client_app import make_client_app, public_error
from fedjtt.config import RunConfig
from fedjtt.data.heart4 import HOSTS
from fedjtt.errors import ConfigError, DataError, EngineError, FedJTTError
from fedjtt.hosts import files_of, host_of, hosts_of, load_host
from fedjtt.provide import provide_from_config, provide_server_data, splits_of
from fedjtt.records import failure_of, from_records
from tests.own_hosts import own_config, write_hosts
from tests.test_client_app import message


def test_a_folder_is_read_in_the_order_of_names(tmp_path: Path) -> None:
    config = own_config(write_hosts(tmp_path))
    assert [path.name for path in files_of(config)] == ["a.csv", "b.csv", "c.csv"]
    listed = own_config(tmp_path, host_files="hosts/c.csv, hosts/a.csv", machines=2)
    assert [path.name for path in files_of(listed)] == ["c.csv", "a.csv"]


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"machines": 4}, r"machines is 4, but host-files \(hosts\) has 3 CSV files; make them equal"),
        ({"host_files": ""}, r"host-files is empty; name a folder .* or on every node data-file in its node config"),
    ],
)
def test_files_that_do_not_fit_are_refused(tmp_path: Path, changes: dict[str, Any], line: str) -> None:
    with pytest.raises(ConfigError, match=line):
        hosts_of(own_config(write_hosts(tmp_path), **changes))


def test_a_file_is_read_once_and_again_when_it_changes(tmp_path: Path) -> None:
    config = own_config(write_hosts(tmp_path))
    first = host_of(config, 0)
    assert host_of(config.replace(method="erm"), 0) is first
    with (tmp_path / "hosts" / "a.csv").open("a") as file:
        file.write("no,f,train,50,70,none\n")
    assert host_of(config, 0) is not first


def asked_of_a_node(config: RunConfig, **node: Any) -> Any:
    about = {"partition-id": 1, "num-partitions": config.machines, **node}
    context = Context(1, 9, about, RecordDict(), dict(config.flat()))  # type: ignore[arg-type]
    return make_client_app()(message("describe"), context).content


def test_what_a_node_names_itself_wins(tmp_path: Path) -> None:
    config = own_config(write_hosts(tmp_path), host_files="nowhere")
    named = asked_of_a_node(config, **{"data-file": "hosts/b.csv"})
    assert from_records(named).integer("examples") == 24
    shutil.copy(tmp_path / "hosts" / "b.toml", tmp_path / "form.toml")
    shutil.copy(tmp_path / "hosts" / "b.csv", tmp_path / "rows.csv")
    formed = asked_of_a_node(config, **{"data-file": str(tmp_path / "rows.csv"), "data-format": "form.toml"})
    assert from_records(formed).integer("examples") == 24
    assert isinstance(failure_of(asked_of_a_node(config)), ConfigError)


def test_a_node_tells_where_an_error_is_and_not_what_stands_there(tmp_path: Path) -> None:
    config = own_config(write_hosts(tmp_path), host_files="nowhere")
    path = tmp_path / "hosts" / "b.csv"
    path.write_text(path.read_text().replace("no;", "secret;", 1))
    told = failure_of(asked_of_a_node(config, **{"data-file": str(path)}))
    assert isinstance(told, DataError)
    assert str(told) == "b.csv, row 2, column 'ill'; this host's log has the whole line"
    (tmp_path / "hosts" / "b.toml").write_text("delimiter = 'secret'\n")
    told = failure_of(asked_of_a_node(config, **{"data-file": str(path)}))
    assert str(told) == "b.toml cannot be used; this host's log has the whole line"


@pytest.mark.parametrize("error", [ConfigError("a"), DataError("b"), EngineError("c")])
def test_other_errors_are_told_as_they_are(error: FedJTTError) -> None:
    assert public_error(error) is error


def test_a_number_that_no_encoding_holds_is_told_without_it(tmp_path: Path) -> None:
    write_hosts(tmp_path)
    path = tmp_path / "hosts" / "c.csv"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines, "no,f,test,9e99,70,none"]) + "\n")
    with pytest.raises(DataError, match="9e\\+99 is too far from the mean") as caught:
        hosts_of(own_config(tmp_path))
    assert caught.value.where == "c.csv, row 32, column 'age'"


def test_the_server_has_nothing_and_there_is_no_whole(tmp_path: Path) -> None:
    config = own_config(write_hosts(tmp_path))
    assert not hasattr(provide_server_data(config, 0, 1), "train")
    with pytest.raises(ConfigError, match="lie with its machines"):
        splits_of(config)
    with pytest.raises(ConfigError, match="machines is 3 but the federation has 5 nodes"):
        provide_from_config(config, 0, 5)


@pytest.fixture
def heart(data_dir: Path) -> RunConfig:
    if not (data_dir / "heart4").is_dir():
        pytest.skip("heart4 is not here: set FEDJTT_DATA to a folder that holds heart4")
    settings = {"dataset": "heart4", "data-dir": str(data_dir), "machines": 4, "robust": "federated"}
    return RunConfig.parse({**settings, "robust-rounds": 2, "robust-min-steps": 20, "method": "erm"})


def test_heart4_is_four_hospitals_and_no_hospital_is_scored_without_examples(heart: RunConfig) -> None:
    hosts = hosts_of(heart)
    assert [host.form.labels for host in hosts] == [2] * 4
    assert [path.name.split(".")[1] for path in files_of(heart)] == list(HOSTS)
    result = fedjtt.simulate(heart).result
    groups = Counter({(g["label"], g["attribute"]): g["count"] for g in result["test"]["groups"]})
    assert groups[0, 0] > 0  # the other hospitals' healthy women
    assert result["test"]["empty-groups"] == 0
    own = load_host(heart, 0, "heart4/processed.cleveland.data")
    assert own.moments(5).count == hosts[0].moments(5).count
