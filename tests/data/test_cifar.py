"""CIFAR in its authors' form: found, checked, read; and told apart from anything that pretends to be it."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import struct
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from archsearch.data import cifar
from archsearch.data.load import load_dataset
from archsearch.errors import DataError
from archsearch.settings.data import DataSettings

NAMES = ("airplane", "automobile", "bird")


class _Old(pickle._Pickler):
    """Writes text and octets as Python 2 did, which is how the published files were made."""

    dispatch: ClassVar[dict[type, Any]] = dict(pickle._Pickler.dispatch)

    write: Any

    def save_text(self, text: str | bytes) -> None:
        octets = text.encode() if isinstance(text, str) else text
        self.write(b"T" + struct.pack("<i", len(octets)) + octets)

    dispatch[str] = dispatch[bytes] = save_text


def _old_pickle(value: object) -> bytes:
    file = io.BytesIO()
    _Old(file, protocol=2).dump(value)
    return file.getvalue().replace(b"numpy._core", b"numpy.core")


def _batch(count: int, seed: int) -> dict[str, Any]:
    rows = np.random.default_rng(seed).integers(0, 256, (count, 3072), np.uint8)
    return {"data": rows, "labels": [index % 3 for index in range(count)], "batch_label": f"batch {seed}"}


@pytest.fixture
def archive(tmp_path: Path) -> cifar.Archive:
    """A small CIFAR below `tmp_path`/there: its folder, its `.tar.gz`, and what describes them."""
    files = {
        "data_batch_1": _old_pickle(_batch(9, 1)),
        "data_batch_2": _old_pickle(_batch(6, 2)),
        "test_batch": _old_pickle(_batch(6, 3)),
        "batches.meta": _old_pickle({"label_names": list(NAMES), "num_vis": 3072}),
    }
    folder = tmp_path / "there" / "small-py"
    folder.mkdir(parents=True)
    for name, octets in files.items():
        (folder / name).write_bytes(octets)
    packed = tmp_path / "there" / "small.tar.gz"
    with tarfile.open(packed, "w:gz") as file:
        file.add(folder, "small-py")
    sums = {name: hashlib.md5(octets, usedforsecurity=False).hexdigest() for name, octets in files.items()}
    return replace(
        cifar.CIFAR10,
        title="Small",
        folder="small-py",
        packed="small.tar.gz",
        url=packed.as_uri(),
        md5=hashlib.md5(packed.read_bytes(), usedforsecurity=False).hexdigest(),
        train={name: sums[name] for name in ("data_batch_1", "data_batch_2")},
        test={"test_batch": sums["test_batch"]},
        meta={"batches.meta": sums["batches.meta"]},
    )


def _settings(tmp_path: Path, **changes: Any) -> DataSettings:
    values = {"name": "cifar10", "cache": str(tmp_path / "cache"), "download": False, "validation": 0.2}
    return DataSettings(**{**values, **changes})


@pytest.mark.parametrize("place", ["there", "there/small-py", "there/small.tar.gz"])
def test_it_is_read_wherever_the_root_points(archive: cifar.Archive, tmp_path: Path, place: str) -> None:
    source = cifar.load(archive, _settings(tmp_path, root=str(tmp_path / place)))
    assert (source.name, source.classes) == ("Small", NAMES)
    assert (len(source.train), len(source.test)) == (15, 6)
    first = _batch(9, 1)["data"][0]
    assert source.train.images_BHWC[0, 5, 7].tolist() == [first[colour * 1024 + 5 * 32 + 7] for colour in range(3)]
    assert source.train.labels_B.tolist() == [0, 1, 2] * 5


def test_folder_and_archive_hold_the_same(archive: cifar.Archive, tmp_path: Path) -> None:
    there = tmp_path / "there"
    assert cifar.read(archive, there / "small-py").digest == cifar.read(archive, there / "small.tar.gz").digest


def test_it_is_unpacked_once(archive: cifar.Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = _settings(tmp_path, root=str(tmp_path / "there"))
    first = cifar.load(archive, settings)
    monkeypatch.setattr(cifar, "unpickle", lambda octets: pytest.fail("it was read again"))
    assert cifar.load(archive, settings).digest == first.digest


def test_it_is_looked_for_in_data(archive: cifar.Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").rename(tmp_path / "data")
    assert len(cifar.load(archive, _settings(tmp_path)).train) == 15


def test_it_is_fetched_where_it_is_missing(archive: cifar.Archive, tmp_path: Path) -> None:
    source = cifar.load(archive, _settings(tmp_path, root=str(tmp_path / "absent"), download=True))
    assert len(source.train) == 15
    assert (tmp_path / "cache" / "small.tar.gz").is_file()


def test_where_it_is_missing_the_error_lists_what_was_tried_and_the_ways_out(
    archive: cifar.Archive, tmp_path: Path
) -> None:
    (tmp_path / "there" / "small.tar.gz").unlink()
    absent = tmp_path / "absent"
    with pytest.raises(cifar.NotFound) as caught:
        cifar.load(archive, _settings(tmp_path, root=str(absent), download=True))
    message = str(caught.value)
    assert message.splitlines()[0] == "data=cifar10: Small was not found. Tried:"
    for place in (absent / "small-py", absent / "small.tar.gz", tmp_path / "cache" / "small-py"):
        assert f"  {place}\n" in message
    assert f"  {archive.url} (" in message
    assert "No such file" in message
    for way in ("data.root=DIR", "data=folder", "data=shapes"):
        assert way in message.partition("Ways out:")[2]
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == message
    with pytest.raises(cifar.NotFound, match=r"not tried: data\.download=false"):
        cifar.load(archive, _settings(tmp_path, root=str(absent)))


def test_an_altered_file_is_refused_before_it_is_opened(archive: cifar.Archive, tmp_path: Path) -> None:
    altered = tmp_path / "there" / "small-py" / "data_batch_2"
    altered.write_bytes(_old_pickle(_batch(6, 9)))
    with pytest.raises(DataError, match="data_batch_2 is not the file of Small: its MD5 differs"):
        cifar.load(archive, _settings(tmp_path, root=str(tmp_path / "there")))


def test_a_missing_file_is_named(archive: cifar.Archive, tmp_path: Path) -> None:
    (tmp_path / "there" / "small-py" / "test_batch").unlink()
    with pytest.raises(DataError, match=r"small-py: lacks test_batch\. Remove "):
        cifar.load(archive, _settings(tmp_path, root=str(tmp_path / "there")))


def test_an_archive_that_is_cut_short_is_refused(archive: cifar.Archive, tmp_path: Path) -> None:
    packed = tmp_path / "there" / "small.tar.gz"
    packed.write_bytes(packed.read_bytes()[:20_000])
    with pytest.raises(DataError, match=r"small\.tar\.gz: cannot be read: "):
        cifar.load(archive, _settings(tmp_path, root=str(packed)))


class _Attack:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, ("exit 1",)


def test_a_pickle_that_would_run_something_is_refused() -> None:
    with pytest.raises(pickle.UnpicklingError, match=r"asks for posix\.system|asks for nt\.system"):
        cifar.unpickle(pickle.dumps({"data": _Attack()}))


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_arrays_pickled_by_any_release_are_read(protocol: int) -> None:
    rows = np.arange(12, dtype=np.uint8).reshape(3, 4)
    assert (cifar.unpickle(pickle.dumps({"data": rows}, protocol=protocol))["data"] == rows).all()


@pytest.mark.cifar10
def test_the_published_files_are_read(tmp_path: Path) -> None:
    settings = DataSettings(name="cifar10", root=os.environ["ARCHSEARCH_CIFAR10"], cache=str(tmp_path))
    data = load_dataset(settings)
    assert (data.name, len(data.train), len(data.validation), len(data.test)) == ("CIFAR-10", 45_000, 5_000, 10_000)
    assert data.classes[:2] == ("airplane", "automobile")
    assert data.mean == pytest.approx((0.4914, 0.4822, 0.4465), abs=1e-4)
