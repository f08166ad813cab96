"""SpuCoMNIST over the original MNIST files, as torchvision keeps them: ``MNIST/raw`` in the data-dir.

Joshi et al., "Towards Mitigating Spurious Correlations in the Wild" (2023); LeCun et al., "Gradient-based learning
applied to document recognition" (1998). Train is ceil(.8 n) of each digit, chosen by the seed (the public generator
ships a fixed list instead), validation the rest, test MNIST's own: 48,004, 11,996 and 10,000 images.

torchvision downloads the files. They are read here: an idx file of bytes is a header and the bytes, and torchvision
takes over a second to import and holds the file twice.
"""

import struct
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from fedjtt.data.grouped import Splits
from fedjtt.data.options import DataOptions, cache_dir
from fedjtt.data.recipe import ATTRIBUTE_NAMES, LABEL_NAMES, balanced_part, train_part
from fedjtt.data.spurious import SIDE
from fedjtt.data.stratify import shuffled_classes, take_first
from fedjtt.errors import DataError
from fedjtt.seeding import numpy_generator

FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)

_BYTES = 0x08  # the idx type of unsigned bytes
_HELP = "set --data-dir or FEDJTT_DATA to the folder that holds MNIST/raw, or give --download true"


def load_spuco_mnist(options: DataOptions) -> Splits:
    """Return SpuCoMNIST; ids are rows of MNIST's own train and test files.

    Raises
    ------
    DataError
        A file is missing, damaged, or could not be downloaded; the text names it and says what to do.
    """
    raw = find_files(options.data_dir, download=options.download)
    images, digit = read_part(raw, "train")
    shuffled = shuffled_classes(digit, 10, numpy_generator(options.seed, "data/spuco-mnist/split"))
    sizes = np.array([len(part) for part in shuffled])
    train, rest = take_first(shuffled, -(-sizes * 4 // 5))
    validation, _ = take_first(rest, sizes)
    test_images, test_digit = read_part(raw, "t10k")
    return Splits(
        train=train_part(images[train], digit[train], train, options),
        validation=balanced_part(images[validation], digit[validation], validation, options, "validation"),
        test=balanced_part(test_images, test_digit, torch.arange(len(test_digit)), options, "test"),
        label_names=LABEL_NAMES,
        attribute_names=ATTRIBUTE_NAMES,
    )


def find_files(data_dir: Path | None, download: bool) -> Path:
    """Return the folder with MNIST's four files, downloaded if they are missing and `download` says so.

    Every file's length is held against its own header before anything decodes it.
    """
    root = data_dir if data_dir is not None else cache_dir()
    raw = root / "MNIST" / "raw"
    if download and not all((raw / name).exists() for name in FILES):
        _download(root)
    for name in FILES:
        _check_idx(raw / name)
    return raw


def _download(root: Path) -> None:
    from torchvision.datasets import MNIST  # slow to import

    try:
        MNIST(root, download=True)
    except (OSError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"MNIST could not be downloaded to {root}: {reason}; check the network or {_HELP}") from error


def _check_idx(path: Path) -> None:
    """Raise DataError unless the file is there and as long as its header says."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            header = file.read(16)
    except FileNotFoundError:
        raise DataError(f"MNIST's file {path} is missing; {_HELP}") from None
    except OSError as error:
        raise DataError(f"MNIST's file {path} cannot be read ({error.strerror}); {_HELP}") from error
    expected_shape = (SIDE, SIDE) if "images" in path.name else ()
    dimensions = 1 + len(expected_shape)
    start = 4 * (1 + dimensions)
    if len(header) < start:
        raise DataError(f"MNIST's file {path} is damaged: {size} bytes are not even a header; delete it, then {_HELP}")
    magic, count, *shape = struct.unpack(f">{1 + dimensions}I", header[:start])
    if magic != _BYTES << 8 | dimensions or tuple(shape) != expected_shape:
        raise DataError(f"MNIST's file {path} is damaged: its header is not MNIST's; delete it, then {_HELP}")
    announced = start + count * int(np.prod(expected_shape))
    if size != announced:
        raise DataError(
            f"MNIST's file {path} is damaged: {size} bytes where its header announces {announced}; "
            f"delete it, then {_HELP}"
        )


def read_part(raw: Path, part: str) -> tuple[Tensor, Tensor]:
    """Return uint8 images ``[n, 28, 28]`` and int64 digits ``[n]`` of ``train`` or ``t10k``."""
    pixels = np.fromfile(raw / f"{part}-images-idx3-ubyte", dtype=np.uint8, offset=16)
    images = torch.from_numpy(pixels).view(-1, SIDE, SIDE)
    digit = torch.from_numpy(np.fromfile(raw / f"{part}-labels-idx1-ubyte", dtype=np.uint8, offset=8)).long()
    if len(images) != len(digit):
        raise DataError(f"MNIST's {part} files in {raw} hold {len(images)} images and {len(digit)} labels; {_HELP}")
    if len(digit) and int(digit.max()) > 9:
        raise DataError(f"MNIST's {part} labels in {raw} run to {int(digit.max())}, not to 9; {_HELP}")
    return images, digit
