"""How published code makes a network's input of a photograph: sizes, crops and the scale of its colours.

Both recipes are those of the GroupDRO and JTT repositories without augmentation, at 224 pixels there: Waterbirds is
resized to a square of 256/224 of the size, whatever its proportions, of which the middle is taken; of CelebA the middle
square is taken first, then resized. Colours are standardised by ImageNet's means and standard deviations.
"""

from collections.abc import Callable

from PIL import Image

PUBLISHED_SIZE = 224
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

Recipe = Callable[[Image.Image, int], Image.Image]
"""From a picture and a size in pixels to a square picture of that size."""


def resize_and_crop(picture: Image.Image, size: int) -> Image.Image:
    """Return the middle of the picture, resized to a larger square."""
    larger = int(size * 256 / 224)
    return _middle(picture.resize((larger, larger), Image.Resampling.BILINEAR), size)


def crop_and_resize(picture: Image.Image, size: int) -> Image.Image:
    """Return the largest square in the middle of the picture, resized."""
    return _middle(picture, min(picture.size)).resize((size, size), Image.Resampling.BILINEAR)


def _middle(picture: Image.Image, side: int) -> Image.Image:
    left, top = round((picture.width - side) / 2), round((picture.height - side) / 2)
    return picture.crop((left, top, left + side, top + side))
