"""The cache of decoded images: whole or absent, whoever writes it and whatever happens meanwhile."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from archsearch.data import cache
from archsearch.data.dataset import Images, Source, source_of
from archsearch.errors import StorageError


def make_source(images: int = 20, *, validation: bool = False) -> Source:
    pixels = (np.arange(images * 8 * 8 * 3) % 251).astype(np.uint8).reshape(images, 8, 8, 3)
    train = Images(images_BHWC=pixels, labels_B=np.arange(images) % 2)
    test, held_out = (Images(images_BHWC=pixels[part], labels_B=train.labels_B[part]) for part in np.s_[:4, 4:7])
    return source_of("made", ("a", "b"), train, test, held_out if validation else None)


def equal(one: Source, other: Source) -> bool:
    splits = [[s.train, s.test, *([] if s.validation is None else [s.validation])] for s in (one, other)]
    arrays = zip(*splits, strict=True)
    same = all((a.images_BHWC == b.images_BHWC).all() and (a.labels_B == b.labels_B).all() for a, b in arrays)
    rest = [(s.name, s.classes, s.mean, s.std, s.digest) for s in (one, other)]
    return same and rest[0] == rest[1]


@pytest.mark.parametrize("validation", [False, True])
def test_what_is_written_is_read_again(tmp_path: Path, validation: bool) -> None:
    path = tmp_path / "deep" / "made.images"
    cache.write(path, "key", make_source(validation=validation))
    found = cache.read(path, "key")
    assert found is not None
    assert (found.validation is not None) == validation
    assert equal(found, make_source(validation=validation))
    assert found.train.labels_B.dtype == np.int64
    assert cache.read(path, "another key") is None
    assert cache.read(tmp_path / "absent.images", "key") is None


@pytest.mark.parametrize("damage", ["cut", "longer", "empty", "flipped", "header", "magic", "length"])
def test_a_damaged_file_is_built_anew(tmp_path: Path, damage: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "made.images"
    cache.write(path, "key", make_source())
    octets = bytearray(path.read_bytes())
    match damage:
        case "cut":
            octets = octets[:-100]
        case "longer":
            octets += b"x"
        case "empty":
            octets = bytearray()
        case "flipped":
            octets[-50] ^= 1
        case "header":
            octets[len(cache.MAGIC) + 9] = 0
        case "magic":
            octets[0] ^= 1
        case _:
            octets[len(cache.MAGIC) : len(cache.MAGIC) + 8] = b"\xff" * 8
    path.write_bytes(octets)
    assert cache.read(path, "key") is None
    assert capsys.readouterr().err == f"notice: {path}: the cached images are damaged; they are decoded again\n"
    built: list[int] = []

    def build() -> Source:
        built.append(1)
        return make_source()

    assert equal(cache.cached(path, "key", build), make_source())
    assert equal(cache.cached(path, "key", build), make_source())
    assert built == [1]


def test_no_flipped_bit_is_believed(tmp_path: Path) -> None:
    path = tmp_path / "made.images"
    cache.write(path, "key", make_source(2))
    whole = path.read_bytes()
    believed: list[int] = []
    for bit in range(0, 8 * len(whole), 7):  # each octet once or twice, at another bit each time
        octets = bytearray(whole)
        octets[bit // 8] ^= 1 << bit % 8
        path.write_bytes(octets)
        if cache.read(path, "key") is not None:
            believed.append(bit)
    assert believed == []


def test_a_file_of_an_earlier_version_is_built_anew_without_a_notice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "made.images"
    path.write_bytes(b"archsearch images 1\n" + b"x" * 1000)
    assert cache.read(path, "key") is None
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("mask", [0o002, 0o022, 0o077])
def test_the_file_has_the_permissions_of_any_file(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        cache.write(tmp_path / "cache" / "made.images", "key", make_source())
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "cache" / "made.images").stat().st_mode) == 0o666 & ~mask
    assert stat.S_IMODE((tmp_path / "cache").stat().st_mode) == 0o777 & ~mask


@pytest.mark.parametrize(
    ("number", "words"), [(errno.ENOSPC, "the disk is full"), (errno.EROFS, "Read-only file system")]
)
def test_a_disk_that_takes_nothing_is_an_error_of_writing_and_none_of_the_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], number: int, words: str
) -> None:
    path = tmp_path / "made.images"

    def failing(*arguments: Any) -> Any:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "replace", failing)
    with pytest.raises(StorageError) as caught:
        cache.write(path, "key", make_source())
    fix = "Free some space, or put the cache elsewhere with data.cache=DIR."
    assert str(caught.value) == f"{path}: cannot be written: {words}. {fix}"
    assert equal(cache.cached(path, "key", make_source), make_source())
    notice = f"notice: the decoded images are not cached, every run decodes them: {caught.value}\n"
    assert capsys.readouterr().err == notice
    assert list(tmp_path.iterdir()) == []


def test_a_really_full_disk_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")

    def write() -> None:
        with cache.replacing(tmp_path / "x", fix=""), Path("/dev/full").open("wb", buffering=0) as full:
            full.write(b"x")

    with pytest.raises(StorageError, match="the disk is full"):
        write()
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_folders_place_is_told(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(StorageError, match=r"cannot be written: .*data\.cache=DIR"):
        cache.write(tmp_path / "cache" / "made.images", "key", make_source())


def test_an_interrupted_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "made.images"
    cache.write(path, "key", make_source())

    def interrupted() -> None:
        with cache.replacing(path, fix="") as file:
            file.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert [entry.name for entry in tmp_path.iterdir()] == ["made.images"]
    assert cache.read(path, "key") is not None


def test_what_a_killed_writer_left_is_removed_once_it_is_old(tmp_path: Path) -> None:
    old, young = tmp_path / ".made.images.aaaa.part", tmp_path / ".made.images.bbbb.part"
    old.write_bytes(b"half")
    young.write_bytes(b"half")
    os.utime(old, (time.time() - 7200, time.time() - 7200))
    cache.write(tmp_path / "made.images", "key", make_source())
    assert not old.exists()
    assert young.exists()


BUILD = """
import sys, time
from pathlib import Path
import numpy as np
from archsearch.data.cache import cached
from archsearch.data.dataset import Images, source_of
path, own, other = map(Path, sys.argv[1:])

