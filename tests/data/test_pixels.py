"""What a file's pixels become: depth, palette, transparency and orientation, in every form that Pillow knows."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from archsearch.data import folder
from archsearch.data.load import load_dataset
from archsearch.errors import DataError
from archsearch.settings.data import DataSettings

Make = Callable[..., DataSettings]
RAMP = np.arange(64, dtype=np.uint16).reshape(8, 8)
# Red above, blue below: each orientation sends the corners elsewhere. 24x16 px, so that turned ones change their size.
UPRIGHT = np.zeros((16, 24, 3), np.uint8)
UPRIGHT[:8, :12], UPRIGHT[:8, 12:], UPRIGHT[8:, :12], UPRIGHT[8:, 12:] = (
    (250, 0, 0), (0, 250, 0), (0, 0, 250), (250, 250, 250),
)  # fmt: skip
STORED = {
    1: lambda image: image,
    2: lambda image: image[:, ::-1],
    3: lambda image: image[::-1, ::-1],
    4: lambda image: image[::-1],
    5: lambda image: image.transpose(1, 0, 2),
    6: lambda image: np.rot90(image, 1),
    7: lambda image: image[::-1, ::-1].transpose(1, 0, 2),
    8: lambda image: np.rot90(image, -1),
}
"""How a file of each orientation stores an upright picture."""


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, format=kind, **options)
    return file.getvalue()


def exif(orientation: int) -> bytes:
    found = Image.Exif()
    found[0x0112] = orientation
    return found.tobytes()


def with_exif(image: Image.Image, orientation: int, kind: str, **options: Any) -> bytes:
    return encoded(image, kind, exif=exif(orientation), **options)


def xmp(orientation: int) -> str:
    return (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        f'<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="{orientation}"/>'
        "</rdf:RDF></x:xmpmeta>"
    )


def png_with_text(image: Image.Image, key: str, text: str) -> bytes:
    info = PngImagePlugin.PngInfo()
    info.add_itxt(key, text)
    return encoded(image, "PNG", pnginfo=info)


def old_png(image: Image.Image, orientation: int) -> bytes:
    """Return a PNG whose EXIF is text, as ImageMagick wrote it before PNG had a chunk for it."""
    content = exif(orientation)
    return png_with_text(image, "Raw profile type exif", f"\nexif\n{len(content):8}\n{content.hex()}\n")


WAYS: dict[str, Callable[[Image.Image, int], bytes]] = {
    "EXIF in JPEG": lambda image, way: with_exif(image, way, "JPEG", quality=100, subsampling=0),
    "eXIf in PNG": lambda image, way: with_exif(image, way, "PNG"),
    "EXIF in WebP": lambda image, way: with_exif(image, way, "WEBP", lossless=True),
    "tag in TIFF": lambda image, way: encoded(image, "TIFF", tiffinfo={0x0112: way}),
    "tag in compressed TIFF": lambda image, way: encoded(image, "TIFF", tiffinfo={0x0112: way}, compression="tiff_lzw"),
    "XMP in PNG": lambda image, way: png_with_text(image, "XML:com.adobe.xmp", xmp(way)),
    "XMP in JPEG": lambda image, way: encoded(image, "JPEG", xmp=xmp(way).encode(), quality=100, subsampling=0),
    "text in PNG": old_png,
}


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("way", WAYS)
def test_a_picture_is_turned_upright_however_its_file_says_it(way: str, orientation: int) -> None:
    stored = Image.fromarray(np.ascontiguousarray(STORED[orientation](UPRIGHT)))
    found = folder.picture(WAYS[way](stored, orientation))
    assert found.size == (24, 16)
    assert np.abs(np.asarray(found).astype(int) - UPRIGHT).mean() < 3, "JPEG changes a shade"
    assert np.asarray(folder.picture(WAYS[way](stored, orientation), 1)).shape == (16, 24)


def test_metadata_that_cannot_be_read_turn_nothing() -> None:
    image = Image.fromarray(UPRIGHT)
    for damaged in (b"Exif\0\0nonsense", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff"):
        assert folder.picture(encoded(image, "PNG", exif=damaged)).size == (24, 16)
    assert folder.picture(with_exif(image, 77, "PNG")).size == (24, 16)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
@pytest.mark.parametrize("channels", [1, 3])
def test_sixteen_bits_are_reduced_over_their_whole_range(kind: str, channels: int) -> None:
    octets = encoded(Image.fromarray(RAMP * 1024), kind)
    found = np.asarray(folder.picture(octets, channels)).reshape(8, 8, channels)
    assert (found == (RAMP * 4)[..., None]).all()


def test_big_endian_and_twelve_bits_are_reduced_too() -> None:
    swapped = Image.frombytes("I;16B", (8, 8), (RAMP * 1024).astype(">u2").tobytes())
    assert (np.asarray(folder.picture(encoded(swapped, "TIFF"), 1)) == RAMP * 4).all()
    packed = bytearray()
    for high, low in (RAMP * 64).reshape(-1, 2).tolist():
        packed += bytes([high >> 4, (high & 15) << 4 | low >> 8, low & 255])
    tags = [(256, 8), (257, 8), (258, 12), (259, 1), (262, 1), (273, 8), (277, 1), (278, 8), (279, len(packed))]
    entries = b"".join(tag.to_bytes(2, "little") + b"\4\0\1\0\0\0" + value.to_bytes(4, "little") for tag, value in tags)
    head = b"II*\0" + (8 + len(packed)).to_bytes(4, "little")
    twelve = head + bytes(packed) + len(tags).to_bytes(2, "little") + entries + bytes(4)
    assert (np.asarray(folder.picture(twelve, 1)) == RAMP * 4).all()


@pytest.mark.parametrize(
    ("pixels", "reason"),
    [
        (RAMP.astype(np.float32) / 64, "its pixels are floating-point numbers, whose range is unknown"),
        (RAMP.astype(np.float32) * 1000, "its pixels are floating-point numbers, whose range is unknown"),
        (RAMP.astype(np.int32) * 2**24, "its pixels are signed or 32-bit numbers, whose range is unknown"),
        (RAMP.astype(np.int32), "its pixels are signed or 32-bit numbers, whose range is unknown"),
        (RAMP, "its highest value is 63 of 65535, which is black in 8 bits"),
    ],
)
def test_pixels_that_would_silently_be_black_are_refused_by_file(
    pictures: Path, settings_of: Make, pixels: np.ndarray, reason: str
) -> None:
    Image.fromarray(pixels).save(pictures / "train" / "cat" / "9.tif")
    with pytest.raises(DataError) as caught:
        load_dataset(settings_of(pictures))
    what = f"1 of 11 files cannot be read as images: {pictures / 'train' / 'cat' / '9.tif'} ({reason}"
    assert str(caught.value).startswith(what)
    assert "with 8 " in str(caught.value)


def test_a_black_image_of_sixteen_bits_is_an_image() -> None:
    assert not np.asarray(folder.picture(encoded(Image.fromarray(RAMP * 0), "PNG"))).any()


def test_dark_images_of_eight_bits_are_images(pictures: Path, settings_of: Make) -> None:
    for index, path in enumerate(pictures.glob("*/*/*.png")):
        Image.new("RGB", (8, 8), (index % 5, 0, 0)).save(path)
    assert folder.load(settings_of(pictures)).train.images_BHWC.max() == 4


def test_a_folder_of_nearly_black_images_is_refused(pictures: Path, settings_of: Make) -> None:
    for path in (pictures / "train").glob("*/*.png"):
        Image.fromarray(RAMP * 60).save(path)  # twelve bits in sixteen
    with pytest.raises(DataError) as caught:
        load_dataset(settings_of(pictures))
    what = "all images of more than 8 bits are nearly black: in 8 bits their highest value is 14 of 255"
    assert str(caught.value) == f"{pictures / 'train'}: {what}. Scale their values before."


def palette(transparency: bytes | int) -> bytes:
    image = Image.fromarray(RAMP.astype(np.uint8)).convert("P")
    image.putpalette([(index * step) % 256 for index in range(256) for step in (1, 2, 3)])
    return encoded(image, "PNG", transparency=transparency)


@pytest.mark.parametrize("transparency", [5, bytes(range(64))])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_palette_with_transparency_gives_its_colours(transparency: bytes | int, channels: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = np.asarray(folder.picture(palette(transparency), channels))
    colours = np.stack([RAMP, RAMP * 2, RAMP * 3], axis=-1).astype(np.uint8)
    wanted = colours if channels == 3 else np.asarray(Image.fromarray(colours).convert("L"))
    assert (found == wanted).all()


@pytest.mark.parametrize(
    ("mode", "kind"), [("CMYK", "JPEG"), ("CMYK", "TIFF"), ("LA", "PNG"), ("RGBA", "WEBP"), ("1", "TIFF"), ("L", "BMP")]
)
@pytest.mark.parametrize("channels", [1, 3])
def test_every_mode_keeps_its_light(mode: str, kind: str, channels: int) -> None:
    grey = np.repeat(np.array([0, 255], np.uint8), 32).reshape(8, 8)
    image = (
        Image.fromarray(grey).convert("RGB").convert(mode) if mode == "CMYK" else Image.fromarray(grey).convert(mode)
    )
    found = np.asarray(folder.picture(encoded(image, kind), channels)).astype(int).reshape(8, 8, channels)
    assert np.abs(found - grey[..., None]).max() < 12, "JPEG and WebP change a shade"


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_of_an_animation_the_first_frame_is_used_with_a_notice(
    pictures: Path, settings_of: Make, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    frames = [Image.new("RGB", (8, 8), (shade, 0, 0)) for shade in (200, 20, 90)]
    file = pictures / "train" / "cat" / f"9.{kind.lower()}"
    options: dict[str, Any] = {"lossless": True} if kind == "WEBP" else {}
    frames[0].save(file, save_all=True, append_images=frames[1:], **options)
    source = folder.load(settings_of(pictures))
    assert source.train.images_BHWC[5, 0, 0].tolist() == [200, 0, 0]
    notice = f"notice: 1 of 11 images are animated, of which the first frame is used: {file}\n"
    assert capsys.readouterr().err == notice


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM"])
def test_a_truncated_image_is_named(pictures: Path, settings_of: Make, kind: str) -> None:
    noise = np.random.default_rng(5).integers(0, 256, (8, 8, 3), np.uint8)
    content = encoded(Image.fromarray(noise), kind)
    file = pictures / "train" / "dog" / f"9.{kind.lower()}"
    file.write_bytes(content[: len(content) - 40])
    with pytest.raises(DataError, match="1 of 11 files cannot be read as images: ") as caught:
        load_dataset(settings_of(pictures))
    assert str(file) in str(caught.value)


def test_a_constant_channel_is_centred_and_not_divided_by_zero(pictures: Path, settings_of: Make) -> None:
    for path in pictures.glob("*/*/*.png"):
        pixels = np.asarray(Image.open(path)).copy()
        pixels[..., 2] = 51
        Image.fromarray(pixels).save(path)
    dataset = load_dataset(settings_of(pictures))
    assert dataset.mean[2] == pytest.approx(0.2)
    assert dataset.std[2] == 1
    assert 0 < dataset.std[0] < 0.5
