"""Pictures that somebody else sends: listed formats, sizes judged by the header, regular files alone."""

from __future__ import annotations

import io
import os
import socket
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from archsearch.data import folder, pictures
from archsearch.data.pictures import FORMATS, PictureSizeError, open_picture
from archsearch.errors import DataError
from archsearch.settings.data import DataSettings

Make = Callable[..., DataSettings]


def encoded(image: Image.Image, kind: str) -> bytes:
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()


def png_of(width: int, height: int, *, more: int = 0) -> bytes:
    """Return a PNG whose header gives this size, with `more` bytes and no image behind it."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", b"\0" * more) + chunk(b"IEND", b"")


@pytest.fixture
def undecoded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail the test where a picture is decoded."""
    from PIL import PngImagePlugin

    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", lambda self: pytest.fail("decoded"))


@pytest.mark.parametrize("kind", FORMATS)
def test_the_listed_formats_are_read(kind: str) -> None:
    image = Image.fromarray(np.full((8, 8, 3), 90, np.uint8))
    assert np.abs(np.asarray(folder.picture(encoded(image, kind))).astype(int) - 90).max() < 9


@pytest.mark.parametrize("kind", ["EPS", "ICO", "TGA", "PCX", "SGI", "DDS", "JPEG2000"])
def test_no_other_format_is_tried(kind: str, pictures: Path, settings_of: Make) -> None:
    octets = encoded(Image.new("RGB", (16, 16)), kind)
    assert Image.open(io.BytesIO(octets)).format == kind  # Pillow itself would read it
    (pictures / "train" / "cat" / "0.png").write_bytes(octets)
    with pytest.raises(DataError, match="not an image in one of the formats PNG, JPEG, WEBP, BMP, GIF, TIFF, PPM"):
        folder.load(settings_of(pictures, resize=True))


@pytest.mark.parametrize(
    ("octets", "message"),
    [
        (png_of(9000, 9000, more=2_000_000), "9000x9000 px, more than 80 million pixels"),
        (png_of(5000, 5000, more=100), "5000x5000 px in 157 bytes, compressed by more than 200"),
    ],
)
@pytest.mark.parametrize("resize", [True, False])
def test_a_size_is_judged_by_the_header(
    octets: bytes, message: str, resize: bool, pictures: Path, settings_of: Make, undecoded: None
) -> None:
    with pytest.raises(PictureSizeError, match=message):
        open_picture(octets)
    bomb = pictures / "train" / "cat" / "0.png"
    for file in pictures.rglob("*.png"):
        file.write_bytes(octets)
    with pytest.raises(DataError) as caught:
        folder.load(settings_of(pictures, resize=resize))
    assert f"{bomb} ({message})" in str(caught.value)


def test_a_large_photograph_is_read() -> None:
    with open_picture(png_of(5000, 5000, more=400_000)) as image:
        assert image.size == (5000, 5000)
    assert pictures.MOST_PIXELS < Image.MAX_IMAGE_PIXELS  # type: ignore[operator]


def test_a_picture_of_another_size_is_not_decoded(pictures: Path, settings_of: Make, undecoded: None) -> None:
    for file in pictures.rglob("*.png"):
        file.write_bytes(png_of(12, 9))
    with pytest.raises(DataError, match=r"10 of 10 images are not 8x8 px: .*0\.png \(12x9\)"):
        folder.load(settings_of(pictures))


@pytest.mark.parametrize("kind", ["pipe", "socket", "device", "link to a pipe"])
def test_what_is_no_regular_file_is_refused_unopened(
    kind: str, pictures: Path, settings_of: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(pictures / "train" / "cat")  # a socket's path is short
    match kind:
        case "pipe":
            os.mkfifo("9.png")
        case "socket":
            with socket.socket(socket.AF_UNIX) as listener:
                listener.bind("9.png")
        case "device":
            Path("9.png").symlink_to("/dev/zero")
        case _:
            os.mkfifo(pictures / "pipe")
            Path("9.png").symlink_to(pictures / "pipe")
    with pytest.raises(DataError, match=r"9\.png: is not a regular file, expected an image"):
        folder.load(settings_of(pictures))


def test_a_link_to_a_folder_is_refused(pictures: Path, settings_of: Make) -> None:
    (pictures / "train" / "cat" / "9.png").symlink_to(pictures / "test")
    with pytest.raises(DataError, match=r"9\.png: is a folder, expected an image"):
        folder.load(settings_of(pictures))
