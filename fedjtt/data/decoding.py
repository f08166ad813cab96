"""An image file as a picture, or one line that says what is wrong with it."""

import struct
import warnings
import zlib
from pathlib import Path

from PIL import Image, ImageOps

_DEEP_MODES = ("I", "F")  # more than 8 bits a channel; Pillow would cut them off at 255
# What Pillow raises over damaged files, each by another decoder.
_DAMAGE = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    IndexError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)


class BadImageError(ValueError):
    """A file that is not there, no image, damaged, or would lose bits; the text goes on after the file's name."""


def decode(path: Path, mode: str) -> Image.Image:
    """Return an image in a mode of Pillow's, all of it decoded, upright as its camera says.

    Raises
    ------
    BadImageError
        Where the file is missing, damaged, no image, or has more than 8 bits a channel.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about odd but harmless metadata
            with Image.open(path) as image:
                if image.mode.split(";")[0] not in _DEEP_MODES:
                    return ImageOps.exif_transpose(image).convert(mode)
                deep = image.mode
    except FileNotFoundError:
        raise BadImageError("is missing") from None
    except _DAMAGE as error:
        said = " ".join(str(error).split())
        raise BadImageError(f"is damaged or no image ({said})") from None
    raise BadImageError(f"has more than 8 bits a channel ({deep})")
