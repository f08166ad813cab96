from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fedjtt.data.decoding import BadImageError, decode


def test_an_image_is_upright_and_in_the_mode_asked_for(tmp_path: Path) -> None:
    pixels = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    turned = Image.Exif()
    turned[0x0112] = 6  # the camera lay on its side: turn by 90 degrees clockwise
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=turned)
    np.testing.assert_array_equal(np.asarray(decode(tmp_path / "a.png", "RGB")), np.rot90(pixels, -1))
    assert decode(tmp_path / "a.png", "L").mode == "L"


@pytest.mark.parametrize("kept", [0, 10, 300])
def test_a_damaged_file_is_said_to_be_one(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "a.jpg"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(path)
    assert path.stat().st_size > 600
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(BadImageError, match=r"^is damaged or no image"):
        decode(path, "RGB")


def test_a_file_that_went_missing_is_said_to_be(tmp_path: Path) -> None:
    with pytest.raises(BadImageError, match=r"^is missing$"):
        decode(tmp_path / "a.jpg", "RGB")


def test_an_image_that_would_lose_bits_is_refused(tmp_path: Path) -> None:
    Image.fromarray(np.full((4, 4), 40_000, np.uint16)).save(tmp_path / "deep.png")
    with pytest.raises(BadImageError, match=r"^has more than 8 bits a channel \(I;16\)"):
        decode(tmp_path / "deep.png", "RGB")
