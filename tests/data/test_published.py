"""Published data sets: found, checked and decoded by torchvision, and damaged or foreign files refused."""

from __future__ import annotations

import importlib
import os
import pickle
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from archsearch.data import load_dataset, published
from archsearch.data.dataset import Source
from archsearch.data.published import NotFound, load
from archsearch.errors import DataError, StorageError
from archsearch.settings.data import DataSettings
from archsearch.settings.datasets import PUBLISHED

Publish = Callable[..., Path]
CIFAR_FOLDER, CIFAR_ARCHIVE = "cifar-10-batches-py", "cifar-10-python.tar.gz"


def settings(tmp_path: Path, **changes: Any) -> DataSettings:
    values = {"name": "cifar10", "cache": str(tmp_path / "cache"), "download": False, "validation": 0.2}
    return DataSettings(**{**values, **changes})


def read(name: str, tmp_path: Path, root: Path | None, **changes: Any) -> Source:
    return load(name, settings(tmp_path, name=name, root=None if root is None else str(root), **changes))


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_table_says_what_torchvision_says(name: str) -> None:
    known = PUBLISHED[name]
    reader: Any = getattr(importlib.import_module("torchvision.datasets"), known.reader)
    checksums = published._checksums(known)
    assert set(known.published) <= set(checksums)
    assert all(len(md5) == 32 for md5 in checksums.values())
    urls = [set(published._urls(known.mirrors, path)) for path in known.published]
    if hasattr(reader, "split_list"):
        assert urls == [{reader.split_list[split][0]} for split in ("train", "test")]
    elif hasattr(reader, "url"):
        assert urls == [{reader.url}]
    else:
        assert urls == [{f"{mirror}{file}" for mirror in reader.mirrors} for file, _ in reader.resources]
    if hasattr(reader, "base_folder"):
        assert known.folder == reader.base_folder
        assert {f"{known.folder}/{file}" for file, _ in (*reader.train_list, *reader.test_list)} <= set(known.files)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", PUBLISHED)
def test_each_is_read_packed_and_unpacked(name: str, packed: bool, publish: Publish, tmp_path: Path) -> None:
    known = PUBLISHED[name]
    source = read(name, tmp_path, publish(name, tmp_path / "there", packed=packed))
    cifar = name.startswith("cifar")
    assert source.name == known.title
    assert source.train.images_BHWC.shape == (15 if cifar else 12, known.image_size, known.image_size, known.channels)
    assert source.test.images_BHWC.shape[1:] == source.train.images_BHWC.shape[1:]
    assert source.test.labels_B.tolist() == [0, 1, 2] * 2
    assert len(source.classes) == (3 if cifar else known.classes)
    assert len(source.mean) == len(source.std) == known.channels
    assert [file.name for file in (tmp_path / "cache").iterdir()] == [f"{name}.images"], "what was unpacked is removed"


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("cifar10", np.random.default_rng(1).integers(0, 256, (9, 3, 32, 32), np.uint8)[0].transpose(1, 2, 0)),
        ("mnist", np.random.default_rng(12).integers(0, 256, (12, 28, 28), np.uint8)[0, :, :, None]),
        ("svhn", np.random.default_rng(12).integers(0, 256, (32, 32, 3, 12), np.uint8)[..., 0]),
        ("stl10", np.random.default_rng(12).integers(0, 256, (12, 3, 96, 96), np.uint8)[0].transpose(2, 1, 0)),
    ],
)
def test_the_pixels_are_the_published_ones(name: str, first: np.ndarray, publish: Publish, tmp_path: Path) -> None:
    source = read(name, tmp_path, publish(name, tmp_path / "there", packed=False))
    assert (source.train.images_BHWC[0] == first).all()


def test_class_names_are_those_of_the_set(publish: Publish, tmp_path: Path) -> None:
    names = {name: read(name, tmp_path, publish(name, tmp_path / name, packed=False)).classes for name in PUBLISHED}
    assert names["cifar10"] == ("airplane", "automobile", "bird")
    assert names["fashion_mnist"][-1] == "Ankle boot"
    assert names["emnist_letters"] == tuple("abcdefghijklmnopqrstuvwxyz")
    assert names["svhn"] == names["usps"] == tuple("0123456789")
    assert names["stl10"][1] == "class 1"


