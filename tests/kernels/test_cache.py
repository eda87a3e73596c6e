"""Compiled libraries that somebody else may have written: never loaded, built in another place instead."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from archsearch import notices
from archsearch.kernels import cache
from archsearch.kernels.cache import load_library

as_root = pytest.mark.skipif(os.getuid() != 0, reason="gives files to another user, which root alone can")
NOBODY = 65534


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The cache folder in `home`, the temporary one in `tmp`, both of this user alone."""
    (tmp_path / "home").mkdir(mode=0o700)
    (tmp_path / "tmp").mkdir(mode=0o700)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(cache.tempfile, "tempdir", str(tmp_path / "tmp"))
    notices.notice_once.cache_clear()
    yield
    notices.notice_once.cache_clear()


class Builds:
    """Builds a library whose function `answer` returns 1, and counts how often."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, work: Path) -> Path:
        self.count += 1
        return compiled(work, 1)


def compiled(work: Path, answer: int) -> Path:
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler here")
    (work / "x.c").write_text(f"int answer(void) {{ return {answer}; }}")
    subprocess.run([compiler, "-shared", "-fPIC", str(work / "x.c"), "-o", str(work / "x.so")], check=True)
    return work / "x.so"


@pytest.fixture
def build() -> Builds:
    return Builds()


def kept(folder: str = "home/archsearch") -> list[Path]:
    return sorted(Path(folder).glob("x-*.so"))


def planted(folder: Path) -> Path:
    """Put a library whose `answer` is 2 where one of this name would be kept, with the right hash in its name."""
    folder.mkdir(exist_ok=True, mode=0o700)
    foreign = compiled(folder, 2)
    return foreign.rename(folder / cache._name("x", foreign.read_bytes()))


def test_a_library_is_built_once_and_kept_for_this_user_alone(
    build: Builds, capsys: pytest.CaptureFixture[str]
) -> None:
    old = os.umask(0o002)  # of systems where each user has a group
    try:
        shutil.rmtree("home")
        assert load_library("x", build).answer() == 1
    finally:
        os.umask(old)
    assert load_library("x", build).answer() == 1
    assert build.count == 1
    [file] = kept()
    assert file.stat().st_mode & 0o777 == 0o600
    assert [one.stat().st_mode & 0o777 for one in (Path("home"), Path("home/archsearch"))] == [0o700, 0o700]
    assert capsys.readouterr().err == ""


def test_a_kept_library_of_this_user_is_loaded(build: Builds) -> None:
    """What the other tests plant would be loaded, were it not for who owns it or may write it."""
    planted(Path("home/archsearch"))
    assert load_library("x", build).answer() == 2
    assert build.count == 0


def test_a_folder_that_others_could_write_is_made_private(build: Builds) -> None:
    Path("home/archsearch").mkdir()
    Path("home/archsearch").chmod(0o777)
    assert load_library("x", build).answer() == 1
    assert Path("home/archsearch").stat().st_mode & 0o777 == 0o700
    assert len(kept()) == 1


def test_a_file_that_others_can_write_is_built_anew(build: Builds) -> None:
    for mode in (0o620, 0o602):
        planted(Path("home/archsearch")).chmod(mode)
        assert load_library("x", build).answer() == 1
        [file] = kept()
        file.unlink()


def test_a_library_whose_bits_have_changed_is_built_anew(build: Builds) -> None:
    load_library("x", build)
    [file] = kept()
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.unlink()  # a process that has the file loaded must not see it change
    file.write_bytes(content)
    file.chmod(0o600)
    assert load_library("x", build).answer() == 1
    assert build.count == 2
    assert cache._name("x", kept()[0].read_bytes()) == kept()[0].name


def test_a_link_is_not_followed(build: Builds, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    planted(elsewhere)
    elsewhere.chmod(0o755)
    Path("home/archsearch").symlink_to(elsewhere)
    assert load_library("x", build).answer() == 1
    assert elsewhere.stat().st_mode & 0o777 == 0o755
    Path("home/archsearch").unlink()
    Path("home/archsearch").mkdir(mode=0o700)
    [foreign] = kept("elsewhere")
    Path("home/archsearch", foreign.name).symlink_to(foreign.resolve())
    assert load_library("x", build).answer() == 1
    assert foreign.exists()


@pytest.mark.parametrize("mode", [0o770, 0o707])
def test_a_folder_below_one_that_others_can_write_is_not_used(mode: int, build: Builds) -> None:
    planted(Path("home/archsearch"))
    Path("home").chmod(mode)
    assert load_library("x", build).answer() == 1
    assert len(kept(f"tmp/archsearch-{os.getuid()}")) == 1
    Path("home").chmod(0o1770)  # sticky: others cannot rename what is not theirs
    assert load_library("x", build).answer() == 2


def test_of_another_users_folders_nothing_is_loaded_and_one_notice_says_so(
    build: Builds, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    planted(Path("home/archsearch"))
    monkeypatch.setattr(cache.os, "getuid", lambda: 12345)
    planted(Path("tmp/archsearch-12345"))
    for _ in range(2):
        assert load_library("x", build).answer() == 1
    notice = capsys.readouterr().err
    assert notice.count("notice: ") == 1
    assert "home/archsearch is not a folder of this user" in notice
    assert "tmp/archsearch-12345 is not a folder of this user" in notice
    assert "Set XDG_CACHE_HOME" in notice
    assert not list(Path("tmp").glob("archsearch-[a-z]*"))  # the private folder is removed


@as_root
@pytest.mark.parametrize("what", ["folder", "file", "above"])
def test_what_another_user_owns_is_not_loaded(what: str, build: Builds) -> None:
    file = planted(Path("home/archsearch"))
    os.chown({"folder": file.parent, "file": file, "above": file.parent.parent}[what], NOBODY, NOBODY)
    assert load_library("x", build).answer() == 1


def test_without_a_home_the_temporary_folder_serves(build: Builds, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", no_home)
    assert load_library("x", build).answer() == 1
    assert len(kept(f"tmp/archsearch-{os.getuid()}")) == 1
