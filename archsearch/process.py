"""A command as a process of its own: how it ends, and its garbage collection. Imports the standard library only."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from typing import NoReturn

# How often Python looks for garbage by itself, and how often while it imports: torch, Optuna and the
# like leave hundreds of thousands of objects, none of them garbage; going through them again and again was half a
# second of a run.
USUAL_THRESHOLDS = gc.get_threshold()
_RARE_THRESHOLDS = (20_000, *USUAL_THRESHOLDS[1:])


def run_as_process(command: Callable[[], int], *, brief: bool = False) -> NoReturn:
    """Run `command` and end the process with the exit code that it returns.

    At its end Python walks through every object that is left, once for each of its generations: over a second where
    torch has been loaded. The memory goes back to the system anyway, so they are set aside; exit handlers run as ever.
    Meanwhile a command looks for garbage rarely; a `brief` one leaves none that would be worth looking for.
    """
    if brief:
        gc.disable()
    else:
        gc.set_threshold(*_RARE_THRESHOLDS)
    try:
        code = command()
    finally:
        gc.freeze()
    sys.exit(code)
