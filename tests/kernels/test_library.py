"""How the kernels are built, kept and found again, and the errors where that fails."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from archsearch.errors import RunError
from archsearch.kernels import Kernels, cache, library
from archsearch.kernels.library import KernelCall, calls_into, laid_out, load_kernels


@pytest.fixture(autouse=True)
def threads() -> int:
    """Nothing here depends on their number."""
    return torch.get_num_threads()


@pytest.fixture
def fresh(monkeypatch, tmp_path) -> Iterator[Path]:
    """An empty cache folder, and nothing loaded yet; a compiler that does not optimise takes a tenth of the time."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(library, "_FLAGS", tuple("-O0" if flag == "-O3" else flag for flag in library._FLAGS))
    load_kernels.cache_clear()
    yield tmp_path / "cache" / "archsearch"
    load_kernels.cache_clear()


def test_they_are_built_once(kernels: Kernels, fresh, monkeypatch) -> None:
    loaded = load_kernels()
    [built] = fresh.iterdir()
    assert built.suffix == ".so"
    assert loaded.of(8) is loaded.of(24)
    assert len(list(fresh.iterdir())) == {8: 1, 16: 2}[loaded.lanes]
    load_kernels.cache_clear()
    monkeypatch.setattr(library, "_compile", lambda *_: pytest.fail("built again"))
    load_kernels().of(8)


def test_numbers_of_channels_have_the_widest_kernels_that_take_them(kernels: Kernels) -> None:
    eight, twelve, widest = kernels.of(8, 16), kernels.of(16, 12), kernels.of(32, 48)
    assert eight is not None
    assert eight.lanes == 8
    assert twelve is None
    assert widest is kernels
    if kernels.lanes == 8:
        assert kernels.narrower is None
    else:
        assert kernels.lanes == 16
        assert eight is kernels.narrower


def test_without_a_compiler_there_is_an_error(fresh, monkeypatch) -> None:
    monkeypatch.setattr(library.shutil, "which", lambda name: None)
    with pytest.raises(RunError, match="no C compiler was found"):
        load_kernels()


def test_elsewhere_than_on_linux_there_is_an_error(fresh, monkeypatch) -> None:
    monkeypatch.setattr(library.sys, "platform", "darwin")
    with pytest.raises(RunError, match="are for Linux"):
        load_kernels()


def test_a_compiler_that_fails_is_quoted(fresh, monkeypatch, tmp_path) -> None:
    broken = tmp_path / "cc"
    broken.write_text("#!/bin/sh\necho 'error: out of order' >&2\nexit 3\n")
    broken.chmod(0o755)
    monkeypatch.setenv("CC", str(broken))
    with pytest.raises(RunError, match="failed on the kernels: error: out of order"):
        load_kernels()


def test_a_damaged_library_is_an_error(kernels: Kernels, fresh, monkeypatch) -> None:
    def write_rubbish(compiler: str, work: Path, *more: str) -> Path:
        (work / "kernels.so").write_bytes(b"no library")
        return work / "kernels.so"

    monkeypatch.setattr(library, "_compile", write_rubbish)
    with pytest.raises(RunError, match="could not be loaded"):
        load_kernels()


def test_where_the_cache_cannot_be_written_a_folder_of_the_user_alone_serves(
    kernels: Kernels, fresh, monkeypatch, tmp_path
) -> None:
    fresh.parent.parent.joinpath("cache").write_text("a file is in the way")
    monkeypatch.setattr(cache.tempfile, "tempdir", str(tmp_path))
    load_kernels()
    [folder] = tmp_path.glob("archsearch-*")
    assert folder.stat().st_mode & 0o077 == 0
    assert folder.stat().st_uid == os.getuid()


def test_a_function_without_memory_raises(kernels: Kernels) -> None:
    class Broke:
        def __getattr__(self, name: str):
            return lambda *_: 1

    poor = Kernels.__new__(Kernels)
    poor._library = Broke()  # type: ignore[assignment]
    with pytest.raises(MemoryError, match="the kernel scale_act"):
        poor("scale_act", torch.zeros(1))


def test_a_map_is_laid_out_channels_last_without_a_copy_where_it_is_so() -> None:
    images = torch.zeros(2, 8, 4, 4)
    assert laid_out(images).is_contiguous(memory_format=torch.channels_last)
    there = images.contiguous(memory_format=torch.channels_last)
    assert laid_out(there) is there


def test_calls_are_passed_on_and_can_be_made_again_also_where_their_maps_have_moved(kernels: Kernels) -> None:
    one, other, total = (torch.full((64,), float(value)) for value in (1, 2, 0))
    calls: list[KernelCall] = []
    with calls_into(calls.append):
        kernels("add_maps", one, other, total, 64)
    kernels("add_maps", one, other, total, 64)  # nobody takes this one
    (call,) = calls
    assert [each.data_ptr() for each in call.tensors()] == [one.data_ptr(), other.data_ptr(), total.data_ptr()]
    one.fill_(5)
    call()
    assert total.eq(7).all()
    before, elsewhere = total.clone(), torch.zeros(64)
    total.set_(elsewhere.untyped_storage(), 0, total.size(), total.stride())
    call.moved()
    other.fill_(0)
    call()
    assert elsewhere.eq(5).all()
    assert before.eq(7).all()
