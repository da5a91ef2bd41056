"""Photos as they come: any format, any size, upright, in bounded memory."""

from __future__ import annotations

import threading
import warnings
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from kfkd.errors import DataError
from kfkd.pipelines.heic import open_heic_too
from kfkd.pipelines.photo_pixels import eight_bits, rgb_of_array
from kfkd.storage.safe_reading import is_device

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm"))
"""What counts as a photo in a folder."""

MOST_PIXELS, LONGEST_SIDE = 12_000_000, 16_384
"""A photo is decoded at a whole fraction of its size so that it has no more than these."""

# Pillow refuses beyond this too: files that unpack to gigabytes are an attack.
_REFUSED_PIXELS = 178_000_000
# Not PostScript, which another program would run, nor what hardly any camera or program writes.
_FORMATS = (
    *("JPEG", "PNG", "BMP", "DIB", "GIF", "TIFF", "WEBP", "PPM"),
    *("JPEG2000", "AVIF", "HEIF", "TGA"),
)
_ORIENTATION = 274
_LYING = (5, 6, 7, 8)
_opening = threading.Lock()


@dataclass(frozen=True, eq=False)
class Photo:
    """A decoded photo.

    Args:
        pixels: uint8 (h, w, 3), RGB, upright.
        scale: the photo's own pixels per pixel of `pixels`, a whole number.
        size: (width, height) of the photo itself, upright.
        path: where it came from, "" for an array or a Pillow image.
    """

    pixels: np.ndarray
    scale: int
    size: tuple[int, int]
    path: str = ""


def read_photo(source: str | Path | np.ndarray | Image, most_pixels: int = MOST_PIXELS) -> Photo:
    """Reads a photo: any mode and depth, turned upright as its EXIF data say.

    Large photos come at a whole fraction of their size; JPEG files are decoded at 1/2, 1/4 or 1/8
    at once, without the full size ever being in memory.

    Args:
        source: an image file, a Pillow image, or an array: grey (h, w) or (h, w, 1), RGB
            (h, w, 3), RGBA (h, w, 4); uint8, uint16, or float in 0–1 or 0–255.
        most_pixels: the result has no more.

    Returns:
        The photo.

    Raises:
        DataError: when it is no image, cut short, empty, or too large.

    Example:
        >>> read_photo(np.zeros((20, 30), np.uint8)).pixels.shape
        (20, 30, 3)
    """
    if isinstance(source, np.ndarray):
        return _of_array(source, most_pixels)
    path = Path(source).expanduser() if isinstance(source, str | Path) else None
    try:
        with _opened(source) as image:
            return _decode(image, str(path or ""), most_pixels)
    except DataError as error:
        raise error if error.file else DataError(str(error), file=path) from error
    except Exception as error:  # Pillow's decoders raise almost anything on broken files
        message = f"cannot be read as an image: {_reason(error)}"
        raise DataError(message, file=path) from error


def photo_size(path: str | Path) -> tuple[int, int]:
    """Width and height of a photo as `read_photo` turns it, from its header alone.

    Args:
        path: an image file.

    Raises:
        DataError: when it is no image, or too large.
    """
    try:
        with _open(Path(path)) as image:
            width, height = image.size
            return (height, width) if _orientation(image) in _LYING else (width, height)
    except DataError:
        raise
    except Exception as error:  # Pillow's readers of headers raise almost anything, too
        message = f"cannot be read as an image: {_reason(error)}"
        raise DataError(message, file=path) from error


def _open(path: Path) -> Image:
    from PIL import Image, UnidentifiedImageError

    # Filters of warnings belong to the process, and photos are read in threads.
    with _opening, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            if is_device(path):
                raise DataError("is no ordinary file", file=path)
            Image.init()
            open_heic_too(path)
            return Image.open(path, formats=[one for one in _FORMATS if one in Image.OPEN])
        except UnidentifiedImageError as error:
            known = "JPEG, PNG, BMP, GIF, TIFF, WebP and so on"
            message = f"is no image that can be read, wanted {known}"
            raise DataError(message, file=path) from error
        except Image.DecompressionBombError as error:
            message = f"has more than {_REFUSED_PIXELS // 10**6} megapixels; reduce it first"
            raise DataError(message, file=path) from error


def _opened(source: str | Path | Image) -> AbstractContextManager[Image]:
    """A file's image, or a user's own, which is decoded but left open."""
    if isinstance(source, str | Path):
        return _open(Path(source).expanduser())
    if not min(source.size):
        raise DataError(f"a photo wants pixels. Received: an image of size {source.size}")
    with _opening:  # it may stand in a list twice
        source.load()
    return nullcontext(source)


def _decode(image: Image, path: str, most_pixels: int) -> Photo:
    from PIL.Image import Transpose

    full, factor = image.size, _factor(image.size, most_pixels)
    if factor > 1:
        # JPEG files only; others stay as they are and are reduced after decoding.
        image.draft(None, (max(1, full[0] // factor), max(1, full[1] // factor)))
    image.load()
    orientation = _orientation(image)
    done = round(max(full) / max(image.size))
    rest = -(-factor // done)
    if image.mode in ("L", "RGB", "RGBA", "CMYK"):
        # Before it is converted, so that the large image is in memory once.
        image = eight_bits(image.reduce(rest) if rest > 1 else image)
    else:
        image = eight_bits(image)
        image = image.reduce(rest) if rest > 1 else image
    turns = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }
    if orientation in turns:
        image = image.transpose(turns[orientation])
    size = (full[1], full[0]) if orientation in _LYING else full
    return Photo(np.array(image), done * rest, size, path)


def _orientation(image: Image) -> int:
    with _opening, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        try:
            return int(image.getexif().get(_ORIENTATION, 1))
        except Exception:  # broken EXIF data leave the picture itself whole
            return 1


def _factor(size: tuple[int, int], most_pixels: int) -> int:
    """The least whole number that a photo's sides must be divided by."""
    width, height = size
    return max(
        1,
        int(np.ceil(np.sqrt(width * height / most_pixels))),
        -(-max(size) // LONGEST_SIDE),
    )


def _of_array(array: np.ndarray, most_pixels: int) -> Photo:
    from PIL import Image

    pixels = rgb_of_array(array)
    height, width = pixels.shape[:2]
    factor = _factor((width, height), most_pixels)
    if factor > 1:
        pixels = np.array(Image.fromarray(pixels).reduce(factor))
    return Photo(pixels, factor, (width, height))


def _reason(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    strerror = getattr(error, "strerror", None)
    return strerror or str(error) or type(error).__name__
