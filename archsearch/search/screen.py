"""Where a search shows how it stands: a live region on a terminal, plain lines elsewhere.

Imports the standard library; rich only where the live region is made.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TextIO

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.live import Live

BAR = 32  # characters


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a search stands: of `total` trials `done`, the rest in words, and a line for every worker that trains."""

    done: int
    total: int
    text: str
    training: tuple[str, ...] = ()


class Screen(Protocol):
    """What a view writes to."""

    def say(self, text: str) -> None:
        """Show a line that stays."""

    def show(self, standing: Standing) -> None:
        """Show how the search stands now, in place of how it stood."""

    def close(self) -> None:
        """Take the standing away; harmless when called twice."""


def make_screen(out: TextIO | None = None) -> Screen:
    """Return a live region where `out` (stderr unless given) is a terminal, lines elsewhere."""
    target: TextIO = sys.stderr if out is None else out
    if not target.isatty():
        return Lines(target)
    from rich.console import Console

    console = Console(file=target)
    return Lines(target) if console.is_dumb_terminal else Region(console)


class Lines:
    """Lines that stay, for logs; how the search stands is part of them."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def say(self, text: str) -> None:
        print(text, file=self._out, flush=True)

    def show(self, standing: Standing) -> None: ...
    def close(self) -> None: ...


class Region:
    """A region at the foot of a terminal, by rich; lines that stay go above it."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: Live | None = None

    def say(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def show(self, standing: Standing) -> None:
        from rich.live import Live

        if self._live is None:
            # Without a thread of its own: it changes when something happens, which is often enough.
            self._live = Live(console=self._console, auto_refresh=False, transient=True)
            self._live.start()
        self._live.update(_rendered(standing), refresh=True)

    def close(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None


def _rendered(standing: Standing) -> RenderableType:
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    head = Table.grid(padding=(0, 1))
    head.add_row(ProgressBar(total=max(standing.total, 1), completed=standing.done, width=BAR), Text(standing.text))
    return Group(head, *(Text(f"  {line}", overflow="ellipsis", no_wrap=True) for line in standing.training))
