"""Corruptions of 32 x 32 images, as in the common corruptions' set for CIFAR-10 (Hendrycks and Dietterich 2019).

The nine that need neither photographs of frost nor ImageMagick to draw them, at the strongest of five severities with
that set's constants, over tensors. Written here, for no library that fedjtt needs has them. What differs from the set's
code is the motion blur's kernel (a half Gaussian along a line, sampled between pixels, in place of ImageMagick's), the
edges (repeated), and the glass blur, in which two pixels change places (in the set's code one of the two is copied).
"""

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

Corruption = Callable[[Tensor, np.random.Generator], Tensor]
"""From images, float32 ``[n, 3, height, width]`` in [0, 1], to images that may leave it; with what is drawn from."""

DISK_SIDE = 8  # a disk's kernel reaches so far
ZOOMS = np.arange(1, 1.26, 0.01)


def gaussian_noise(x: Tensor, generator: np.random.Generator) -> Tensor:
    """Add normal noise of .1."""
    return x + 0.10 * _normal(x, generator)


def shot_noise(x: Tensor, generator: np.random.Generator) -> Tensor:
    """Count 50 photons at full brightness."""
    return torch.from_numpy(generator.poisson(x.numpy() * 50.0).astype(np.float32)) / 50


def impulse_noise(x: Tensor, generator: np.random.Generator) -> Tensor:
    """Make 7 % of the values black or white."""
    drawn = torch.from_numpy(generator.random(x.shape, dtype=np.float32))
    return torch.where(drawn < 0.035, 0.0, torch.where(drawn < 0.07, 1.0, x))


def speckle_noise(x: Tensor, generator: np.random.Generator) -> Tensor:
    """Add normal noise of .2 times the value."""
    return x + 0.20 * x * _normal(x, generator)


def gaussian_blur(x: Tensor, generator: np.random.Generator) -> Tensor:  # noqa: ARG001 (a corruption's signature)
    """Blur with a standard deviation of one pixel."""
    return _filtered(x, _gaussian(1.0, 4))


def defocus_blur(x: Tensor, generator: np.random.Generator) -> Tensor:  # noqa: ARG001
    """Blur with a disk of radius 1.5."""
    reach = torch.arange(-DISK_SIDE, DISK_SIDE + 1, dtype=torch.float32)
    disk = (reach[:, None] ** 2 + reach[None] ** 2 <= 1.5**2).float()
    softened = functional.conv2d(disk[None, None] / disk.sum(), _gaussian(0.1, 1)[None, None], padding=1)[0, 0]
    return _filtered(x, softened)


def glass_blur(x: Tensor, generator: np.random.Generator) -> Tensor:
    """Blur a little, let pixels change places with neighbours above and to the left, twice, and blur again."""
    soft = _gaussian(0.4, 2)
    x = _filtered(x, soft)
    images, _, height, width = x.shape
    every = torch.arange(images)
    for _ in range(2):
        steps = torch.from_numpy(generator.integers(-1, 1, (height, width, 2, images)))
        for row in range(height - 1, 1, -1):
            for column in range(width - 1, 1, -1):
                there = row + steps[row, column, 0], column + steps[row, column, 1]
                mine, other = x[:, :, row, column].clone(), x[every, :, there[0], there[1]].clone()
                x[every, :, there[0], there[1]] = mine
                x[:, :, row, column] = other
    return _filtered(x, soft)


def motion_blur(x: Tensor, generator: np.random.Generator) -> Tensor:
    """Smear along a line between -45 and 45 degrees, drawn for each image: a half Gaussian of 2.5 over 9 pixels."""
    angle = torch.from_numpy(generator.uniform(-math.pi / 4, math.pi / 4, len(x))).float()
    weights = torch.exp(-(torch.arange(10.0) ** 2) / (2 * 2.5**2))
    out = torch.zeros_like(x)
    for distance, weight in enumerate(weights / weights.sum()):
        out += weight * _moved(x, distance * angle.cos(), distance * angle.sin())
    return out


def zoom_blur(x: Tensor, generator: np.random.Generator) -> Tensor:  # noqa: ARG001
    """Take the mean of the image and its enlargements of up to a quarter."""
    total = x.clone()
    for zoom in ZOOMS:
        theta = torch.tensor([[[1 / zoom, 0.0, 0.0], [0.0, 1 / zoom, 0.0]]], dtype=torch.float32)
        grid = functional.affine_grid(theta, [1, *x.shape[1:]], align_corners=False)
        total += functional.grid_sample(x, grid.expand(len(x), -1, -1, -1), padding_mode="border", align_corners=False)
    return total / (1 + len(ZOOMS))


def original(x: Tensor, generator: np.random.Generator) -> Tensor:  # noqa: ARG001
    """Leave the image as it is."""
    return x


CORRUPTIONS: dict[str, Corruption] = {
    "gaussian-noise": gaussian_noise,
    "shot-noise": shot_noise,
    "impulse-noise": impulse_noise,
    "speckle-noise": speckle_noise,
    "gaussian-blur": gaussian_blur,
    "defocus-blur": defocus_blur,
    "glass-blur": glass_blur,
    "motion-blur": motion_blur,
    "zoom-blur": zoom_blur,
    "original": original,
}
"""In the order of the labels that they come with."""


def corrupted(images: Tensor, name: str, generator: np.random.Generator) -> Tensor:
    """Return uint8 images ``[n, 3, height, width]`` under a corruption, rounded to uint8."""
    x = CORRUPTIONS[name](images.float() / 255, generator)
    return (x.clamp(0, 1) * 255).round().to(torch.uint8)


def _normal(x: Tensor, generator: np.random.Generator) -> Tensor:
    return torch.from_numpy(generator.standard_normal(x.shape, dtype=np.float32))


def _gaussian(deviation: float, reach: int) -> Tensor:
    line = torch.exp(-(torch.arange(-reach, reach + 1, dtype=torch.float32) ** 2) / (2 * deviation**2))
    kernel = line[:, None] * line[None]
    return kernel / kernel.sum()


def _filtered(x: Tensor, kernel: Tensor) -> Tensor:
    """Convolve each channel with a kernel of odd sides; edges are repeated."""
    reach = len(kernel) // 2
    padded = functional.pad(x.reshape(-1, 1, *x.shape[2:]), (reach,) * 4, mode="replicate")
    return functional.conv2d(padded, kernel[None, None]).view(x.shape)


def _moved(x: Tensor, right: Tensor, down: Tensor) -> Tensor:
    """Return images moved by so many pixels each."""
    height, width = x.shape[2:]
    theta = torch.eye(2, 3).repeat(len(x), 1, 1)
    theta[:, 0, 2], theta[:, 1, 2] = -2 * right / width, -2 * down / height
    grid = functional.affine_grid(theta, list(x.shape), align_corners=False)
    return functional.grid_sample(x, grid, padding_mode="border", align_corners=False)
