from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fedjtt.data.image_files import ImageFiles
from fedjtt.data.recipes import crop_and_resize, resize_and_crop
from fedjtt.errors import DataError
from tests.data.pictures import cut_short

CHANCE = np.random.default_rng(0)


@pytest.fixture
def files(tmp_path: Path) -> ImageFiles:
    """Three images of the size asked for, so that nothing is resampled."""
    for number in range(3):
        pixels = CHANCE.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
    return ImageFiles(tmp_path, ["2.png", "0.png", "1.png"], crop_and_resize, 8)


def test_rows_are_the_names_files_in_any_order(files: ImageFiles) -> None:
    assert files.shape == (3, 8, 8, 3)
    read = files.read(np.array([1, 0, 1]))
    for place, name in enumerate(["0.png", "2.png", "0.png"]):
        np.testing.assert_array_equal(read[place], np.asarray(Image.open(files.root / name)))
    assert files.read(np.array([], dtype=np.int64)).shape == (0, 8, 8, 3)


def test_a_stamp_is_another_where_the_file_is_another_and_0_where_it_is_missing(files: ImageFiles) -> None:
    before = files.stamps()
    assert before.all()
    np.testing.assert_array_equal(files.stamps(), before)
    (files.root / "0.png").write_bytes((files.root / "1.png").read_bytes())
    (files.root / "1.png").unlink()
    after = files.stamps()
    assert (after[0] == before[0], after[1] == before[1], after[2]) == (True, False, 0)


def test_the_fingerprint_is_another_for_other_pixels(files: ImageFiles, tmp_path: Path) -> None:
    others = [
        files,
        ImageFiles(files.root, [*files.names[1:], files.names[0]], crop_and_resize, 8),
        ImageFiles(files.root, files.names, resize_and_crop, 8),
        ImageFiles(files.root, files.names, crop_and_resize, 9),
        ImageFiles(tmp_path / "elsewhere", files.names, crop_and_resize, 8),
    ]
    assert len({each.fingerprint for each in others}) == len(others)
    assert ImageFiles(files.root / "x" / "..", files.names, crop_and_resize, 8).fingerprint == files.fingerprint


def test_a_damaged_image_is_one_line_with_its_path(files: ImageFiles) -> None:
    cut_short(files.root / "0.png")
    with pytest.raises(
        DataError, match=rf"^{files.root}/0\.png is damaged or no image .*; get the file anew$"
    ) as caught:
        files.read(np.array([0, 1]))
    assert str(files.root) not in caught.value.where  # what another host may be told
