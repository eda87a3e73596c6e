"""The generators of the reference are scripts beside each other, and so is the reader of the pages' commands."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[2] / "docs" / "tools"), str(Path(__file__).parent)]
