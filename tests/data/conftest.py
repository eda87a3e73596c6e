"""Small image folders, and small archives in the forms of the published data sets, written afresh for each test."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import importlib
import pickle
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from archsearch.settings.data import DataSettings
from archsearch.settings.datasets import PUBLISHED

CIFAR_CLASSES = ("airplane", "automobile", "bird")
Publish = Callable[..., Path]


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder of two classes, 8x8 px, with 5 training and 2 test images a class."""
    root = tmp_path / "pets"
    shade = np.random.default_rng(0)
    for split, count in (("train", 5), ("test", 2)):
        for name in ("cat", "dog"):
            folder = root / split / name
            folder.mkdir(parents=True)
            for index in range(count):
                Image.fromarray(shade.integers(0, 256, (8, 8, 3), np.uint8)).save(folder / f"{index}.png")
    return root


@pytest.fixture
def settings_of(tmp_path: Path) -> Callable[..., DataSettings]:
    """A function that makes settings for a folder of 8x8 px; its keywords override."""

    def make(root: Path, **changes: object) -> DataSettings:
        values: dict[str, object] = {
            "name": "folder",
            "root": str(root),
            "cache": str(tmp_path / "cache"),
            "image_size": 8,
            "validation": 0.2,
        }
        return DataSettings(**{**values, **changes})  # type: ignore[arg-type]

    return make