def test_the_fingerprint_of_cifar_does_not_change(publish: Publish, tmp_path: Path) -> None:
    root = str(publish("cifar10", tmp_path / "there", packed=True))
    dataset = load_dataset(settings(tmp_path, root=root))
    assert dataset.fingerprint == "be3440914a8d2273", "studies of the images of before go on"
    assert dataset.mean == (0.5021857128267974, 0.5003033088235294, 0.49983940972222224)


@pytest.mark.parametrize("place", ["there", f"there/{CIFAR_FOLDER}", "renamed"])
def test_a_folder_is_found_wherever_the_root_points(publish: Publish, tmp_path: Path, place: str) -> None:
    publish("cifar10", tmp_path / "there", packed=False)
    (tmp_path / "renamed").symlink_to(tmp_path / "there" / CIFAR_FOLDER)
    assert len(read("cifar10", tmp_path, tmp_path / place).train) == 15


@pytest.mark.parametrize("place", ["there", f"there/{CIFAR_ARCHIVE}"])
def test_an_archive_is_found_wherever_the_root_points(publish: Publish, tmp_path: Path, place: str) -> None:
    publish("cifar10", tmp_path / "there", packed=True)
    assert len(read("cifar10", tmp_path, tmp_path / place).train) == 15


def test_files_without_checksums_are_read_from_the_archives_beside_them(publish: Publish, tmp_path: Path) -> None:
    root = publish("mnist", tmp_path / "there", packed=True)
    (root / "MNIST" / "raw" / "train-images-idx3-ubyte").write_bytes(b"damaged")
    assert len(read("mnist", tmp_path, root).train) == 12


def test_several_archives_may_lie_in_one_folder(publish: Publish, tmp_path: Path) -> None:
    root = publish("mnist", tmp_path / "there", packed=True)
    assert len(read("mnist", tmp_path, root / "MNIST" / "raw").train) == 12


@pytest.mark.parametrize("place", ["data", "cache"])
def test_it_is_looked_for_in_data_and_in_the_cache(publish: Publish, tmp_path: Path, place: str) -> None:
    publish("cifar10", tmp_path / place, packed=True)
    assert len(read("cifar10", tmp_path, None).train) == 15
    assert len(read("cifar10", tmp_path, tmp_path / "absent" if place == "cache" else None).train) == 15


def test_it_is_decoded_once_and_torchvision_loaded_for_that_alone(
    publish: Publish, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = publish("cifar10", tmp_path / "there", packed=True)
    first = read("cifar10", tmp_path, root)
    monkeypatch.setattr(published, "_reader", lambda known: pytest.fail("it was read again"))
    assert read("cifar10", tmp_path, root).digest == first.digest


def test_where_it_is_missing_the_error_lists_what_was_tried_and_the_ways_out(tmp_path: Path) -> None:
    absent = tmp_path / "absent"
    with pytest.raises(NotFound) as caught:
        read("cifar10", tmp_path, absent)
    message = str(caught.value)
    assert message.splitlines()[0] == "data=cifar10: CIFAR-10 was not found. Tried:"
    for place in (absent / CIFAR_FOLDER, absent / CIFAR_ARCHIVE, tmp_path / "cache" / CIFAR_FOLDER):
        assert f"  {place}\n" in message
    assert "  https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz (not tried: data.download=false)\n" in message
    ways = message.partition("Fixes:")[2]
    assert f"put {CIFAR_FOLDER}/ or {CIFAR_ARCHIVE} below data/, or set data.root to its folder" in ways
    for way in ("data=folder", "data=shapes"):
        assert way in ways
    assert str(pickle.loads(pickle.dumps(caught.value))) == message


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("mnist", "put MNIST/raw/ with train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz, "),
        ("emnist_letters", "put EMNIST/raw/ with gzip.zip below data/"),
        ("svhn", "put train_32x32.mat and test_32x32.mat below data/"),
    ],
)
def test_the_ways_out_name_the_files_of_the_set(name: str, wanted: str, tmp_path: Path) -> None:
    with pytest.raises(NotFound) as caught:
        read(name, tmp_path, None)
    assert wanted in str(caught.value)


