"""The command line's options are the schema's keys, and where a value comes from."""

import inspect
from pathlib import Path
from typing import Any

import pytest

from experiments.cli import run, sweep
from experiments.options import check_place, merged, parse_settings, read_toml
from fedjtt.config import RunConfig, kebab
from fedjtt.errors import ConfigError


@pytest.mark.parametrize(
    ("command", "own"),
    [
        (run, {"config_file", "settings", "quiet", "resume"}),
        (sweep, {"config_file", "settings", "quiet", "seeds", "jobs", "out", "report"}),
    ],
)
def test_every_key_is_an_option(command: Any, own: set[str]) -> None:
    names = set(inspect.signature(command).parameters)
    fields = set(RunConfig.model_fields)
    assert fields - names == ({"seed"} if command is sweep else set())
    assert names - fields == own - fields


def test_an_option_is_named_like_its_key_and_documented() -> None:
    for name, parameter in inspect.signature(run).parameters.items():
        if name in RunConfig.model_fields:
            option = parameter.annotation.__metadata__[0]
            # typer keeps the first declaration under this name until it builds the command
            assert str(option.default).split("/")[0] == f"--{kebab(name)}"
            assert str(RunConfig.model_fields[name].description) in option.help
            assert parameter.default is None


def test_options_over_settings_over_the_file() -> None:
    file = {"machines": 1, "seed": 1, "method": "erm"}
    given = merged(file, ["machines=2", "seed = 2"], {"machines": "3", "batch_size": None, "learning_rate": ".5"})
    assert given == {"machines": "3", "seed": "2", "method": "erm", "learning-rate": ".5"}


def test_settings_are_split_at_the_first_equals_sign() -> None:
    assert parse_settings(["out=a=b", " seed = 3 ", "data-dir="]) == {"out": "a=b", "seed": "3", "data-dir": ""}
    with pytest.raises(ConfigError, match="--set 'seed' has no '='; write --set key=value"):
        parse_settings(["seed"])


def test_a_toml_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text('machines = 3\nmethod = "erm"\n[[sweep]]\nseeds = [1]\n')
    assert read_toml(path) == {"machines": 3, "method": "erm", "sweep": [{"seeds": [1]}]}
    assert read_toml(None) == {}


@pytest.mark.parametrize("content", [b"machines 3", b"\xff\xfe\x00", b"a = "])
def test_a_file_that_is_not_toml_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"a\.toml is not TOML: "):
        read_toml(path)


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        read_toml(tmp_path / "none.toml")
    with pytest.raises(ConfigError, match="is not TOML"):
        read_toml(tmp_path)


def test_a_file_is_no_place(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"--to is .*inside, but .*file is a file; name a folder"):
        check_place(tmp_path / "file" / "inside")
    check_place(tmp_path / "new")