def build():
    own.touch()
    while not other.exists():  # so that both are building at once
        time.sleep(0.01)
    pixels = (np.arange(2000 * 8 * 8 * 3) % 251).astype(np.uint8).reshape(2000, 8, 8, 3)
    train = Images(images_BHWC=pixels, labels_B=np.arange(2000) % 2)
    return source_of("made", ("a", "b"), train, Images(images_BHWC=pixels[:4], labels_B=train.labels_B[:4]))

print(cached(path, "key", build).digest)
"""

HANG = """
import sys, time
from pathlib import Path
from archsearch.data.cache import replacing
with replacing(Path(sys.argv[1]), fix="") as file:
    file.write(b"x" * 100_000)
    file.flush()
    print("begun", flush=True)
    time.sleep(300)
"""


def start(script: str, *arguments: Path) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", script, *map(str, arguments)], stdout=subprocess.PIPE, text=True)


def test_two_processes_may_build_the_same_file_while_a_third_is_killed(tmp_path: Path) -> None:
    path, one, other = tmp_path / "cache" / "made.images", tmp_path / "one", tmp_path / "other"
    with start(HANG, path) as killed, start(BUILD, path, one, other) as first, start(BUILD, path, other, one) as second:
        assert killed.stdout is not None
        assert killed.stdout.readline() == "begun\n"
        killed.kill()
        expected = make_source(2000)
        for process in (first, second):
            assert process.communicate(timeout=120)[0].strip() == expected.digest
    found = cache.read(path, "key")
    assert found is not None
    assert equal(found, expected)
    assert len(list(path.parent.iterdir())) == 2  # the file, and what the killed one left
