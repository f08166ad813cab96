"""Corrupted CIFAR-10: the mosaics, the split, and which object comes under which corruption."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fedjtt.data import corrupted_cifar10 as module
from fedjtt.data.corrupted_cifar10 import TEST_FILES, load_corrupted_cifar10, read_images
from fedjtt.data.options import DataOptions
from fedjtt.data.sources import default_options
from fedjtt.errors import DataError


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One train file and the test file of random images, and labels in turn."""
    monkeypatch.setattr(module, "TRAIN_FILES", ("cifar10_00.webp",))
    place = tmp_path / "cifar10"
    place.mkdir()
    chance = np.random.default_rng(0)
    for name in ("cifar10_00.webp", *TEST_FILES):
        pixels = chance.integers(0, 256, (25 * 32, 40 * 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(place / name, lossless=True, quality=0, method=0)
    np.save(place / "labels.npy", (np.arange(2000) % 10).astype(np.uint8))
    return tmp_path


def options(data_dir: Path, strength: float = 0.95) -> DataOptions:
    return replace(default_options("corrupted-cifar10"), data_dir=data_dir, spurious_strength=strength)


def test_an_image_is_its_tile_of_the_mosaic(folder: Path) -> None:
    images, label = read_images(folder / "cifar10", ("cifar10_00.webp",), 0)
    pixels = np.asarray(Image.open(folder / "cifar10" / "cifar10_00.webp").convert("RGB"))
    for number in (0, 1, 39, 40, 999):
        row, column = divmod(number, 40)
        tile = pixels[32 * row : 32 * row + 32, 32 * column : 32 * column + 32]
        assert np.array_equal(images[number].permute(1, 2, 0).numpy(), tile)
    assert label[:12].tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]


def test_parts_groups_and_corruptions(folder: Path) -> None:
    """1,000 train images, 100 a label: 10 of each held back, floor(.95 * 90) = 85 of the rest in their own."""
    splits = load_corrupted_cifar10(options(folder))
    assert [len(part) for part in (splits.train, splits.validation, splits.test)] == [900, 100, 10000]
    assert splits.train.group_counts().view(10, 10).diagonal().tolist() == [85] * 10
    assert splits.validation.group_counts().tolist() == [1] * 100
    assert splits.test.group_counts().tolist() == [100] * 100
    images, label = read_images(folder / "cifar10", ("cifar10_00.webp",), 0)
    assert torch.equal(splits.train.label, label[splits.train.id])
    untouched = splits.train.attribute == 9
    assert torch.equal(splits.train.x[untouched], images[splits.train.id[untouched]])
    changed = (splits.train.x != images[splits.train.id]).flatten(1).any(1)
    assert torch.equal(changed, ~untouched)
    test, test_label = read_images(folder / "cifar10", TEST_FILES, 1000)
    assert torch.equal(splits.test.label, test_label.repeat_interleave(10))
    assert torch.equal(splits.test.x[9::10], test)
    ids = torch.cat([splits.train.id, splits.validation.id]).sort().values
    assert ids.tolist() == list(range(1000))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("gone", "cifar10_00.webp is missing"), ("cut", "cifar10_00.webp is damaged"),
        ("small", r"cifar10_00.webp has 64x32 pixels"), ("labels-gone", "labels.npy is missing"),
        ("labels-few", "does not have a label from 0 to 9 for each image"), ("labels-text", "labels.npy is damaged"),
    ],
)  # fmt: skip
def test_missing_and_damaged_files_are_one_line(folder: Path, damage: str, said: str) -> None:
    image, labels = folder / "cifar10" / "cifar10_00.webp", folder / "cifar10" / "labels.npy"
    if damage == "gone":
        image.unlink()
    elif damage == "cut":
        image.write_bytes(image.read_bytes()[:1000])
    elif damage == "small":
        Image.new("RGB", (64, 32)).save(image, lossless=True)
    elif damage == "labels-gone":
        labels.unlink()
    elif damage == "labels-few":
        np.save(labels, np.arange(7))
    else:
        labels.write_text("nonsense")
    with pytest.raises(DataError, match=said) as caught:
        load_corrupted_cifar10(options(folder))
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_the_real_files_have_the_published_counts(data_dir: Path) -> None:
    """CIFAR-10's first 20,000 train images by label, and its first 1,000 test images."""
    if not (data_dir / "cifar10").is_dir():
        pytest.skip("CIFAR-10 is not here: set FEDJTT_DATA to a folder that holds cifar10")
    _, label = read_images(data_dir / "cifar10", module.TRAIN_FILES, 0)
    assert len(label) == 20000
    _, test = read_images(data_dir / "cifar10", TEST_FILES, 20000)
    assert torch.bincount(test).tolist() == [103, 89, 100, 103, 90, 86, 112, 102, 106, 109]
