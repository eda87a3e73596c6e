"""The section that one process holds at a time, and that ends with it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from archsearch.errors import StorageError
from archsearch.search.exclusive import file_section


def test_a_section_is_held_by_one_at_a_time() -> None:
    section, impatient = file_section(Path("lock")), file_section(Path("lock"), patience=0.01)
    with section(), pytest.raises(StorageError, match="held by another process"), impatient():
        pytest.fail("two held it")
    with impatient():
        pass


def test_a_section_ends_with_its_process() -> None:
    program = (
        "import os, signal; from pathlib import Path; from archsearch.search.exclusive import file_section\n"
        "with file_section(Path('lock'))(): os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == -9
    with file_section(Path("lock"), patience=0.01)():
        assert Path("lock").exists()
