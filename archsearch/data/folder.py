"""A folder of images, `train/CLASS/*` and `test/CLASS/*`, decoded in threads and cached. Numpy, Pillow; never torch."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps

from archsearch.data.cache import cached
from archsearch.data.dataset import Images, Source, digest_of, statistics
from archsearch.data.pictures import FORMATS, OtherSizeError, open_picture
from archsearch.errors import DataError
from archsearch.settings.data import DataSettings, image_shape

IGNORED = frozenset({"thumbs.db", "desktop.ini", "__macosx"})
"""Names, in lower case, that systems leave in folders; names that begin with a dot are ignored too."""

_SPLITS = ("train", "test")
_VERSION = 1  # of the decoding; a new one makes caches invalid
_BATCH = 200  # files decoded by a thread before it takes the next
_NAMED = 5  # files named in a message, of all that are wrong


class Found(NamedTuple):
    """An image file: its path, its class's index, and its size and time, which reveal a change.

    A tuple and no dataclass, because a data set's start makes one for each of its images.
    """

    path: str
    label: int
    size: int
    changed: int


def load(settings: DataSettings) -> Source:
    """Return the images below `settings.root`; raises `DataError` as soon as one of them cannot be used, naming it."""
    root = root_of(settings)
    classes = classes_of(root)
    listing = {split: list(_files(root / split, classes)) for split in _SPLITS}
    channels, size, _ = image_shape(settings)
    resize = "resized" if settings.resize else "as it is"
    place = hashlib.sha256(f"{root}\0{size}\0{resize}{_grey(channels)}".encode()).hexdigest()[:12]
    path = Path(settings.cache) / f"{root.name}-{place}.images"
    return cached(path, _key(listing), lambda: _decode(root, classes, listing, settings))


def root_of(settings: DataSettings) -> Path:
    """Return the folder that `settings` name, as an absolute path; raises `DataError` if there is none."""
    root = Path(settings.root or "").expanduser()
    if not root.is_dir():
        what = "is a file" if root.exists() else "no such folder"
        raise DataError(f"data.root: {root}: {what}. Set data.root to the folder that contains train/ and test/.")
    return root.resolve()


def classes_of(root: Path) -> tuple[str, ...]:
    """Return the names of the classes below `root`, sorted; raises `DataError` if train and test disagree."""
    names: dict[str, set[str]] = {}
    for split in _SPLITS:
        folder = root / split
        if not folder.is_dir():
            held = ", ".join(sorted(entry.name for entry in _entries(root))[:_NAMED]) or "nothing"
            raise DataError(
                f"{folder}: no such folder; {root} contains {held}. Expected: {split}/CLASS/* below data.root."
            )
        names[split] = {entry.name for entry in _entries(folder) if entry.is_dir()}
        if not names[split]:
            raise DataError(f"{folder}: contains no class folders. Expected: {split}/CLASS/*, one folder per class.")
    for split, other in (_SPLITS, _SPLITS[::-1]):
        lacking = sorted(names[split] - names[other])
        if lacking:
            what = f"class {_some(lacking)} is in {split}/ but missing from {other}/"
            fix = (
                f"Both must contain the same class folders: add {root / other / lacking[0]}, or remove its counterpart."
            )
            raise DataError(f"{root}: {what}. {fix}")
    if len(names["train"]) < 2:
        raise DataError(
            f"{root / 'train'}: contains only one class, {names['train'].pop()}. At least two are required."
        )
    return tuple(sorted(names["train"]))


def _entries(folder: Path | str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if entry.name[0] != "." and entry.name.lower() not in IGNORED]
    except OSError as error:
        raise DataError(f"{folder}: cannot be listed: {error.strerror}. Check its permissions.") from error


def _files(folder: Path, classes: Sequence[str]) -> Iterator[Found]:
    for label, name in enumerate(classes):
        entries = sorted(_entries(folder / name), key=attrgetter("name"))
        if not entries:
            raise DataError(
                f"{folder / name}: contains no images. Add some, or remove the class from train/ and test/."
            )
        for entry in entries:
            if entry.is_dir():
                fix = "Move its images directly into the folder of their class."
                raise DataError(f"{entry.path}: is a folder, expected an image. {fix}")
            try:
                state = entry.stat()
            except OSError as error:
                raise DataError(f"{entry.path}: cannot be read: {error.strerror}. Fix or remove it.") from error
            if not stat.S_ISREG(state.st_mode):  # to open a pipe would wait for its other end
                raise DataError(f"{entry.path}: is not a regular file, expected an image. Remove it.")
            yield Found(entry.path, label, state.st_size, state.st_mtime_ns)


def _key(listing: dict[str, list[Found]]) -> str:
    plain = [_VERSION, *([tuple(file) for file in files] for files in listing.values())]  # their text is made faster
    return hashlib.sha256(repr(plain).encode("utf-8", "surrogateescape")).hexdigest()


def _decode(root: Path, classes: tuple[str, ...], listing: dict[str, list[Found]], settings: DataSettings) -> Source:
    """Return the decoded images.

    The digest is over the files' bytes, not over pixels: decoders of JPEG may differ by a shade between machines.
    """
    splits, digests = [], []
    channels, size, _ = image_shape(settings)
    for split in _SPLITS:
        files = listing[split]
        images, hashes = _decode_all(files, size, channels, settings.resize)
        labels = np.array([file.label for file in files], np.int64)
        splits.append(Images(images_BHWC=images, labels_B=labels))
        digests += [labels, b"".join(hashes)]
    mean, std = statistics(splits[0].images_BHWC)
    digest = digest_of(["\0".join(classes).encode(), f"{size}{_grey(channels)}".encode(), *digests])
    return Source(name=root.name, classes=classes, train=splits[0], test=splits[1], mean=mean, std=std, digest=digest)


def _grey(channels: int) -> str:
    """Return the mark of grey images in a digest."""
    return "\0grey" if channels == 1 else ""


def _decode_all(files: list[Found], size: int, channels: int, resize: bool) -> tuple[np.ndarray, list[bytes]]:
    """Return uint8 [N, size, size, channels] and each file's SHA-256; raises `DataError` about all unfit files."""
    images_NHWC = np.empty((len(files), size, size, channels), np.uint8)
    hashes: list[bytes] = [b""] * len(files)
    broken: list[str] = []
    other: list[tuple[str, tuple[int, int]]] = []

    def decode(start: int) -> None:
        for index in range(start, min(start + _BATCH, len(files))):
            path = files[index].path
            try:
                with Path(path).open("rb") as file:
                    octets = file.read()
                image = picture(octets, channels, size=None if resize else size)
            except OtherSizeError as error:
                other.append((path, error.size))
                continue
            except Exception as error:  # noqa: BLE001  (a broken file makes Pillow's decoders raise anything)
                broken.append(f"{path} ({_reason(error)})")
                continue
            if image.size != (size, size):
                image = image.resize((size, size), Image.Resampling.BICUBIC)
            images_NHWC[index] = np.asarray(image).reshape(size, size, channels)
            hashes[index] = hashlib.sha256(octets).digest()

    with ThreadPoolExecutor(min(16, os.cpu_count() or 1)) as pool:
        list(pool.map(decode, range(0, len(files), _BATCH)))
    if broken:
        what = f"{len(broken)} of {len(files)} files cannot be read as images: {_some(sorted(broken))}"
        raise DataError(f"{what}. Fix or remove {'it' if len(broken) == 1 else 'them'}.")
    if other:
        _raise_sizes(sorted(other), len(files), size)
    return images_NHWC, hashes


