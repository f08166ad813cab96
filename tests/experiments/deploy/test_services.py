"""The systemd units: systemd itself finds nothing wrong with them, and what they start is there."""

import configparser
import shutil
import subprocess
from pathlib import Path

import pytest

from experiments.deploy.layout import init


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("made") / "d"
    init(directory, ["north", "south-2"], "fl.example.org")
    return directory


def verify(unit: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not here")
def test_systemd_finds_nothing_wrong_and_would_find_it(made: Path, tmp_path: Path) -> None:
    for unit in sorted(made.glob("*/*.service")):
        ended = verify(unit)
        assert (ended.returncode, ended.stdout + ended.stderr) == (0, ""), unit
    (tmp_path / "bad.service").write_text(unit.read_text().replace("Restart=always", "Restart=sometimes"))
    assert "Failed to parse service restart specifier" in verify(tmp_path / "bad.service").stderr


@pytest.mark.parametrize("name", ["server", "north", "south-2"])
def test_a_unit_starts_what_is_in_its_folder_and_starts_it_again(made: Path, name: str) -> None:
    """What it starts is run for its own sake by the tests over real processes."""
    unit = configparser.ConfigParser()
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(made / name / f"fedjtt-{name}.service")
    service = unit["Service"]
    shell, script = service["ExecStart"].split()
    assert Path(shell).is_absolute()
    assert Path(shell).exists()
    assert (made / Path(service["WorkingDirectory"]).name / script).is_file()
    assert Path(service["WorkingDirectory"]).name == name
    assert (service["Restart"], service["User"]) == ("always", "fedjtt")
    # a SuperLink that died takes its ServerApp with it, or two of them would write
    assert "KillMode" not in service
