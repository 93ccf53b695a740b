"""Decodes one image file to 8-bit RGB, or says why the file is not an image.

Pixels are taken as stored, as in torchvision's loader, so that accuracies compare with published
ones: the EXIF orientation is not applied, and transparency is dropped. From 16 bits the upper 8 are
taken, because Pillow's own conversion makes nearly all pixels white. Pixels of another depth, whose
range the file does not say, are refused. From several frames the first is taken.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from torch.nn.functional import interpolate

_FORMATS = ("JPEG", "PNG", "PPM", "BMP", "TIFF", "WEBP", "GIF")
"""Formats, recognized by content. Others that Pillow opens, such as EPS, start a program."""
_SIXTEEN_BITS = 65535
_SCALED_TO_SIXTEEN_BITS = ("PPM", "PNG")
"""Formats whose pixels of Pillow's mode I have 16 bits; those of a TIFF may have any range."""
_BITS_PER_SAMPLE = 258
"""Tag of a TIFF."""


class BadImageError(Exception):
    """A file that is no readable image; the message says why in a few words."""


class NotReadError(Exception):
    """A file that could not be read this time, for instance out of memory; may work later."""


def rgb(path: str) -> Image.Image:
    """Return the whole image as RGB.

    Raises `BadImageError`, also for an image of more than 179 million pixels, and `NotReadError`.
    """
    with _opened(path) as image:
        image.load()
        return _to_rgb(image)


def rgb_square(path: str, side: int) -> NDArray[np.uint8]:
    """Return the image's central square, resized to (3, side, side). Raises what `rgb` raises.

    A JPEG is decoded at the smallest of 1/8, 1/4, 1/2 and 1/1 of its resolution that leaves at
    least `side` pixels. PyTorch then resizes, bilinear and antialiased, four times as fast as
    Pillow.
    """
    with _opened(path) as image:
        shorter = min(image.size)
        image.draft(None, (image.width * side // shorter, image.height * side // shorter))
        image.load()
        image = _to_rgb(image)
    shorter = min(image.size)
    left, top = ((length - shorter) // 2 for length in image.size)
    pixels = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
    square = pixels.view(image.height, image.width, 3)[top : top + shorter, left : left + shorter]
    planes = square.permute(2, 0, 1).unsqueeze(0)
    resized = interpolate(planes, size=(side, side), mode="bilinear", antialias=True)
    return np.asarray(resized[0].contiguous())


@contextmanager
def _opened(path: str) -> Iterator[Image.Image]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # whatever filter is set: it may change no image
            with Image.open(path, formats=_FORMATS) as image:
                yield image
    except BadImageError:
        raise
    except MemoryError as error:
        raise NotReadError("out of memory") from error
    except UnidentifiedImageError as error:
        raise BadImageError("not an image, or of another format than its name says") from error
    except Exception as error:  # Pillow's readers raise anything on a damaged file
        if isinstance(error, OSError) and error.errno is not None:  # the system's error
            raise NotReadError(error.strerror) from error
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise BadImageError(reason) from error


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith(("I", "F")):
        image = _eight_bits(image)
    elif image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")  # else Pillow warns
    return image if image.mode == "RGB" else image.convert("RGB")


def _eight_bits(image: Image.Image) -> Image.Image:
    """Return the upper 8 bits of deep gray pixels."""
    pixels = np.asarray(image)
    known = image.mode.startswith("I;16") or image.format in _SCALED_TO_SIXTEEN_BITS
    if not known or pixels.min() < 0 or pixels.max() > _SIXTEEN_BITS:
        raise BadImageError(
            f"its pixels are {pixels.dtype}, of no known range; save it with 8 or 16 bits"
        )
    shift = _bits(image) - 8
    if pixels.max() > 0 and not pixels.max() >> shift:
        raise BadImageError(
            f"its pixels are at most {pixels.max()} of {_SIXTEEN_BITS}, all of them black; save it "
            "with 8 bits"
        )
    return Image.fromarray((pixels >> shift).astype(np.uint8))


def _bits(image: Image.Image) -> int:
    """Return the depth of a deep gray image's pixels: 16, or what a TIFF says, such as 12."""
    tags = getattr(image, "tag_v2", {})
    return int(tags.get(_BITS_PER_SAMPLE, (16,))[0])
