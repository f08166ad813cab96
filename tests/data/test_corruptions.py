"""Corruptions of images: what each one does to a picture whose answer is known."""

import numpy as np
import pytest
import torch
from torch import Tensor

from fedjtt.data.corruptions import (
    CORRUPTIONS,
    corrupted,
    gaussian_blur,
    impulse_noise,
    motion_blur,
    shot_noise,
    zoom_blur,
)


def chance(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def pictures(count: int = 4) -> Tensor:
    return torch.from_numpy(chance(9).integers(0, 256, (count, 3, 32, 32), dtype=np.uint8))


def grey(value: float, count: int = 8) -> Tensor:
    return torch.full((count, 3, 32, 32), value)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_images_stay_images_of_the_same_seed_and_are_changed(name: str) -> None:
    x = pictures()
    before = x.clone()
    one, again = corrupted(x, name, chance()), corrupted(x, name, chance())
    assert torch.equal(x, before)
    assert (one.dtype, one.shape) == (torch.uint8, x.shape)
    assert torch.equal(one, again)
    assert torch.equal(one, x) == (name == "original")


@pytest.mark.parametrize(
    ("name", "deviation"),
    [("gaussian-noise", 0.10), ("speckle-noise", 0.20 * 0.5), ("shot-noise", (0.5 / 50) ** 0.5)],
)
def test_noise_has_the_deviation_that_it_is_defined_by(name: str, deviation: float) -> None:
    """On a grey of .5: .1; .2 times the value; a count of mean 25 has variance 25, over 50 squared."""
    x = CORRUPTIONS[name](grey(0.5), chance())
    assert float(x.mean()) == pytest.approx(0.5, abs=0.003)
    assert float(x.std()) == pytest.approx(deviation, rel=0.03)


def test_impulses_are_black_and_white_in_equal_parts() -> None:
    x = impulse_noise(grey(0.5, 40), chance())
    assert float((x == 0).float().mean()) == pytest.approx(0.035, abs=0.003)
    assert float((x == 1).float().mean()) == pytest.approx(0.035, abs=0.003)


def test_black_has_no_photons() -> None:
    assert float(shot_noise(grey(0.0), chance()).abs().max()) == 0


@pytest.mark.parametrize("name", ["gaussian-blur", "defocus-blur", "glass-blur", "motion-blur", "zoom-blur"])
def test_a_blur_leaves_an_even_picture_as_it_is(name: str) -> None:
    torch.testing.assert_close(CORRUPTIONS[name](grey(0.3, 2), chance()), grey(0.3, 2), rtol=0, atol=1e-5)


def point() -> Tensor:
    x = torch.zeros(1, 3, 32, 32)
    x[:, :, 16, 16] = 1
    return x


def test_a_points_gaussian_blur_is_the_gaussian() -> None:
    x = gaussian_blur(point(), chance())
    assert float(x[0, 0].sum()) == pytest.approx(1, abs=1e-4)
    assert float(x[0, 0, 16, 17] / x[0, 0, 16, 16]) == pytest.approx(np.exp(-0.5))
    assert float(x[0, 0, 15, 17] / x[0, 0, 16, 16]) == pytest.approx(np.exp(-1.0))


def test_a_points_defocus_is_a_disk_of_nine_pixels() -> None:
    """Of radius 1.5: the point, its four neighbours (distance 1) and the four corners (1.41)."""
    x = CORRUPTIONS["defocus-blur"](point(), chance())[0, 0]
    assert (x[15:18, 15:18] - 1 / 9).abs().max() < 1e-4
    assert float(x.sum()) == pytest.approx(1, abs=1e-4)


def test_motion_smears_to_one_side_only() -> None:
    x = motion_blur(point(), chance())[0, 0]
    assert float(x.sum()) == pytest.approx(1, abs=1e-3)
    assert float(x[:, :15].sum()) < 1e-4  # between -45 and 45 degrees: nothing goes back
    centre = float((x.sum(0) * torch.arange(32)).sum())
    assert 17 < centre < 19


def test_zooms_keep_the_middle_and_move_the_edge() -> None:
    ramp = torch.linspace(-1, 1, 32).view(1, 1, 1, 32).expand(1, 3, 32, 32)
    x = zoom_blur(ramp, chance())[0, 0, 16]
    assert float(x[15] + x[16]) == pytest.approx(0, abs=1e-5)
    assert 0.85 < float(x[31] / ramp[0, 0, 16, 31]) < 0.95  # the mean of 1 and 1/zoom, zooms 1 to 1.25


def test_glass_moves_what_is_there() -> None:
    x = torch.from_numpy(chance(3).random((3, 3, 32, 32), dtype=np.float32))
    y = CORRUPTIONS["glass-blur"](x, chance())
    assert float(y.mean()) == pytest.approx(float(x.mean()), abs=0.01)
    assert float((y - x).abs().mean()) > 0.1
