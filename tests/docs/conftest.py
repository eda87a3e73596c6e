"""Modules that the tests share: the generators of the reference, the reader of commands, the guard of words."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parents[1] / "docs" / "tools"), str(HERE), str(HERE.parent / "guards")]
