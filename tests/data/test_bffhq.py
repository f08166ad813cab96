"""BFFHQ's layout on a small set: what is read, which group it is in, and what is said of a damaged one."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from fedjtt.data.bffhq import load_bffhq
from fedjtt.data.grouped import majority_attribute, minority_mask
from fedjtt.data.options import DataOptions
from fedjtt.data.sources import default_options
from fedjtt.errors import ConfigError, DataError
from fedjtt.provide import fast_layout

ALIGNED, CONFLICTING = ((0, 0), (1, 1)), ((0, 1), (1, 0))


def save(path: Path, shade: int, side: int = 128) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (side, side), (shade, 2 * shade, 100)).save(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six aligned and two conflicting train images; one of each group in valid and test."""
    root = tmp_path / "bffhq"
    for number in range(6):
        label, attribute = ALIGNED[number % 2]
        save(root / "0.5pct" / "align" / str(label) / f"{number}_{label}_{attribute}.png", number)
    for number, (label, attribute) in enumerate(CONFLICTING, start=6):
        save(root / "0.5pct" / "conflict" / str(label) / f"{number}_{label}_{attribute}.png", number)
    for part in ("valid", "test"):
        for number, (label, attribute) in enumerate((*ALIGNED, *CONFLICTING), start=20):
            save(root / part / f"{number}_{label}_{attribute}.png", number)
    return tmp_path


def options(data_dir: Path, **changes: float) -> DataOptions:
    return replace(default_options("bffhq"), data_dir=data_dir, **changes)  # type: ignore[arg-type]


def test_parts_and_groups_are_as_files_are_named(folder: Path) -> None:
    """By folder and name: 0, 2, 4 (young women), 1, 3, 5 (old men), then 6 (a young man) and 7 (an old woman)."""
    splits = load_bffhq(options(folder))
    assert splits.train.x[:, 0, 5, 7].tolist() == [0, 2, 4, 1, 3, 5, 6, 7]
    assert splits.train.x[:, :, 0, 0].tolist()[-1] == [7, 14, 100]
    assert splits.train.x.shape[1:] == (3, 128, 128)
    assert splits.train.group_counts().tolist() == [3, 1, 1, 3]
    conflicting = minority_mask(splits.train, majority_attribute(splits.train))
    assert conflicting.tolist() == [False] * 6 + [True] * 2
    for part in (splits.validation, splits.test):
        assert part.group_counts().tolist() == [1, 1, 1, 1]
    assert fast_layout(splits.train).x.data_ptr() == splits.train.x.data_ptr()  # a gigabyte is not copied


def test_images_of_another_size_are_resized(folder: Path) -> None:
    save(folder / "bffhq" / "valid" / "20_0_0.png", 77, side=64)
    assert bool((load_bffhq(options(folder)).validation.x[0, 0] == 77).all())


def test_noise_is_on_train_labels_only(folder: Path) -> None:
    clean, noisy = (load_bffhq(options(folder, label_noise=share)) for share in (0.0, 0.25))
    assert int((clean.train.label != noisy.train.label).sum()) == 2  # a quarter of eight
    assert torch.equal(clean.test.label, noisy.test.label)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("gone", "0.5pct/conflict is missing"), ("empty", "valid has no images"), ("cut", "21_1_1.png is damaged"),
        ("name", "20_0.png is not named NUMBER_LABEL_ATTRIBUTE.png"),
    ],
)  # fmt: skip
def test_missing_and_damaged_files_are_one_line(folder: Path, damage: str, said: str) -> None:
    root = folder / "bffhq"
    if damage == "gone":
        (root / "0.5pct" / "conflict").rename(root / "0.5pct" / "elsewhere")
    elif damage == "empty":
        for path in (root / "valid").iterdir():
            path.unlink()
    elif damage == "cut":
        path = root / "test" / "21_1_1.png"
        path.write_bytes(path.read_bytes()[:60])
    else:
        (root / "test" / "20_0_0.png").rename(root / "test" / "20_0.png")
    with pytest.raises(DataError, match=said) as caught:
        load_bffhq(options(folder))
    assert "\n" not in str(caught.value)


def test_a_share_that_is_not_published_is_refused(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"spurious-strength is 0.9; bffhq is published with 0.995, 0.99, 0.98, 0.95"):
        load_bffhq(options(folder, spurious_strength=0.9))