class _Attack:
    """Leaves a file behind when it is unpickled."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, ("touch attacked",)


def test_an_altered_pickle_is_refused_before_it_is_opened(publish: Publish, tmp_path: Path) -> None:
    root = publish("cifar10", tmp_path / "there", packed=False)
    for name in ("data_batch_2", "batches.meta"):
        whole = (root / CIFAR_FOLDER / name).read_bytes()
        (root / CIFAR_FOLDER / name).write_bytes(pickle.dumps({"data": _Attack()}))
        with pytest.raises(
            DataError, match=rf"{CIFAR_FOLDER}: {name} is not the published file of CIFAR-10: its MD5 checksum differs"
        ):
            read("cifar10", tmp_path, root)
        assert not Path("attacked").exists()
        (root / CIFAR_FOLDER / name).write_bytes(whole)


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("cifar10", CIFAR_ARCHIVE),
        ("mnist", "MNIST/raw/t10k-labels-idx1-ubyte.gz"),
        ("svhn", "test_32x32.mat"),
        ("stl10", "stl10_binary.tar.gz"),
        ("usps", "usps.bz2"),
        ("emnist_letters", "EMNIST/raw/gzip.zip"),
    ],
)
def test_a_damaged_archive_is_refused(name: str, file: str, publish: Publish, tmp_path: Path) -> None:
    root = publish(name, tmp_path / "there", packed=True)
    (root / file).write_bytes((root / file).read_bytes()[:-10])
    with pytest.raises(DataError) as caught:
        read(name, tmp_path, root)
    title = PUBLISHED[name].title
    what = f"{Path(file).name} is not the published file of {title}: its MD5 checksum differs. Remove {root}"
    assert what in str(caught.value)
    assert not list((tmp_path / "cache").glob("*.images"))


def test_unpacked_files_without_a_published_checksum_are_refused_where_they_cannot_be_read(
    publish: Publish, tmp_path: Path
) -> None:
    root = publish("mnist", tmp_path / "there", packed=False)
    for archive in (root / "MNIST" / "raw").glob("*.gz"):
        archive.unlink()
    images = root / "MNIST" / "raw" / "train-images-idx3-ubyte"
    images.write_bytes(images.read_bytes()[:-10])
    with pytest.raises(DataError, match=r"MNIST/raw: cannot be read: .*Remove .*MNIST/raw and download it again from"):
        read("mnist", tmp_path, root)


@pytest.mark.parametrize(
    ("name", "file", "packed"),
    [
        ("cifar10", f"{CIFAR_FOLDER}/test_batch", False),
        ("mnist", "MNIST/raw/t10k-images-idx3-ubyte.gz", True),
        ("svhn", "test_32x32.mat", True),
    ],
)
def test_a_missing_file_is_named(name: str, file: str, packed: bool, publish: Publish, tmp_path: Path) -> None:
    root = publish(name, tmp_path / "there", packed=packed)
    (root / file).unlink()
    with pytest.raises(DataError, match=rf"there/.*: missing {Path(file).name}\. Remove .*/there/"):
        read(name, tmp_path, root)


def test_a_full_disk_is_no_damaged_archive(publish: Publish, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    root = publish("cifar10", tmp_path / "there", packed=True)
    monkeypatch.setattr(published, "_reader", lambda known: full)
    monkeypatch.setattr(published, "_checksums", lambda known: {})
    with pytest.raises(StorageError, match=r"the disk is full\. Free some space, or .*data\.cache=DIR"):
        read("cifar10", tmp_path, root)


def test_what_a_killed_reader_left_is_removed_once_it_is_old(publish: Publish, tmp_path: Path) -> None:
    left = tmp_path / "cache" / ".cifar10.images.aaaa.part"
    (left / CIFAR_FOLDER).mkdir(parents=True)
    os.utime(left, (time.time() - 7200, time.time() - 7200))
    read("cifar10", tmp_path, publish("cifar10", tmp_path / "there", packed=True))
    assert not left.exists()


def test_a_torchvision_that_does_not_fit_torch_is_named(
    publish: Publish, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(name: str) -> None:
        raise RuntimeError("operator torchvision::nms does not exist")

    root = publish("cifar10", tmp_path / "there", packed=True)
    monkeypatch.setattr(published.importlib, "import_module", fail)
    with pytest.raises(DataError, match=r"torchvision, which reads CIFAR-10, cannot be imported .*pip install torch t"):
        read("cifar10", tmp_path, root)


@pytest.mark.cifar10_batches
def test_the_published_files_are_read(tmp_path: Path) -> None:
    found = DataSettings(name="cifar10", root=os.environ["ARCHSEARCH_CIFAR10_BATCHES"], cache=str(tmp_path))
    data = load_dataset(found)
    assert (data.name, len(data.train), len(data.validation), len(data.test)) == ("CIFAR-10", 45_000, 5_000, 10_000)
    assert data.classes[:2] == ("airplane", "automobile")
    assert data.mean == pytest.approx((0.4914, 0.4822, 0.4465), abs=1e-4)
