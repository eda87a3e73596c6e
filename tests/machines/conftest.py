"""A room of hosts for the tests here; they are skipped, with the reason, where there can be none."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from machine_room import Room, why_not


@pytest.fixture
def room() -> Iterator[Room]:
    """Give a database server and a switch; a folder of its own, since PostgreSQL does not run as root."""
    if reason := why_not():
        pytest.skip(f"machines: {reason}")
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        with Room(Path(folder, "room"), shared=True) as opened:
            yield opened
