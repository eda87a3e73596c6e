"""CIFAR-10 and CIFAR-100 in the form their authors publish them, found on disk or fetched. Numpy; never torch.

The files are Python pickles: each file's MD5 is checked before it is opened, and the unpickler knows arrays only.
"""

from __future__ import annotations

import codecs
import hashlib
import io
import pickle
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from archsearch.data.cache import cached
from archsearch.data.dataset import Images, Source, source_of
from archsearch.data.fetch import FetchFailed, fetch
from archsearch.errors import DataError
from archsearch.settings.data import DataSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """How a data set is packed: its folder, its `.tar.gz`, and the MD5 of every file that is read."""

    name: str
    title: str
    folder: str
    packed: str
    url: str
    md5: str
    train: dict[str, str]
    test: dict[str, str]
    meta: dict[str, str]
    labels_key: str
    classes_key: str


CIFAR10 = Archive(
    name="cifar10",
    title="CIFAR-10",
    folder="cifar-10-batches-py",
    packed="cifar-10-python.tar.gz",
    url="https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
    md5="c58f30108f718f92721af3b95e74349a",
    train={
        "data_batch_1": "c99cafc152244af753f735de768cd75f",
        "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
        "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
        "data_batch_4": "634d18415352ddfa80567beed471001a",
        "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    },
    test={"test_batch": "40351d587109b95175f43aff81a1287e"},
    meta={"batches.meta": "5ff9c542aee3614f3951f8cda6e48888"},
    labels_key="labels",
    classes_key="label_names",
)

CIFAR100 = Archive(
    name="cifar100",
    title="CIFAR-100",
    folder="cifar-100-python",
    packed="cifar-100-python.tar.gz",
    url="https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz",
    md5="eb9058c3a382ffc7106e4002c42a8d85",
    train={"train": "16019d7e3df5f24257cddd939b257f8d"},
    test={"test": "f0ef6b0ae62326f3e7ffdfab6717acfc"},
    meta={"meta": "7973b15100ade9c7d40fb424638fde48"},
    labels_key="fine_labels",
    classes_key="fine_label_names",
)


class NotFound(DataError):
    """A data set that is neither on disk nor to be had; the message lists what was tried and the ways out."""

    def __init__(self, archive: Archive, tried: list[str]) -> None:
        """Make the message of an archive and the places that were tried."""
        self.archive, self.tried = archive, tried
        lines = [f"data={archive.name}: {archive.title} was not found. Tried:", *(f"  {place}" for place in tried)]
        lines += [
            "Ways out:",
            f"  put {archive.folder}/ or {archive.packed} below data/, or name its folder with data.root=DIR",
            "  data=folder data.root=DIR for images in DIR/train/CLASS/* and DIR/test/CLASS/*",
            "  data=shapes for the embedded set",
        ]
        super().__init__("\n".join(lines))

    def __reduce__(self) -> tuple[type[NotFound], tuple[Archive, list[str]]]:
        """Survive the way between processes."""
        return type(self), (self.archive, self.tried)


def load(archive: Archive, settings: DataSettings) -> Source:
    """Return the data set, fetched first where it is missing and `settings.download` allows it.

    Raises `NotFound` where it is not to be had, and `DataError` where it was found but is not as it was published.
    """
    tried: list[str] = []
    found = _find(archive, settings, tried)
    if found is None:
        target = Path(settings.cache) / archive.packed
        if not settings.download:
            raise NotFound(archive, [*tried, f"{archive.url} (not tried: data.download=false)"])
        try:
            fetch(archive.url, target, md5=archive.md5)
        except FetchFailed as error:
            raise NotFound(archive, [*tried, f"{archive.url} ({error})"]) from error
        found = target
    members = [*archive.train, *archive.test, *archive.meta]
    parts = [found] if found.is_file() else [found / member for member in members]
    states = [(str(part.resolve()), part.stat().st_size, part.stat().st_mtime_ns) for part in parts if part.exists()]
    key = hashlib.sha256(repr((archive.name, states)).encode()).hexdigest()
    return cached(Path(settings.cache) / f"{archive.name}.images", key, lambda: read(archive, found))


def read(archive: Archive, found: Path) -> Source:
    """Return the data set in a folder or `.tar.gz`; raises `DataError` where a file of it is missing or altered."""
    files = _packed(found) if found.is_file() else _unpacked(found)
    wanted = {**archive.train, **archive.test, **archive.meta}
    held: dict[str, dict[str, Any]] = {}
    fix = f"Remove {found} and fetch it again from {archive.url}, or use data=shapes."
    try:
        for name, octets in files(set(wanted)):
            if hashlib.md5(octets, usedforsecurity=False).hexdigest() != wanted[name]:
                raise DataError(f"{found}: {name} is not the file of {archive.title}: its MD5 differs. {fix}")
            held[name] = unpickle(octets)
    except (OSError, EOFError, tarfile.TarError, pickle.UnpicklingError) as error:
        raise DataError(f"{found}: cannot be read: {error}. {fix}") from error
    missing = sorted(set(wanted) - set(held))
    if missing:
        raise DataError(f"{found}: lacks {', '.join(missing)}. {fix}")
    train, test = ([held[name] for name in names] for names in (archive.train, archive.test))
    (meta,) = (held[name] for name in archive.meta)
    classes = tuple(str(name) for name in meta[archive.classes_key])
    return source_of(archive.title, classes, _images(train, archive.labels_key), _images(test, archive.labels_key))


def unpickle(octets: bytes) -> dict[str, Any]:
    """Return a pickled mapping of arrays and text; raises `UnpicklingError` at anything else, before it can act."""
    return _ArraysOnly(io.BytesIO(octets), encoding="latin1").load()


class _ArraysOnly(pickle.Unpickler):
    """An unpickler that can make numpy's arrays, and nothing that runs code."""

    def find_class(self, module_name: str, global_name: str) -> Any:
        """Return one of the four names that arrays are pickled with."""
        match module_name.replace("numpy._core", "numpy.core"), global_name:
            case "numpy.core.multiarray", "_reconstruct":
                return np.zeros(0).__reduce__()[0]  # its module's name differs between releases of numpy
            case "numpy", "ndarray":
                return np.ndarray
            case "numpy", "dtype":
                return np.dtype
            case "_codecs", "encode":
                return codecs.encode
        raise pickle.UnpicklingError(f"it asks for {module_name}.{global_name}, which no image needs")


def _find(archive: Archive, settings: DataSettings, tried: list[str]) -> Path | None:
    """Return the folder or file of the data set, and note every place where it is not in `tried`."""
    if settings.root is None:
        roots = [Path("data"), Path(settings.cache)]
    else:
        root = Path(settings.root).expanduser()
        if (root / next(iter(archive.train))).is_file() or (root.is_file() and root.name == archive.packed):
            return root
        roots = [root, Path(settings.cache)]
    for root in roots:
        for place in (root / archive.folder, root / archive.packed):
            if place.exists():
                return place
            tried.append(str(place))
    return None


Files = Callable[[set[str]], Iterator[tuple[str, bytes]]]


def _unpacked(folder: Path) -> Files:
    def files(names: set[str]) -> Iterator[tuple[str, bytes]]:
        for name in sorted(names):
            if (folder / name).is_file():
                yield name, (folder / name).read_bytes()

    return files


def _packed(file: Path) -> Files:
    def files(names: set[str]) -> Iterator[tuple[str, bytes]]:
        with tarfile.open(file, "r|gz") as packed:
            for member in packed:
                name = Path(member.name).name
                content = packed.extractfile(member) if name in names else None
                if content is not None:
                    yield name, content.read()

    return files


def _images(batches: list[dict[str, Any]], labels_key: str) -> Images:
    """Return the images of batches that hold `data`, uint8 [N, 3 * 32 * 32], colour by colour and row by row."""
    rows = np.concatenate([batch["data"] for batch in batches])
    labels = np.concatenate([np.asarray(batch[labels_key], np.int64) for batch in batches])
    return Images(images_BHWC=np.ascontiguousarray(rows.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)), labels_B=labels)
