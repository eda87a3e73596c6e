"""Open untrusted encoded pictures safely: only listed formats, and only sizes that are safe to decode. Pillow."""

from __future__ import annotations

import io

from PIL import Image

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
"""Pillow reads more formats, some of them by starting other programs."""
MOST_PIXELS = 80_000_000
LARGE = 16_000_000
"""Pixels above which the size of a picture's file is checked."""
MOST_RATIO = 200
"""Maximum decoded bytes of a large picture per byte of its file; photographs have 5 to 50."""


class PictureSizeError(ValueError):
    """A picture that would take too much memory to decode."""


class OtherSizeError(ValueError):
    """A picture whose `size`, (width, height) in px, is not the requested one."""

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__(f"{size[0]}x{size[1]} px")
        self.size = size


def open_picture(octets: bytes) -> Image.Image:
    """Return the picture in `octets`, not yet decoded, for a `with` block.

    Raises `PictureSizeError` if it is too large, and Pillow's exceptions if it cannot be read.
    """
    image = Image.open(io.BytesIO(octets), formats=FORMATS)
    width, height = image.size
    pixels = width * height
    if pixels > MOST_PIXELS:
        raise PictureSizeError(f"{width}x{height} px, more than {MOST_PIXELS // 1_000_000} million pixels")
    ratio = pixels * len(image.getbands()) / max(1, len(octets))
    if pixels > LARGE and ratio > MOST_RATIO:
        raise PictureSizeError(f"{width}x{height} px in {len(octets)} bytes, compressed by more than {MOST_RATIO}")
    return image
