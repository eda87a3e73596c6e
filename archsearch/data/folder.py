"""A folder of images, decoded in threads and cached: `train/CLASS/*`, `test/CLASS/*`, and `val/CLASS/*` for validation.

Numpy and Pillow; never torch.
"""

from __future__ import annotations

import hashlib
import os
import stat
import unicodedata
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import permutations
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from archsearch.data.cache import cached
from archsearch.data.dataset import Images, Samples, Source, digest_of, some_of_each_class, statistics
from archsearch.data.pictures import FORMATS, OtherSizeError, open_picture
from archsearch.data.pixels import REDUCED, eight_bits
from archsearch.errors import DataError
from archsearch.notices import notice_once
from archsearch.settings.data import DataSettings, image_shape

IGNORED = frozenset({"thumbs.db", "desktop.ini", "__macosx"})
"""Names, in lower case, of files and folders that systems create; names that begin with a dot are ignored too."""

HELD_OUT = ("val", "valid", "validation")
"""Possible names of the folder of validation images."""

ANIMATED = "is animated"
"""The key in an image's `info` that marks the first frame of an animation."""

_SPLITS = ("train", "test")
_VERSION = 2  # of the decoding; a change invalidates caches
_BATCH = 200  # files that a thread decodes per task
_LONG = 120  # maximum bytes of a folder's name in the name of its cache
_NAMED = 5  # maximum files named in a message
_BLACK = 16  # an image with all values below this (of 255) looks black
_TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")  # change the direction of text


class Found(NamedTuple):
    """An image file: its path, class index, size and modification time (to detect changes).

    A tuple rather than a dataclass for speed: every start creates one for each image of the data set.
    """

    path: str
    label: int
    size: int
    changed: int


def load(settings: DataSettings) -> Source:
    """Return the images below `settings.root`; raise `DataError`, which names unusable images, if there are any."""
    root = root_of(settings)
    classes = classes_of(root)
    held_out = _held_out(root)
    if held_out and settings.validation is not None:
        what = f"is {settings.validation}, but {root / held_out[0]} has the validation images"
        raise DataError(f"data.validation: {what}. Set data.validation=null to use these, or rename the folder.")
    listing = {split: list(_files(root / split, classes)) for split in ("train", *held_out, "test")}
    channels, size, _ = image_shape(settings)
    resize = "resized" if settings.resize else "as it is"
    place = hashlib.sha256(os.fsencode(f"{root}\0{size}\0{resize}{_grey(channels)}")).hexdigest()[:12]
    name = readable(root.name).encode()[:_LONG].decode(errors="ignore")
    path = Path(settings.cache) / f"{name}-{place}.images"
    return cached(path, _key(listing), lambda: _decode(root, classes, listing, settings))


def load_samples(settings: DataSettings, *, most: int, each: int) -> Samples:
    """Return at most `most` training images below `settings.root`, at most `each` per class; decode no others."""
    root = root_of(settings)
    files = list(_files(root / "train", classes_of(root)))
    labels_B = np.array([file.label for file in files], np.int64)
    chosen = some_of_each_class(labels_B, most, each)
    channels, size, _ = image_shape(settings)
    images_BHWC, _ = _decode_all([files[index] for index in chosen], size, channels, settings.resize)
    mean, std = statistics(images_BHWC)
    return Samples(images=Images(images_BHWC=images_BHWC, labels_B=labels_B[chosen]), mean=mean, std=std)


def root_of(settings: DataSettings) -> Path:
    """Return the folder `settings.root` as an absolute path; raise `DataError` if it does not exist."""
    root = Path(settings.root or "").expanduser()
    if not root.is_dir():
        what = "is a file" if root.exists() else "no such folder"
        raise DataError(f"data.root: {root}: {what}. Set data.root to the folder that contains train/ and test/.")
    return root.resolve()


def classes_of(root: Path) -> tuple[str, ...]:
    """Return the sorted names of the class folders below `root`; raise `DataError` if the splits differ."""
    names: dict[str, set[str]] = {}
    for split in (*_SPLITS, *_held_out(root)):
        folder = root / split
        if not folder.is_dir():
            held = ", ".join(sorted(entry.name for entry in _entries(root))[:_NAMED]) or "nothing"
            raise DataError(
                f"{folder}: no such folder; {root} contains {held}. Expected: {split}/CLASS/* below data.root."
            )
        names[split] = {entry.name for entry in _entries(folder) if entry.is_dir()}
        if not names[split]:
            raise DataError(f"{folder}: contains no class folders. Expected: {split}/CLASS/*, one folder per class.")
    for split, other in permutations(names, 2):
        lacking = sorted(names[split] - names[other])
        if lacking:
            what = f"class {_some(lacking)} is in {split}/ but missing from {other}/"
            fix = (
                f"All must contain the same class folders: add {root / other / lacking[0]}, or remove its counterpart."
            )
            raise DataError(f"{root}: {what}. {fix}")
    if len(names["train"]) < 2:
        raise DataError(
            f"{root / 'train'}: contains only one class, {names['train'].pop()}. At least two are required."
        )
    return tuple(sorted(names["train"]))


def _held_out(root: Path) -> list[str]:
    """Return a list with the name of the folder of validation images, or an empty list if there is none."""
    there = [name for name in HELD_OUT if (root / name).is_dir()]
    if len(there) > 1:
        named = " and ".join(f"{name}/" for name in there)
        raise DataError(
            f"{root}: contains {named}, but validation images are in one folder. Remove or rename the others."
        )
    return there


