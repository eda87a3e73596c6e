"""A command as a process: garbage collection while it runs, and its exit. Imports the standard library only."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from typing import NoReturn

# Python's own thresholds of garbage collection, and those while a command imports: torch, Optuna and the like make
# hundreds of thousands of objects, none of them garbage; collecting as often as usual took half a second of a run.
USUAL_THRESHOLDS = gc.get_threshold()
_RARE_THRESHOLDS = (20_000, *USUAL_THRESHOLDS[1:])


def run_as_process(command: Callable[[], int], *, brief: bool = False) -> NoReturn:
    """Run `command` and end the process with the exit code that it returns.

    At exit Python collects every remaining object, once per generation: over a second after torch has been loaded.
    The system frees the memory anyway, so the objects are frozen first; exit handlers run as usual.
    While the command runs, garbage is collected rarely, and not at all for a `brief` one.
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
