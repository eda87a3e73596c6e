"""Conversion of decoded pictures of any depth, palette and orientation to upright 8-bit RGB or grey. Numpy, Pillow."""

from __future__ import annotations

import numpy as np
from PIL import ExifTags, Image, ImageOps

REDUCED = "is reduced"
"""The key in a picture's `info` that marks a reduction to 8 bits."""

_BITS = 258  # the TIFF tag BitsPerSample


def eight_bits(image: Image.Image, mode: str) -> Image.Image:
    """Return the loaded `image` in `mode`, RGB or L, rotated upright by its orientation tag, wherever the file has it.

    Alpha is dropped, and 12 and 16 bits are reduced to 8. For L, colours become their luma (ITU-R BT.601). Raises
    `ValueError` if the range of the pixels is unknown, or if the reduction makes the picture black.
    """
    if _orientation(image) != 1:
        ImageOps.exif_transpose(image, in_place=True)
    if image.mode == mode:
        return image
    if image.mode == "F" or (image.mode == "I" and image.format != "PPM"):
        kind = "floating-point" if image.mode == "F" else "signed or 32-bit"
        raise ValueError(f"its pixels are {kind} numbers, whose range is unknown: save it with 8 or 16 bits")
    if image.mode.startswith("I"):
        image = _reduced(image).convert(mode)
        image.info[REDUCED] = True
        return image
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")  # Pillow warns if a palette with transparency becomes RGB
    return image.convert(mode)


def _orientation(image: Image.Image) -> int:
    try:
        return image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # noqa: BLE001  (damaged metadata, of which Pillow raises anything, are as good as none)
        return 1


def _reduced(image: Image.Image) -> Image.Image:
    """Return a grey picture of 12 or 16 bits reduced to 8; raise `ValueError` if only the result is black."""
    (bits, *_) = getattr(image, "tag_v2", {}).get(_BITS) or (16,)
    wide_HW = np.asarray(image)
    grey_HW = (wide_HW >> (bits - 8)).astype(np.uint8)
    if wide_HW.any() and not grey_HW.any():
        what = f"its highest value is {wide_HW.max()} of {2**bits - 1}, which is black in 8 bits"
        raise ValueError(f"{what}: scale its values, or save it with 8 bits")
    return Image.fromarray(grey_HW)
