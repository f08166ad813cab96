"""The published transforms, against torchvision's, of which the published code is made."""

import numpy as np
import pytest
from PIL import Image
from torchvision import transforms

from fedjtt.automatic import AUTO_IMAGE_SIZE
from fedjtt.data.recipes import PUBLISHED_SIZE, crop_and_resize, resize_and_crop

SHAPES = [(218, 178), (375, 500), (101, 100), (64, 333)]


def picture(height: int, width: int) -> Image.Image:
    chance = np.random.default_rng(height)
    return Image.fromarray(chance.integers(0, 256, (height, width, 3), dtype=np.uint8))


def test_the_default_is_the_published_size() -> None:
    assert AUTO_IMAGE_SIZE == PUBLISHED_SIZE == 224


@pytest.mark.parametrize(("height", "width"), SHAPES)
@pytest.mark.parametrize("size", [224, 112, 28])
def test_waterbirds(height: int, width: int, size: int) -> None:
    # GroupDRO's data/cub_dataset.py, without augmentation
    larger = int(size * 256 / 224)
    oracle = transforms.Compose([transforms.Resize((larger, larger)), transforms.CenterCrop(size)])
    ours = resize_and_crop(picture(height, width), size)
    np.testing.assert_array_equal(np.asarray(ours), np.asarray(oracle(picture(height, width))))


@pytest.mark.parametrize(("height", "width"), SHAPES)
@pytest.mark.parametrize("size", [224, 64])
def test_celeba(height: int, width: int, size: int) -> None:
    # GroupDRO's data/celebA_dataset.py, without augmentation
    oracle = transforms.Compose([transforms.CenterCrop(min(height, width)), transforms.Resize((size, size))])
    ours = crop_and_resize(picture(height, width), size)
    np.testing.assert_array_equal(np.asarray(ours), np.asarray(oracle(picture(height, width))))