def readable(name: str) -> str:
    """Return the name of a file as text that is safe to print.

    Bytes that are not UTF-8, control characters and characters that change the direction of text are escaped.
    """
    text = os.fsencode(name).decode("utf-8", "backslashreplace")
    codes = {one: one.encode("unicode_escape").decode() for one in set(text) if one in _TURNING or _is_control(one)}
    return text.translate(str.maketrans(codes))


def _is_control(letter: str) -> bool:
    return unicodedata.category(letter) in ("Cc", "Zl", "Zp")


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
            if not stat.S_ISREG(state.st_mode):  # opening a pipe would block
                raise DataError(f"{entry.path}: is not a regular file, expected an image. Remove it.")
            yield Found(entry.path, label, state.st_size, state.st_mtime_ns)


def _key(listing: dict[str, list[Found]]) -> str:
    plain = [_VERSION, *([tuple(file) for file in files] for files in listing.values())]  # tuples have a faster repr
    return hashlib.sha256(repr(plain).encode("utf-8", "surrogateescape")).hexdigest()


def _decode(root: Path, classes: tuple[str, ...], listing: dict[str, list[Found]], settings: DataSettings) -> Source:
    """Return the decoded images of `listing`: the splits train, validation (if there is one) and test.

    The digest covers the bytes of the files, not the pixels: JPEG decoders may differ slightly between machines.
    """
    splits, digests = [], []
    channels, size, _ = image_shape(settings)
    *seen, test = listing.values()
    hashes: list[list[bytes]] = []
    for files in ([file for split in seen for file in split], test):
        images, found = _decode_all(files, size, channels, settings.resize)
        labels = np.array([file.label for file in files], np.int64)
        splits.append(Images(images_BHWC=images, labels_B=labels))
        digests += [labels, b"".join(found)]
        hashes.append(found)
    _note_equal(listing, [*hashes[0], *hashes[1]])
    count = len(listing["train"])
    train, validation = (
        Images(images_BHWC=splits[0].images_BHWC[part], labels_B=splits[0].labels_B[part])
        for part in (slice(count), slice(count, None))
    )
    mean, std = statistics(train.images_BHWC)
    names = tuple(map(readable, classes))
    held_out = f"\0{count}" if len(seen) > 1 else ""
    digest = digest_of(["\0".join(names).encode(), f"{size}{_grey(channels)}{held_out}".encode(), *digests])
    return Source(
        name=readable(root.name),
        classes=names,
        train=train,
        test=splits[1],
        mean=mean,
        std=std,
        digest=digest,
        validation=validation if len(seen) > 1 else None,
    )


def _note_equal(listing: dict[str, list[Found]], hashes: list[bytes]) -> None:
    """Show a notice of the images that are in the training split and in another split."""
    train = set(hashes[: (start := len(listing["train"]))])
    for split, files in list(listing.items())[1:]:
        equal = [file.path for file, one in zip(files, hashes[start:], strict=False) if one in train]
        start += len(files)
        if equal:
            what = f"{len(equal)} of {len(files)} images in {split}/ are training images too, byte for byte"
            notice_once(f"{what}: {_some(list(map(readable, equal)))}")


def _grey(channels: int) -> str:
    """Return the suffix that distinguishes grey images in a digest."""
    return "\0grey" if channels == 1 else ""


def _decode_all(files: list[Found], size: int, channels: int, resize: bool) -> tuple[np.ndarray, list[bytes]]:
    """Return uint8 [N, size, size, channels] and each file's SHA-256; raise `DataError` about all unusable files."""
    images_NHWC = np.empty((len(files), size, size, channels), np.uint8)
    hashes: list[bytes] = [b""] * len(files)
    broken: list[str] = []
    other: list[tuple[str, tuple[int, int]]] = []
    animated: list[str] = []
    reduced: list[int] = []

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
            if image.info.get(REDUCED):
                reduced.append(index)
            if image.info.get(ANIMATED):
                animated.append(path)
            images_NHWC[index] = np.asarray(image).reshape(size, size, channels)
            hashes[index] = hashlib.sha256(octets).digest()

    with ThreadPoolExecutor(min(16, os.cpu_count() or 1)) as pool:
        list(pool.map(decode, range(0, len(files), _BATCH)))
    if broken:
        what = f"{len(broken)} of {len(files)} files cannot be read as images: {_some(sorted(broken))}"
        raise DataError(f"{what}. Fix or remove {'it' if len(broken) == 1 else 'them'}.")
    if other:
        _raise_sizes(sorted(other), len(files), size)
    if 0 < (highest := images_NHWC[reduced].max(initial=0)) < _BLACK:
        where = Path(files[reduced[0]].path).parent.parent
        what = f"all images of more than 8 bits are nearly black: in 8 bits their highest value is {highest} of 255"
        raise DataError(f"{where}: {what}. Scale their values before.")
    if animated:
        named = _some(sorted(map(readable, animated)))
        notice_once(f"{len(animated)} of {len(files)} images are animated, of which the first frame is used: {named}")
    return images_NHWC, hashes


def picture(octets: bytes, channels: int = 3, *, size: int | None = None) -> Image.Image:
    """Return an encoded image upright in RGB, or in grey for one channel; see `eight_bits`.

    An animation yields its first frame. `info[ANIMATED]` is whether the image is animated. Raises `OtherSizeError`,
    before decoding, if `size` is given and the image is not `size` px wide and high.
    """
    with open_picture(octets) as image:
        if size is not None and image.size != (size, size):
            raise OtherSizeError(image.size)
        is_animated = image.format != "MPO" and getattr(image, "is_animated", False)
        image.load()
        found = eight_bits(image, "L" if channels == 1 else "RGB")
    found.info[ANIMATED] = is_animated
    return found


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
