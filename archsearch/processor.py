"""The processor's name for results and benchmarks; imports the standard library only."""

from __future__ import annotations

import contextlib
import platform
from pathlib import Path

INFO = Path("/proc/cpuinfo")


def processor_name() -> str:
    """Return the model from Linux's cpuinfo, otherwise the name in Python's `platform`, at worst the architecture."""
    with contextlib.suppress(OSError), INFO.open(encoding="utf-8") as lines:
        for line in lines:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine() or "CPU"
