"""A command as a process of its own: how it ends, and how it looks for garbage. Imports the standard library only."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from typing import NoReturn


def run_as_process(command: Callable[[], int], *, brief: bool = False) -> NoReturn:
    """Run `command` and end the process with the exit code that it returns.

    At its end Python walks through every object that is left, once for each of its generations: over a second where
    torch has been loaded. The memory goes back to the system anyway, so they are set aside; exit handlers run as ever.
    A `brief` command leaves no garbage that would be worth looking for meanwhile.
    """
    if brief:
        gc.disable()
    try:
        code = command()
    finally:
        gc.freeze()
    sys.exit(code)
