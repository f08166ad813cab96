"""Photographs through the command line: the same digest with and without the cache, central and over machines."""

import json
from pathlib import Path

import pytest

from fedjtt.data.image_files import ImageFiles
from tests.data.pictures import cut_short, write_celeba, write_waterbirds
from tests.experiments.conftest import Call
from tests.tiny import TINY

SETTINGS = {**TINY, "machines": 2, "model": "lenet", "image-size": 16, "robust-epochs": 3, "learning-rate": 0.02}


def arguments(dataset: str, **changes: object) -> list[str]:
    values = {**SETTINGS, "dataset": dataset, "data-dir": "data", **changes}
    return [text for key, value in values.items() for text in ("--set", f"{key.replace('_', '-')}={value}")]


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The rows that are decoded."""
    rows: list[int] = []
    original = ImageFiles.decoded
    monkeypatch.setattr(ImageFiles, "decoded", lambda self, row: (rows.append(row), original(self, row))[1])
    return rows


@pytest.mark.parametrize("method", ["erm", "jtt"])
@pytest.mark.parametrize(("machines", "robust"), [(1, "central"), (2, "federated")])
def test_the_digest_does_not_depend_on_the_cache(
    call: Call, tmp_path: Path, decoded: list[int], method: str, machines: int, robust: str
) -> None:
    write_waterbirds(tmp_path / "data")
    digests, read = [], []
    for number, cache in enumerate(("none", "cache", "none", "cache")):
        settings = arguments("waterbirds", method=method, machines=machines, robust=robust, image_cache=cache)
        decoded.clear()
        code, _, err = call("run", "--quiet", "--out", f"run{number}", *settings)
        assert (code, err) == (0, "")
        result = json.loads((tmp_path / f"run{number}" / "result.json").read_text())
        assert [group["count"] for group in result["test"]["groups"]] == [3, 3, 3, 3]
        digests.append((result["digest"], result["run-id"]))
        read.append(len(decoded))
    assert len(set(digests)) == 1
    # Without it every image is decoded in every epoch; with it each of the 60 once, and by a second run none.
    assert read[0] == read[2] > 3 * 36
    assert (read[1], read[3]) == (60, 0)


def test_workers_share_the_cache(call: Call, tmp_path: Path) -> None:
    write_celeba(tmp_path / "data")
    digests = set()
    for workers in (1, 2):
        settings = arguments("celeba", method="erm", robust="federated", image_cache=f"cache{workers}", workers=workers)
        code, _, err = call("run", "--quiet", "--out", f"run{workers}", *settings)
        assert (code, err) == (0, "")
        digests.add(json.loads((tmp_path / f"run{workers}" / "result.json").read_text())["digest"])
        assert len(list((tmp_path / f"cache{workers}").iterdir())) == 1
    assert len(digests) == 1


def test_a_damaged_image_ends_a_run_and_a_check_in_one_line(call: Call, tmp_path: Path) -> None:
    place = write_waterbirds(tmp_path / "data")
    cut_short(place / "001.Black_footed_Albatross" / "Black_footed_Albatross_0003_703.jpg")
    code, _, err = call("data", "check", "waterbirds", "--data-dir", "data")
    assert (code, err.count("\n")) == (2, 1)
    assert "Black_footed_Albatross_0003_703.jpg is damaged or no image" in err
    code, _, err = call("run", "--quiet", *arguments("waterbirds", method="erm", image_cache="cache"))
    assert (code, err.count("\n")) == (2, 1)
    assert "Black_footed_Albatross_0003_703.jpg is damaged or no image" in err
    (place / "001.Black_footed_Albatross" / "Black_footed_Albatross_0003_703.jpg").unlink()
    code, _, err = call("run", "--quiet", *arguments("waterbirds", method="erm", image_cache="other"))
    assert (code, err.count("\n")) == (2, 1)
    assert "Black_footed_Albatross_0003_703.jpg (metadata.csv, row 5) is missing" in err


def test_the_groups_and_a_sheet_of_photographs(call: Call, tmp_path: Path) -> None:
    write_celeba(tmp_path / "data")
    settings = ["--data-dir", "data", "--image-size", "16", "--image-cache", "none", "--machines", "2"]
    code, out, _ = call("data", "celeba", *settings, "--sheet", "sheet.png")
    assert code == 0
    assert "celeba, seed 0" in out
    assert "2 machines, partition iid: 18 to 18 train examples each" in out
    assert (tmp_path / "sheet.png").read_bytes().startswith(b"\x89PNG")
