"""Any kind of pixels as 8-bit RGB."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kfkd.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image


def eight_bits(image: Image) -> Image:
    """A Pillow image of any mode as RGB.

    16-bit grey is brought to 8 bits, not cut off at 255; what is transparent becomes white; CMYK
    is converted without a colour profile.

    Args:
        image: loaded.

    Returns:
        The image in mode "RGB".

    Raises:
        DataError: when its pixels are not finite.
    """
    from PIL import Image

    if image.mode in ("I", "F") or image.mode.startswith("I;"):
        values = np.asarray(image, np.float32)
        if image.mode == "F" and not np.isfinite(values).all():
            raise DataError("a photo wants finite numbers. Received: NaN or infinity")
        grey = _grey_levels(values)
        return Image.fromarray(grey).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        clear = image.convert("RGBA")
        white = Image.new("RGB", clear.size, "white")
        white.paste(clear, mask=clear.getchannel("A"))
        return white
    return image if image.mode == "RGB" else image.convert("RGB")


def rgb_of_array(array: np.ndarray) -> np.ndarray:
    """An array as RGB.

    Args:
        array: (h, w), (h, w, 1), (h, w, 3) or (h, w, 4); uint8, uint16, or float in 0–1 or 0–255.

    Returns:
        uint8 (h, w, 3).

    Raises:
        DataError: when it is none of these, empty, or not finite.
    """
    shape = array.shape
    flat = len(shape) == 2 or (len(shape) == 3 and shape[2] in (1, 3, 4))
    if not flat or not array.size:
        raise DataError(f"a photo wants (h, w), or (h, w, 1, 3 or 4). Received: {shape}")
    if array.dtype.kind not in "uif" or (array.dtype.kind == "i" and array.min() < 0):
        raise DataError(f"a photo wants uint8, uint16 or float. Received: {array.dtype}")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise DataError("a photo wants finite numbers. Received: NaN or infinity")
    levels = array if array.dtype == np.uint8 else _grey_levels(array.astype(np.float32))
    levels = levels if levels.ndim == 3 else levels[..., None]
    if levels.shape[2] == 4:
        from PIL import Image

        return np.array(eight_bits(Image.fromarray(np.ascontiguousarray(levels))))
    return np.ascontiguousarray(np.broadcast_to(levels, (*shape[:2], 3)))


def _grey_levels(values: np.ndarray) -> np.ndarray:
    """uint8 of numbers of 1 (as in 0–1), 8, 10, 12, 14 or 16 bits: their greatest tells."""
    top = float(values.max())
    full = next((most for most in _FULL_SCALES if top <= most), top)
    levels = values * np.float32(255 / full)
    np.rint(levels, out=levels)  # in place: a photo of 50 megapixels has 200 MB here
    return np.clip(levels, 0, 255, out=levels).astype(np.uint8)


_FULL_SCALES = (1, 255, 1023, 4095, 16383, 65535)
