"""The collector of cycles in a process that searches for days; imports the standard library only."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def settling() -> Iterator[Callable[[], None]]:
    """Give a function whose first call, within the block, takes all that is there out of the collector's sight.

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

    try:
        yield settle
    finally:
        if settled:
            gc.unfreeze()
