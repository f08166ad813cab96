"""Hosts' own images through the command line: a run from folders of PNG files to a result, and damage as one line."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from experiments.cli import main
from tests.experiments.test_cli_own_data import refused
from tests.tiny import TINY

SCHEMA = 'labels = ["cat", "dog"]\nattributes = ["day", "night"]\nsize = [12, 12]\nmode = "L"\n'
PARTS = ("train", "train", "train", "validation", "test")


def write_images(folder: Path, hosts: int = 2, images: int = 40) -> Path:
    """Write schema.toml, and for every host images and a manifest: dogs are bright, nights have a frame."""
    chance = np.random.default_rng(0)
    (folder / "schema.toml").write_text(SCHEMA)
    for host in range(hosts):
        lines = ["path,label,attribute,split"]
        (folder / f"host{host}" / "pictures").mkdir(parents=True)
        for number in range(images):
            dog, night = number % 2, number // 2 % 2
            pixels = chance.integers(0, 60, (12, 12)) + 120 * dog
            pixels[[0, -1]] = 10 * night
            name = f"pictures/{number}.png"
            Image.fromarray(pixels.astype(np.uint8)).save(folder / f"host{host}" / name)
            lines.append(f"{name},{('cat', 'dog')[dog]},{('day', 'night')[night]},{PARTS[number // 4 % 5]}")
        (folder / f"host{host}" / "list.csv").write_text("\n".join(lines) + "\n")
    return folder


def settings(folder: Path) -> list[str]:
    values = {
        **TINY, "dataset": "image-folder", "data-dir": str(folder), "schema-file": "schema.toml", "machines": 2,
        "host-files": "host0/list.csv,host1/list.csv", "robust": "federated", "learning-rate": 0.1, "model": "lenet",
    }  # fmt: skip
    return [text for key, value in values.items() for text in ("--set", f"{key}={value}")]


def test_a_run_over_two_hosts_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_images(tmp_path)
    out = tmp_path / "there"
    monkeypatch.setattr(sys, "argv", ["fedjtt", "run", "--quiet", "--out", str(out), *settings(tmp_path)])
    with pytest.raises(SystemExit) as caught:
        main()
    assert not caught.value.code
    assert "digest" in capsys.readouterr().out
    result = json.loads((out / "result.json").read_text())
    # a fifth of 40 images is test, two of each of four groups, on both hosts
    assert [group["count"] for group in result["test"]["groups"]] == [4, 4, 4, 4]
    assert [each["count"] for each in result["test"]["machines"]] == [[2, 2, 2, 2]] * 2
    assert [each["samples"] for each in result["identification"]["machines"]] == [24, 24]


@pytest.mark.parametrize(
    ("row", "text"),
    [
        ("pictures/none.png,cat,day,train", "row 42, column 'path': 'pictures/none.png' is missing in"),
        ("pictures/0.png,cat,day,train", "row 42, column 'path': 'pictures/0.png' stands in row 2 already"),
        ("../host0/pictures/0.png,cat,day,train", "row 42, column 'path': '../host0/pictures/0.png' leads outside"),
        ("list.csv,cat,day,train", "row 42, column 'path': 'list.csv' is damaged or no image"),
        ("pictures/odd.png,bird,day,train", "row 42, column 'label': unknown value 'bird'"),
        ("pictures/odd.png,cat,noon,train", "row 42, column 'attribute': unknown value 'noon'"),
        ("pictures/odd.png,cat,day,practice", "row 42, column 'split': unknown value 'practice'"),
    ],
)
def test_a_bad_line_of_a_manifest_is_one_line(
    row: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    manifest = write_images(tmp_path) / "host1" / "list.csv"
    Image.new("L", (12, 12)).save(tmp_path / "host1" / "pictures" / "odd.png")
    manifest.write_text(manifest.read_text() + row + "\n")
    err = refused(settings(tmp_path), monkeypatch, capsys)
    assert f"{manifest}, {text}" in err
    assert not (tmp_path / "runs").exists()
