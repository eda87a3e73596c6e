"""Published data sets, found on disk or downloaded, and decoded by torchvision.

Their descriptions are in `archsearch.settings.datasets`. torchvision (and torch) is imported only to download or to
decode; decoded images are read from the cache without it. Every file with a published MD5 is checked before it is
decoded.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import importlib
import socket
import sys
import threading
import time
import urllib.error
import urllib.request
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from archsearch.data.cache import cached, is_full, staging
from archsearch.data.dataset import Images, Source, source_of
from archsearch.errors import DataError
from archsearch.settings.data import DataSettings
from archsearch.settings.datasets import PUBLISHED, PublishedSet

PATIENCE = 3.0
"""Timeout in seconds for the first answer of a server; during a download the timeout is ten times as long."""

_SPACE = "Free some space, or put the data elsewhere with data.cache=DIR."


class NotFound(DataError):
    """A data set that is neither on disk nor downloadable; the message lists what was tried and the fixes."""

    def __init__(self, name: str, tried: Sequence[str]) -> None:
        self.name, self.tried = name, list(tried)
        known = PUBLISHED[name]
        lines = [f"data={name}: {known.title} was not found. Tried:", *(f"  {place}" for place in tried)]
        lines += [
            "Fixes:",
            f"  put {_wanted(known)} below data/, or set data.root to its folder",
            "  data=folder data.root=DIR for images in DIR/train/CLASS/* and DIR/test/CLASS/*",
            "  data=shapes for the embedded set",
        ]
        super().__init__("\n".join(lines))

    def __reduce__(self) -> tuple[type[NotFound], tuple[str, list[str]]]:
        """Return how to unpickle the exception, for the transfer between processes."""
        return type(self), (self.name, self.tried)


class _Found(NamedTuple):
    """The files of a data set on disk, keyed by the path that torchvision expects, and the place of the find."""

    place: Path
    files: Mapping[str, Path]


def load(name: str, settings: DataSettings) -> Source:
    """Return the published data set `name`, downloaded first if it is missing and `settings.download` allows it.

    Raises `NotFound` if it is not available, and `DataError` if it was found but differs from the published one.
    """
    known, cache = PUBLISHED[name], Path(settings.cache)
    tried: list[str] = []
    found = _find(known, settings, tried)
    if found is None:
        if not settings.download:
            urls = _urls(known.mirrors, known.published[0])
            raise NotFound(name, [*tried, *(f"{url} (not tried: data.download=false)" for url in urls)])
        try:
            _download(known, cache / f"{name}.images")
        except _DownloadError as error:
            raise NotFound(name, [*tried, str(error)]) from error
        found = _found_below(known, cache, complete=True)
        assert found is not None, "downloads are kept in the cache folder"
    states = [(str(file.resolve()), file.stat().st_size, file.stat().st_mtime_ns) for file in found.files.values()]
    key = hashlib.sha256(repr((name, states)).encode()).hexdigest()
    path = cache / f"{name}.images"
    return cached(path, key, lambda: _read(known, found, path))


def _find(known: PublishedSet, settings: DataSettings, tried: list[str]) -> _Found | None:
    """Return the files of the data set, packed or not, or None; add the places without them to `tried`."""
    cache = Path(settings.cache)
    root = Path("data") if settings.root is None else Path(settings.root).expanduser()
    if settings.root is not None:
        if root.is_file() and len(known.archives) == 1 and root.name == Path(known.archives[0]).name:
            return _Found(root, {known.archives[0]: root})
        inside = {path: root / Path(path).name for path in (*known.files, *known.archives) if "/" in path}
        for paths in known.forms:  # the published folder itself
            there = {path: inside[path] for path in paths if path in inside and inside[path].is_file()}
            if paths[0] in there:
                return _Found(root, there)
    for folder, complete in ((root, False), (cache, True)):
        found = _found_below(known, folder, complete=complete)
        if found is not None:
            return found
        tried += [str(folder / place) for place in _places(known)]
    return None


def _found_below(known: PublishedSet, folder: Path, *, complete: bool) -> _Found | None:
    """Return the files below `folder`, unpacked or packed, or None; with `complete`, only if all of them exist."""
    for paths in known.forms:
        there = {path: folder / path for path in paths if (folder / path).is_file()}
        if there and (len(there) == len(paths) or not complete):
            return _Found(folder / (paths[0] if paths == known.archives[:1] else known.folder or paths[0]), there)
    return None


def _places(known: PublishedSet) -> list[str]:
    return [known.folder or known.files[0], *known.archives[:1]]


def _wanted(known: PublishedSet) -> str:
    """Return the files that a user must provide, for a message."""
    packed = [Path(archive).name for archive in known.archives]
    if not known.folder:
        return " and ".join(known.files)
    if len(packed) == 1 and "/" not in known.archives[0]:
        return f"{known.folder}/ or {packed[0]}"
    return f"{known.folder}/ with {', '.join(packed)}"


def _read(known: PublishedSet, found: _Found, cache: Path) -> Source:
    """Return the data set in the files of `found`; raise `DataError` if one is missing, altered or unreadable."""
    _check(known, found)
    reader = _reader(known)
    packed = next(iter(found.files)) in known.archives
    with staging(cache, fix=_SPACE) as stage, _quiet():
        for path, file in found.files.items():
            (stage / path).parent.mkdir(parents=True, exist_ok=True)
            (stage / path).symlink_to(file.resolve())
        try:
            # If the archives exist, torchvision unpacks them and downloads nothing.
            train, test = (reader(stage, **split, download=packed) for split in known.splits)
            classes = tuple(str(name) for name in getattr(train, "classes", range(known.classes)))
            return source_of(
                known.title, classes[known.first_label :], *(_decoded(one, known.first_label) for one in (train, test))
            )
        except Exception as error:
            if is_full(error):
                raise
            raise DataError(f"{found.place}: cannot be read: {error}. {_again(known, found.place)}") from error


def _check(known: PublishedSet, found: _Found) -> None:
    """Raise `DataError` unless all files exist and have the MD5 that torchvision lists for them."""
    checksums = _checksums(known)
    for path, file in found.files.items():
        try:
            with file.open("rb") as opened:
                md5 = hashlib.file_digest(opened, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
        except OSError as error:
            raise DataError(f"{file}: cannot be read: {error.strerror or error}. Check its permissions.") from error
        if path in checksums and md5 != checksums[path]:
            place = found.place if known.folder else file
            what = f"{file.name} is not the published file of {known.title}: its MD5 checksum differs"
            raise DataError(f"{place}: {what}. {_again(known, place)}")
    paths = known.archives if next(iter(found.files)) in known.archives else known.files
    missing = sorted(Path(path).name for path in set(paths) - set(found.files))
    if missing:
        raise DataError(f"{found.place}: missing {', '.join(missing)}. {_again(known, found.place)}")


def _again(known: PublishedSet, place: Path) -> str:
    return f"Remove {place} and download it again from {known.mirrors[0]}, or use data=shapes."


def _decoded(dataset: Any, first_label: int) -> Images:
    """Return the images of a torchvision data set, in its order, with labels from 0."""
    pairs = [dataset[index] for index in range(len(dataset))]
    images = np.stack([np.asarray(image) for image, _ in pairs])
    labels = np.array([label for _, label in pairs], np.int64) - first_label
    return Images(images_BHWC=images.reshape(*images.shape[:3], -1), labels_B=labels)


def _reader(known: PublishedSet) -> Any:
    """Import and return torchvision's class of the data set; raise `DataError` if torchvision is broken."""
    try:
        return getattr(importlib.import_module("torchvision.datasets"), known.reader)
    except Exception as error:  # a torchvision built for another torch raises RuntimeError
        what = f"torchvision, which reads {known.title}, cannot be imported ({type(error).__name__}: {error})"
        raise DataError(f"{what}. Install matching versions: pip install torch torchvision.") from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Send output to stderr, and hide the deprecation warnings of tarfile and Pillow that torchvision triggers."""
    with contextlib.redirect_stdout(sys.stderr), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


def _checksums(known: PublishedSet) -> dict[str, str]:
    """Return the MD5 of each file that torchvision has one for, by path; its classes store them in several forms."""
    reader = _reader(known)
    if hasattr(reader, "tgz_md5"):
        listed = [*reader.train_list, *reader.test_list]
        if "md5" in (meta := getattr(reader, "meta", {})):
            listed.append((meta["filename"], meta["md5"]))
        return {known.archives[0]: reader.tgz_md5, **{f"{known.folder}/{name}": md5 for name, md5 in listed}}
    if hasattr(reader, "split_list"):
        return {name: md5 for _, name, md5 in reader.split_list.values()}
    if hasattr(reader, "md5"):
        return {known.archives[0]: reader.md5}
    return {f"{known.folder}/{name}": md5 for name, md5 in reader.resources}


class _DownloadError(Exception):
    """A file that could not be downloaded; the message lists its URLs and the reasons."""

    def __init__(self, failures: Mapping[str, str]) -> None:
        super().__init__("\n  ".join(f"{url} ({reason})" for url, reason in failures.items()))


def _urls(mirrors: Sequence[str], path: str) -> list[str]:
    """Return the URLs of a published file."""
    return [mirror + Path(path).name for mirror in mirrors]


def _download(known: PublishedSet, cache: Path) -> None:
    """Download the published files into the folder of `cache`, all or none; raise `_DownloadError` on failure."""
    first = _urls(known.mirrors, known.published[0])
    failures = _unreachable(first)  # before the import of torchvision, which takes seconds
    mirrors = [mirror for mirror, url in zip(known.mirrors, first, strict=True) if url not in failures]
    if not mirrors:
        raise _DownloadError(failures)
    with staging(cache, fix=_SPACE) as stage, _quiet():
        checksums = _checksums(known)
        for path in known.published:
            _fetch(_urls(mirrors, path), stage / path, checksums[path])
        for path in known.published:
            (cache.parent / path).parent.mkdir(parents=True, exist_ok=True)
            (stage / path).replace(cache.parent / path)


def _fetch(urls: Sequence[str], file: Path, md5: str) -> None:
    """Download `file` from the first URL that has it; raise `_DownloadError` if none has."""
    from torchvision.datasets.utils import download_url

    failures: dict[str, str] = {}
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(PATIENCE * 10)  # torchvision sets no timeout
    try:
        for url in urls:
            try:
                return download_url(url, str(file.parent), file.name, md5)
            except (OSError, http.client.HTTPException, RuntimeError, ValueError) as error:
                if is_full(error):
                    raise
                corrupted = type(error) is RuntimeError
                failures[url] = "not the published file: its MD5 checksum differs" if corrupted else _reason(error)
    finally:
        socket.setdefaulttimeout(before)
    raise _DownloadError(failures)


def _unreachable(urls: Sequence[str]) -> dict[str, str]:
    """Return those of `urls` that do not answer within `PATIENCE` seconds, with the reasons.

    All are tried in parallel, in threads, because name resolution has no timeout.
    """
    late = f"no answer within {PATIENCE:g} s"
    reasons: dict[str, str] = {}

    def ask(url: str) -> None:
        try:
            with urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=PATIENCE):
                reasons[url] = ""
        except urllib.error.HTTPError:
            reasons[url] = ""  # the download reports the error
        except TimeoutError:
            reasons[url] = late
        except (OSError, http.client.HTTPException, ValueError) as error:
            reasons[url] = _reason(error)

    deadline = time.monotonic() + PATIENCE
    threads = [threading.Thread(target=ask, args=(url,), daemon=True) for url in urls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    return {url: reason for url in urls if (reason := reasons.get(url, late))}


def _reason(error: Exception) -> str:
    return str(getattr(error, "reason", "") or error)
