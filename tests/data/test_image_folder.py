"""Images by a manifest: what is read, and every kind of damage as one line that names file and row."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from fedjtt.data.host_file import drawn_split
from fedjtt.data.host_format import HostFormat
from fedjtt.data.image_folder import ImageSchema, load_image_folder, parse_image_schema
from fedjtt.errors import ConfigError, DataError
from tests.data.own_data import write

HEADER = "path,label,attribute,split"
SCHEMA = ImageSchema(labels=("cat", "dog"), attributes=("day", "night"), height=4, width=6)
PLAIN = ImageSchema(labels=("cat", "dog"), attributes=None, height=4, width=6)


def save(
    folder: Path, name: str, colour: Any = (10, 20, 30), mode: str = "RGB", size: tuple[int, int] = (6, 4)
) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, colour).save(path)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    inside = tmp_path / "images"
    save(inside, "a.png")
    save(inside, "deep/b.png", (200, 100, 0), size=(12, 9))
    return inside


def manifest(tmp_path: Path, *rows: str, header: str = HEADER) -> Path:
    return write(tmp_path, *rows, header=header, name="manifest.csv")


def refusal(folder: Path, path: Path, schema: ImageSchema = SCHEMA) -> str:
    with pytest.raises(DataError) as caught:
        load_image_folder(folder, path, schema)
    text = str(caught.value)
    assert text.startswith(str(path))
    assert "\n" not in text
    return text.removeprefix(str(path))


def test_images_in_three_splits(tmp_path: Path, folder: Path) -> None:
    save(folder, "c.png", (1, 2, 3))
    rows = ("a.png,dog,night,train", "deep/b.png,cat,day,test", "c.png,cat,night,train")
    splits = load_image_folder(folder, manifest(tmp_path, *rows), SCHEMA)
    train = splits.train
    assert train.x.shape == (2, 3, 4, 6)
    assert train.x.dtype == torch.uint8
    assert train.x[:, :, 0, 0].tolist() == [[10, 20, 30], [1, 2, 3]]
    assert train.id.tolist() == [0, 2]
    assert train.label.tolist() == [1, 0]
    assert train.attribute is not None
    assert train.attribute.tolist() == [1, 1]
    assert splits.test.x.shape == (1, 3, 4, 6)  # 12 x 9, resized
    assert splits.test.x[0, :, 3, 5].tolist() == [200, 100, 0]
    assert (len(splits.validation), splits.validation.x.shape) == (0, (0, 3, 4, 6))
    assert (splits.label_names, splits.attribute_names) == (("cat", "dog"), ("day", "night"))


def test_height_and_width_are_not_exchanged_and_pixels_not_moved(tmp_path: Path, folder: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / "p.png")
    splits = load_image_folder(folder, manifest(tmp_path, "p.png,cat,day,train"), SCHEMA)
    np.testing.assert_array_equal(splits.train.x[0].numpy(), pixels.transpose(2, 0, 1))


def test_halving_is_smooth(tmp_path: Path, folder: Path) -> None:
    """Black and white columns become grey, not one of the two: reducing looks at every pixel."""
    stripes = np.zeros((40, 60), dtype=np.uint8)
    stripes[:, ::2] = 255
    Image.fromarray(stripes).save(folder / "s.png")
    schema = ImageSchema(("cat", "dog"), None, 4, 6, mode="L")
    splits = load_image_folder(folder, manifest(tmp_path, "s.png,cat,train", header="path,label,split"), schema)
    inner = splits.train.x[0, 0, :, 1:-1].float()
    assert splits.train.x.shape == (1, 1, 4, 6)
    assert (inner - 127.5).abs().max() < 8


@pytest.mark.parametrize(
    ("mode", "colour", "expected"),
    [
        ("L", 77, [77, 77, 77]),
        ("RGBA", (5, 6, 7, 255), [5, 6, 7]),
        ("1", 1, [255, 255, 255]),
        ("P", 0, [0, 0, 0]),
        ("LA", (9, 255), [9, 9, 9]),
    ],
)
def test_other_modes_become_rgb(tmp_path: Path, folder: Path, mode: str, colour: Any, expected: list[int]) -> None:
    save(folder, "m.png", colour, mode)
    splits = load_image_folder(folder, manifest(tmp_path, "m.png,cat,day,train"), SCHEMA)
    assert splits.train.x[0, :, 0, 0].tolist() == expected


def test_a_photo_is_turned_as_its_camera_says(tmp_path: Path, folder: Path) -> None:
    """Orientation 6: the camera was held upright, the top of the scene is at the right of the file."""
    pixels = np.zeros((6, 4, 3), dtype=np.uint8)
    pixels[:3] = 255  # upright: the upper half is white
    photo = Image.fromarray(np.rot90(pixels).copy())  # counter-clockwise; to be turned clockwise by a viewer
    exif = Image.Exif()
    exif[0x0112] = 6
    photo.save(folder / "photo.png", exif=exif)
    schema = ImageSchema(("cat", "dog"), None, 6, 4)
    splits = load_image_folder(folder, manifest(tmp_path, "photo.png,cat,train", header="path,label,split"), schema)
    np.testing.assert_array_equal(splits.train.x[0].numpy(), pixels.transpose(2, 0, 1))


def test_without_attributes_no_such_column_is_needed(tmp_path: Path, folder: Path) -> None:
    path = manifest(tmp_path, "a.png,cat,train", header="path,label,split")
    splits = load_image_folder(folder, path, PLAIN)
    assert splits.train.attribute is None
    assert splits.train.num_attributes == 1
    assert splits.attribute_names == ("unknown",)


def test_splits_by_shares_are_drawn_by_seed_machine_and_row(tmp_path: Path, folder: Path) -> None:
    shares = (0.5, 0.25, 0.25)
    schema = ImageSchema(("cat", "dog"), None, 4, 6, split_shares=shares)
    for number in range(12):
        save(folder, f"{number}.png")
    path = manifest(tmp_path, *(f"{number}.png,cat" for number in range(12)), header="path,label")
    splits = load_image_folder(folder, path, schema, seed=5, partition_id=3)
    drawn = [drawn_split(row, shares, 5, 3) for row in range(12)]
    for number, part in enumerate((splits.train, splits.validation, splits.test)):
        assert part.id.tolist() == [row for row in range(12) if drawn[row] == number]


def test_a_hosts_own_headers_and_words(tmp_path: Path, folder: Path) -> None:
    host = HostFormat(columns={"path": "Datei"}, delimiter=";", values={"label": {"Katze": "cat"}})
    path = manifest(tmp_path, "a.png;Katze;day;train", header="Datei;label;attribute;split")
    assert load_image_folder(folder, path, SCHEMA, host).train.label.tolist() == [0]


@pytest.mark.parametrize(
    ("row", "column", "hint"),
    [
        (",cat,day,train", "path", "the path is missing"),
        ("none.png,cat,day,train", "path", "'none.png' is missing in "),
        ("deep,cat,day,train", "path", "'deep' is no file in "),
        ("../secret.png,cat,day,train", "path", "'../secret.png' leads outside "),
        ("deep/../../secret.png,cat,day,train", "path", "'deep/../../secret.png' leads outside "),
        ("/etc/hostname,cat,day,train", "path", "'/etc/hostname' leads outside "),
        ("link.png,cat,day,train", "path", "'link.png' leads outside "),
        ("loop.png,cat,day,train", "path", "'loop.png' "),
        ("deep/../a.png,cat,day,train", "path", "'deep/../a.png' stands in row 2 already"),
        ("deep/b.png,cow,day,train", "label", "unknown value 'cow'; allowed are cat, dog"),
        ("deep/b.png,?,day,train", "label", "the label is missing"),
        ("deep/b.png,cat,dusk,train", "attribute", "unknown value 'dusk'"),
        ("deep/b.png,cat,,train", "attribute", "the attribute is missing"),
        ("deep/b.png,cat,day,tset", "split", "unknown value 'tset'; did you mean 'test'"),
        ("deep/b.png,cat,day", "split", "the row ends before it"),
        (f"{'x' * 5000}.png,cat,day,train", "path", "'xxx"),
    ],
)
def test_a_bad_row_is_named(tmp_path: Path, folder: Path, row: str, column: str, hint: str) -> None:
    save(tmp_path, "secret.png")
    (folder / "link.png").symlink_to(tmp_path / "secret.png")
    (folder / "loop.png").symlink_to("loop.png")
    said = refusal(folder, manifest(tmp_path, "a.png,cat,day,train", row))
    assert said.startswith(f", row 3, column '{column}': {hint}")


def test_a_link_within_the_folder_is_followed(tmp_path: Path, folder: Path) -> None:
    (folder / "deep" / "link.png").symlink_to(folder / "a.png")
    splits = load_image_folder(folder, manifest(tmp_path, "deep/link.png,cat,day,train"), SCHEMA)
    assert splits.train.x[0, :, 0, 0].tolist() == [10, 20, 30]


def test_a_neighbour_with_the_same_beginning_is_outside(tmp_path: Path, folder: Path) -> None:
    save(tmp_path / "images-private", "p.png")
    assert "leads outside" in refusal(folder, manifest(tmp_path, "../images-private/p.png,cat,day,train"))


@pytest.mark.parametrize("kind", ["png", "jpg", "gif", "bmp", "tiff", "webp"])
@pytest.mark.parametrize("damage", ["empty", "text", "half", "noise"])
def test_a_damaged_image_is_named(tmp_path: Path, folder: Path, kind: str, damage: str) -> None:
    chance = np.random.default_rng(0)
    path = folder / f"x.{kind}"
    Image.fromarray(chance.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(path)
    content = path.read_bytes()
    changed = {
        "empty": b"",
        "text": b"<!DOCTYPE html>",
        "half": content[: len(content) // 2],
        "noise": content[:6] + chance.bytes(len(content) - 6),
    }
    path.write_bytes(changed[damage])
    said = refusal(folder, manifest(tmp_path, "a.png,cat,day,train", f"x.{kind},cat,day,train"))
    assert said.startswith(f", row 3, column 'path': 'x.{kind}' is damaged or no image (")


def test_sixteen_bits_a_channel_are_refused_and_not_cut_off(tmp_path: Path, folder: Path) -> None:
    Image.fromarray(np.full((4, 6), 40000, dtype=np.uint16)).save(folder / "xray.png")
    said = refusal(folder, manifest(tmp_path, "xray.png,cat,day,train"))
    assert said.startswith(", row 2, column 'path': 'xray.png' has more than 8 bits a channel (I;16)")


def test_a_manifest_without_a_column_and_a_missing_one(tmp_path: Path, folder: Path) -> None:
    path = manifest(tmp_path, "a.png,cat,train", header="file,label,split")
    assert refusal(folder, path, PLAIN).startswith(", row 1: column 'path' is missing")
    assert "is missing; name the CSV file" in refusal(folder, tmp_path / "none.csv")


def test_a_schema_from_toml() -> None:
    raw = {"labels": ["cat", "dog"], "attributes": ["day", "night"], "size": [4, 6]}
    assert parse_image_schema(raw) == SCHEMA
    more = {"labels": [0, 1], "size": [28, 28], "mode": "L", "split-shares": [0.8, 0.1, 0.1]}
    assert parse_image_schema(more) == ImageSchema(("0", "1"), None, 28, 28, "L", (0.8, 0.1, 0.1))
    assert parse_image_schema(more).columns == ("path", "label")
    assert SCHEMA.columns == ("path", "label", "attribute", "split")


@pytest.mark.parametrize(
    ("changes", "hint"),
    [
        ({"size": None}, "size is None; write height and width"),
        ({"size": [4]}, "write height and width"),
        ({"size": [4.5, 4]}, "write height and width"),
        ({"size": [float("inf"), 4]}, "write height and width"),
        ({"size": [0, 4]}, "at least 1 pixel"),
        ({"labels": ["cat"]}, "labels is .*; list two or more"),
        ({"attributes": ["x", "x"]}, "attributes is .*; list two or more"),
        ({"mode": "CMYK"}, "mode is 'CMYK'; allowed are RGB, L"),
        ({"split-shares": [1, 1, 1]}, "split-shares is .*; give three numbers with sum 1"),
        ({"lables": []}, "unknown key 'lables'; did you mean 'labels'"),
    ],
)
def test_a_schema_that_cannot_be_meant_is_refused(changes: dict[str, Any], hint: str) -> None:
    raw = {"labels": ["cat", "dog"], "size": [4, 6], **changes}
    with pytest.raises(ConfigError, match=hint) as caught:
        parse_image_schema({key: value for key, value in raw.items() if value is not None}, "images.toml")
    assert str(caught.value).startswith("images.toml: ")