def picture(octets: bytes, channels: int = 3, *, size: int | None = None) -> Image.Image:
    """Return an encoded image in RGB, or in grey for one channel, in its EXIF orientation.

    Raises `OtherSizeError`, before it is decoded, for one that is not `size` px wide and high.

    Alpha is dropped, 16 bits are reduced to 8; for grey, colours become their luma (ITU-R BT.601).
    """
    mode = "L" if channels == 1 else "RGB"
    with open_picture(octets) as image:
        if size is not None and image.size != (size, size):
            raise OtherSizeError(image.size)
        image.load()
        if image.mode == mode and "exif" not in image.info:
            return image
        if image.mode.startswith("I"):
            image = Image.fromarray((np.asarray(image).clip(0, 65535) >> 8).astype(np.uint8))
        elif image.mode == "P" and "transparency" in image.info:
            image = image.convert("RGBA")
        return ImageOps.exif_transpose(image).convert(mode)


def _raise_sizes(other: list[tuple[str, tuple[int, int]]], total: int, size: int) -> None:
    named = _some([f"{path} ({width}x{height})" for path, (width, height) in other])
    what = f"{len(other)} of {total} images {'is' if len(other) == 1 else 'are'} not {size}x{size} px: {named}"
    fix = "Set data.resize=true to resize them"
    (width, height) = other[0][1]
    if len(other) == total and width == height and {extent for _, extent in other} == {(width, height)}:
        fix += f", or data.image_size={width} to keep their size"
    raise DataError(f"{what}. {fix}.")


def _reason(error: Exception) -> str:
    if isinstance(error, Image.UnidentifiedImageError):
        return f"not an image in one of the formats {', '.join(FORMATS)}"
    return (error.strerror if isinstance(error, OSError) and error.strerror else str(error)) or type(error).__name__


def _some(names: Sequence[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")
