"""scikit-learn's 1,797 handwritten digits as a small SpuCoMNIST: real images that need no file and no network.

The digits are those of Alpaydin and Kaynak, "Optical Recognition of Handwritten Digits" (UCI, 1998), the test part, 8x8
with 17 grey levels, as :func:`sklearn.datasets.load_digits` ships them.
"""

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from fedjtt.data.grouped import Splits
from fedjtt.data.options import DataOptions
from fedjtt.data.recipe import ATTRIBUTE_NAMES, LABEL_NAMES, crossed_part, train_part
from fedjtt.data.spurious import SIDE
from fedjtt.data.stratify import apportion, shuffled_classes, take_first
from fedjtt.seeding import numpy_generator

TRAIN, VALIDATION, TEST = 1200, 297, 300

_PAPER = 40  # anything darker, of 255, is a shadow of the enlargement and counts as paper


def load_digits(options: DataOptions) -> Splits:
    """Return the digits in 1,200 train, 297 validation and 300 test images, stratified by digit.

    Every validation and test image stands there once on each of the five colours (1,485 and 1,500 rows), so that each
    group is measured on all digits of its label. An id is the digit's row in scikit-learn's array; in validation and
    test five times that, plus the colour.
    """
    images, digit = _enlarged()
    counts = np.bincount(digit.numpy(), minlength=10)
    shuffled = shuffled_classes(digit, 10, numpy_generator(options.seed, "data/digits/split"))
    test, rest = take_first(shuffled, apportion(counts, TEST))
    validation, rest = take_first(rest, apportion(np.array([len(part) for part in rest]), VALIDATION))
    train = torch.cat(rest).sort().values
    return Splits(
        train=train_part(images[train], digit[train], train, options),
        validation=crossed_part(images[validation], digit[validation], validation, options, "validation"),
        test=crossed_part(images[test], digit[test], test, options, "test"),
        label_names=LABEL_NAMES,
        attribute_names=ATTRIBUTE_NAMES,
    )


def _enlarged() -> tuple[Tensor, Tensor]:
    """Return uint8 ``[1797, 28, 28]``, 0 where the paper is, and the digits, int64 ``[1797]``."""
    from sklearn.datasets import load_digits as load_small_digits  # slow to import, and only needed here

    small = load_small_digits()
    levels = torch.from_numpy(small.images).float()[:, None] * (255 / 16)
    images = interpolate(levels, size=(SIDE, SIDE), mode="bilinear", align_corners=False)[:, 0].round().to(torch.uint8)
    return images.where(images >= _PAPER, 0), torch.from_numpy(small.target).long()
