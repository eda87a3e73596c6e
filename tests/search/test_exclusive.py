"""The lock that one process holds at a time, and that ends with it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from archsearch.errors import StorageError
from archsearch.search.storage.lock import file_lock


def test_a_section_is_held_by_one_at_a_time() -> None:
    lock, impatient = file_lock(Path("lock")), file_lock(Path("lock"), patience=0.01)
    with lock(), pytest.raises(StorageError, match="locked by another process"), impatient():
        pytest.fail("two held it")
    with impatient():
        pass


def test_a_section_ends_with_its_process() -> None:
    program = (
        "import os, signal; from pathlib import Path; from archsearch.search.storage.lock import file_lock\n"
        "with file_lock(Path('lock'))(): os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == -9
    with file_lock(Path("lock"), patience=0.01)():
        assert Path("lock").exists()
