"""The collector of cycles in a process that searches for days; imports no library but Python's."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Callable, Iterator

from archsearch.process import USUAL_THRESHOLDS


@contextlib.contextmanager
def settling() -> Iterator[Callable[[], None]]:
    """Give a function whose first call, within the block, takes all that is there out of the collector's sight.

    From then on it looks for garbage as often as Python does by itself, which a command does not do before.

    Python goes through old objects when a quarter of them is new. Imports leave hundreds of thousands, so the cycles
    that every transaction leaves would lie about for hundreds of trials, and each such pass would take long.
    """
    settled = False

    def settle() -> None:
        nonlocal settled
        if not settled:
            settled = True
            gc.collect()
            gc.freeze()
            gc.set_threshold(*USUAL_THRESHOLDS)

    try:
        yield settle
    finally:
        if settled:
            gc.unfreeze()