def pixels(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def cifar_batch(rows: np.ndarray, key: str = "labels") -> bytes:
    return pickle.dumps({"data": rows, key: [index % 3 for index in range(len(rows))]}, protocol=2)


def _cifar10() -> dict[str, bytes]:
    rows = np.concatenate([pixels(1, 9, 3072), pixels(2, 6, 3072)])
    batches = {f"data_batch_{number}": cifar_batch(rows[3 * number - 3 : 3 * number]) for number in range(1, 6)}
    meta = pickle.dumps({"label_names": list(CIFAR_CLASSES), "num_vis": 3072})
    return {**batches, "test_batch": cifar_batch(pixels(3, 6, 3072)), "batches.meta": meta}


def _cifar100() -> dict[str, bytes]:
    train, test = (cifar_batch(pixels(seed, count, 3072), "fine_labels") for seed, count in ((1, 15), (2, 6)))
    return {"train": train, "test": test, "meta": pickle.dumps({"fine_label_names": list(CIFAR_CLASSES)})}


def idx(array: np.ndarray) -> bytes:
    """Return `array` in the format of MNIST: a magic number, the extents, the bytes."""
    return b"".join([bytes([0, 0, 8, array.ndim]), *(extent.to_bytes(4, "big") for extent in array.shape)]) + (
        array.tobytes()
    )


def _idx(train: str, test: str, first: int = 0) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    for prefix, count in ((train, 12), (test, 6)):
        files[f"{prefix}-images-idx3-ubyte"] = idx(pixels(count, count, 28, 28))
        files[f"{prefix}-labels-idx1-ubyte"] = idx((np.arange(count, dtype=np.uint8) % 3) + np.uint8(first))
    return files


def _svhn(folder: Path) -> dict[str, bytes]:
    savemat = importlib.import_module("scipy.io").savemat
    files: dict[str, bytes] = {}
    for split, count in (("train", 12), ("test", 6)):
        labels = np.where(np.arange(count) % 3 == 0, 10, np.arange(count) % 3).astype(np.uint8)
        savemat(folder / "made.mat", {"X": pixels(count, 32, 32, 3, count), "y": labels[:, None]})
        files[f"{split}_32x32.mat"] = (folder / "made.mat").read_bytes()
    (folder / "made.mat").unlink()
    return files


def _stl10() -> dict[str, bytes]:
    files = {"unlabeled_X.bin": b"", "class_names.txt": "\n".join(f"class {label}" for label in range(10)).encode()}
    for split, count in (("train", 12), ("test", 6)):
        files[f"{split}_X.bin"] = pixels(count, count, 3, 96, 96).tobytes()
        files[f"{split}_y.bin"] = (np.arange(count, dtype=np.uint8) % 3 + 1).tobytes()
    return files


def _usps() -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    for name, count in (("usps.bz2", 12), ("usps.t.bz2", 6)):
        values = pixels(count, count, 256) / 127.5 - 1
        lines = [
            " ".join([str(index % 3 + 1), *(f"{i + 1}:{value:.6f}" for i, value in enumerate(row))])
            for index, row in enumerate(values)
        ]
        files[name] = bz2.compress(("\n".join(lines) + "\n").encode())
    return files


def _files(name: str, folder: Path) -> Mapping[str, bytes]:
    match name:
        case "cifar10":
            return _cifar10()
        case "cifar100":
            return _cifar100()
        case "svhn":
            return _svhn(folder)
        case "stl10":
            return _stl10()
        case "usps":
            return _usps()
        case _ if name.startswith("emnist"):
            split = name.partition("_")[2]
            return _idx(f"emnist-{split}-train", f"emnist-{split}-test", first=PUBLISHED[name].first_label)
        case _:
            return _idx("train", "t10k")


@pytest.fixture
def publish(monkeypatch: pytest.MonkeyPatch) -> Publish:
    """Return a function that writes a small data set, as published or unpacked, and has torchvision know its MD5s."""

    def make(name: str, root: Path, *, packed: bool) -> Path:
        known = PUBLISHED[name]
        root.mkdir(parents=True, exist_ok=True)
        files = _files(name, root)
        place = root / known.folder
        place.mkdir(parents=True, exist_ok=True)
        for file, octets in files.items():
            (place / file).write_bytes(octets)
        if packed or not known.archives:
            _pack(known.archives, root, place, list(files))
        _patch(name, root, monkeypatch)
        if packed and known.archives:
            for file in files:
                (place / file).unlink()
        return root

    return make


def _pack(archives: tuple[str, ...], root: Path, place: Path, files: list[str]) -> None:
    for archive in archives:
        match archive.rpartition(".")[2], archive.endswith(".tar.gz"):
            case _, True:
                with tarfile.open(root / archive, "w:gz") as tar:
                    tar.add(place, place.name)
            case "zip", _:
                with zipfile.ZipFile(root / archive, "w") as zipped:
                    for file in files:
                        zipped.writestr(f"gzip/{file}.gz", gzip.compress((place / file).read_bytes()))
            case _:
                unpacked = root / archive.removesuffix(".gz")
                (root / archive).write_bytes(gzip.compress(unpacked.read_bytes()))


def md5(file: Path) -> str:
    return hashlib.md5(file.read_bytes(), usedforsecurity=False).hexdigest() if file.is_file() else "0" * 32


def _patch(name: str, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace the MD5s that the class of torchvision holds by those of the files below `root`."""
    known = PUBLISHED[name]
    reader: Any = getattr(importlib.import_module("torchvision.datasets"), known.reader)
    place = root / known.folder
    if hasattr(reader, "tgz_md5"):
        monkeypatch.setattr(reader, "tgz_md5", md5(root / known.archives[0]))
        for listed in ("train_list", "test_list"):
            monkeypatch.setattr(reader, listed, [[file, md5(place / file)] for file, _ in getattr(reader, listed)])
        if hasattr(reader, "meta"):
            monkeypatch.setattr(reader, "meta", {**reader.meta, "md5": md5(place / reader.meta["filename"])})
    elif hasattr(reader, "split_list"):
        sums = {split: [url, file, md5(root / file)] for split, (url, file, _) in reader.split_list.items()}
        monkeypatch.setattr(reader, "split_list", sums)
    elif hasattr(reader, "md5"):
        monkeypatch.setattr(reader, "md5", md5(root / known.archives[0]))
    else:
        monkeypatch.setattr(reader, "resources", [(file, md5(place / file)) for file, _ in reader.resources])
