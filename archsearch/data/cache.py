"""A cache of decoded images on disk, so that a data set is decoded once. Numpy and the standard library only.

A file consists of a magic line, the length and the SHA-256 of the header, the header in JSON (with checksums of the
arrays) and the raw arrays. It is written under another name and then renamed, so a reader sees a complete file or none.
Several processes may write the same file: the last one wins. A file that is incomplete, damaged, or made from other
files is not an error: it is rebuilt. If it cannot be written, the images are used without a cache.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import math
import os
import shutil
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any

import numpy as np

from archsearch.data.dataset import Images, Source
from archsearch.errors import StorageError
from archsearch.notices import notice_once

MAGIC = b"archsearch images 3\n"
_ANY_VERSION = MAGIC[:-2]
_UNFINISHED = ".part"
_STALE = 3600.0  # seconds after which an unfinished file is considered to be that of a killed writer
_PIECE = 1 << 24  # bytes per checksum


class _DamagedError(Exception):
    """A cache file whose content is not what was written."""


def cached(path: Path, key: str, build: Callable[[], Source]) -> Source:
    """Return the source in the cache file `path` if it was made for `key`; otherwise call `build` and cache its result.

    If the file cannot be written, a notice is shown and the source is used without a cache.
    """
    source = read(path, key)
    if source is None:
        source = build()
        try:
            write(path, key, source)
        except StorageError as error:
            notice_once(f"the decoded images are not cached, every run decodes them: {error}")
    return source


def read(path: Path, key: str) -> Source | None:
    """Return the source in `path`, or None if there is no intact file for `key`; show a notice if it is damaged."""
    try:
        with path.open("rb") as file:
            return _read(file, key)
    except OSError:
        return None
    except _DamagedError:
        notice_once(f"{path}: the cached images are damaged; they are decoded again")
        return None


def _read(file: IO[bytes], key: str) -> Source | None:
    """Return the source in `file`, or None if it is of another version or key; raise `_DamagedError` if damaged."""
    header = _header(file)
    if header is None or header["key"] != key:
        return None
    shapes: list[list[int]] = header["shapes"]
    sizes = [size for shape in shapes for size in (math.prod(shape), shape[0] * 8)]
    if os.fstat(file.fileno()).st_size != file.tell() + sum(sizes):
        raise _DamagedError
    arrays = [np.fromfile(file, np.uint8, size) for size in sizes]
    if [len(array) for array in arrays] != sizes or _sums(arrays) != header["sums"]:
        raise _DamagedError
    splits = [
        Images(images_BHWC=images.reshape(shape), labels_B=_labels(labels))
        for shape, images, labels in zip(shapes, arrays[::2], arrays[1::2], strict=True)
    ]
    return Source(
        name=header["name"],
        classes=tuple(header["classes"]),
        train=splits[0],
        test=splits[1],
        validation=splits[2] if len(splits) > 2 else None,
        mean=tuple(header["mean"]),
        std=tuple(header["std"]),
        digest=header["digest"],
    )


def write(path: Path, key: str, source: Source) -> None:
    """Write `source` to `path` atomically; raise `StorageError` if that fails, and leave no partial file."""
    splits = [source.train, source.test, *([] if source.validation is None else [source.validation])]
    arrays = [
        np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        for images in splits
        for array in (images.images_BHWC, images.labels_B.astype("<i8"))
    ]
    header = {
        "key": key,
        "name": source.name,
        "classes": source.classes,
        "shapes": [images.images_BHWC.shape for images in splits],
        "mean": source.mean,
        "std": source.std,
        "digest": source.digest,
        "sums": _sums(arrays),
    }
    encoded = json.dumps(header).encode()
    with replacing(path, fix="Free some space, or put the cache elsewhere with data.cache=DIR.") as file:
        file.write(MAGIC + len(encoded).to_bytes(8, "little") + hashlib.sha256(encoded).digest() + encoded)
        for array in arrays:
            file.write(array.data)


@contextlib.contextmanager
def replacing(path: Path, *, fix: str) -> Iterator[IO[bytes]]:
    """Yield a new file that replaces `path` if the block succeeds, and is removed if it fails.

    Raises `StorageError`, which ends with `fix`, if the system cannot write the file.
    """
    with staging(path, fix=fix) as folder:
        with (folder / "file").open("xb") as file:  # with ordinary permissions, unlike a file of `tempfile`
            yield file
        (folder / "file").replace(path)


@contextlib.contextmanager
def staging(path: Path, *, fix: str) -> Iterator[Path]:
    """Yield an empty folder next to `path`, removed at the end of the block; raise `StorageError` like `replacing`."""
    with (
        _writing(path, fix),
        tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.", suffix=_UNFINISHED) as folder,
    ):
        yield Path(folder)


def is_full(error: BaseException) -> bool:
    """Return whether `error` means that the disk, or the user's quota, is full."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


@contextlib.contextmanager
def _writing(path: Path, fix: str) -> Iterator[None]:
    """Create the folder of `path`, sweep it, and turn an `OSError` of the block into a `StorageError`."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep(path)
        yield
    except OSError as error:
        reason = "the disk is full" if is_full(error) else error.strerror or str(error)
        raise StorageError(f"{path}: cannot be written: {reason}. {fix}") from error


def _sweep(path: Path) -> None:
    """Remove the unfinished files of killed writers of `path`."""
    for left in path.parent.glob(f".{path.name}.*{_UNFINISHED}"):
        with contextlib.suppress(OSError):
            if time.time() - left.stat().st_mtime > _STALE:
                shutil.rmtree(left) if left.is_dir() else left.unlink()


def _header(file: IO[bytes]) -> dict[str, Any] | None:
    """Return the header, or None if the file is of another version; raise `_DamagedError` if it is damaged."""
    magic = file.read(len(MAGIC))
    if magic != MAGIC:
        if magic.startswith(_ANY_VERSION):
            return None
        raise _DamagedError
    length, digest = int.from_bytes(file.read(8), "little"), file.read(32)
    encoded = file.read(length) if length < 1 << 24 else b""
    if hashlib.sha256(encoded).digest() != digest:
        raise _DamagedError
    return json.loads(encoded)


def _labels(octets: np.ndarray) -> np.ndarray:
    return octets.view("<i8").astype(np.int64, copy=False)


def _sums(arrays: list[np.ndarray]) -> list[int]:
    """Return a CRC-32 of every 16 MiB, computed in threads; it detects damage, but not tampering."""
    pieces = [array[start : start + _PIECE] for array in arrays for start in range(0, len(array), _PIECE)]
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        return list(pool.map(lambda piece: zlib.crc32(piece.data), pieces))
