"""The page on deployments does what it says: its blocks are run in their order, each at its place."""

import json
import re
import shutil
import sys
import tomllib
from pathlib import Path

import pytest

from fedjtt.api import simulate
from fedjtt.config import RunConfig
from tests.own_hosts import write_hosts
from tests.places import Place, three_places
from tests.test_flower_engine import mark as mark  # a fixture: nothing may be left running
from tests.test_flower_engine import marked, wait_until
from tests.tiny import REPO

PAGE = (REPO / "docs" / "deployment.md").read_text()
SERVER = "fl.example.org"
SHORTER = {"identify-rounds": 1, "robust-rounds": 1}


def blocks(heading: str) -> list[tuple[str, str]]:
    """Return the blocks of a section, as place and script."""
    (section,) = [part for part in re.split(r"^## ", PAGE, flags=re.MULTILINE) if part.startswith(heading)]
    return re.findall(r"```sh\n# on (.+?)\n(.*?)```", section, flags=re.DOTALL)


def here(script: str, place: Place, places: dict[str, Place]) -> str:
    """Return a script with a place's own folders and addresses in place of the page's."""
    for name, other in {SERVER: places["the server"], "north": places["north"], "south": places["south"]}.items():
        script = script.replace(f"{name}:/opt/fedjtt", f"{other.root}/opt")
    script = script.replace("scp -rp", "cp -a").replace(SERVER, places["the server"].address)
    script = script.replace("/opt/fedjtt/venv/bin/python", sys.executable)
    return script.replace("/opt/fedjtt", f"{place.root}/opt").replace("/srv/data", f"{place.root}/data")


def follow(heading: str, places: dict[str, Place]) -> str:
    """Run a section's blocks and return what they printed."""
    said = ""
    for where, script in blocks(heading):
        for name in where.split(" and "):
            place = places[name]
            said += place.run(here(script, place, places), HOST=name)
    return said


def run_config() -> dict[str, object]:
    """Return the page's run.toml, with fewer rounds."""
    (text,) = re.findall(r"```toml\n(.*?)```", PAGE, flags=re.DOTALL)
    return {**tomllib.loads(text), **SHORTER}


def give_data(folder: Path, places: dict[str, Place]) -> Path:
    """Lay the rows of two hosts where the page has them; one of them writes in its own way."""
    rows = write_hosts(folder / "rows", (60, 40))
    for name, letter in (("north", "a"), ("south", "b")):
        data = places[name].root / "data"
        data.mkdir()
        shutil.copy(rows / "schema.toml", data)
        for file in (rows / "hosts").glob(f"{letter}.*"):
            shutil.copy(file, data / f"rows{file.suffix}")
    return rows


@pytest.mark.slow
def test_the_page_leads_to_a_result_and_to_another_deployment(mark: str, tmp_path: Path) -> None:
    config = run_config()
    with three_places(tmp_path) as places:
        rows = give_data(tmp_path, places)
        for step in ("2.", "3."):
            follow(step, places)
        server = places["the server"].root / "opt" / "server"
        (server / "run.toml").write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in config.items()))
        for step in ("5.", "6."):
            said = follow(step, places)
            assert " wrong: " not in said
        assert "csv, 36 train examples" in said  # (place // 2) % 5 < 3 of north's 60 rows
        follow("7.", places)
        follow("8.", places)
        result = json.loads((places["your machine"].root / "first" / "result.json").read_text())
        assert [each["machine"] for each in result["test"]["machines"]] == [0, 1]
        follow("9.", places)
        assert wait_until(lambda: not marked(mark), 60), marked(mark)
        before = (server / "nodes" / "north.pub").read_text()
        follow("Change it", places)
        assert (server / "nodes" / "north.pub").read_text() != before
        assert (server / "results" / "first" / "done").exists()
        for step in ("5.", "6."):
            assert " wrong: " not in follow(step, places)
        follow("9.", places)
        assert wait_until(lambda: not marked(mark), 60), marked(mark)
    own = {"data-dir": str(rows), "host-files": "hosts", "machines": 2, "out": ""}
    assert result["digest"] == simulate(RunConfig.parse({**config, **own})).result["digest"]


def test_every_block_that_is_no_service_is_run() -> None:
    followed = [each for step in ("2.", "3.", "5.", "6.", "7.", "8.", "9.", "Change it") for each in blocks(step)]
    assert len(followed) == PAGE.count("```sh\n") > 10
    assert {where for where, _ in followed} == {"your machine", "the server", "north and south"}


def test_the_pages_links_exist() -> None:
    targets = set(re.findall(r"\]\(([^)#:]+)\)", PAGE))
    assert [each for each in targets if not (REPO / "docs" / each).exists()] == []
