"""The name of the processor, for results and benchmarks; imports the standard library only."""

from __future__ import annotations

import contextlib
import platform
from pathlib import Path

INFO = Path("/proc/cpuinfo")


def processor_name() -> str:
    """Return the model name of /proc/cpuinfo, otherwise the processor or architecture that `platform` reports."""
    with contextlib.suppress(OSError), INFO.open(encoding="utf-8") as lines:
        for line in lines:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine() or "CPU"
