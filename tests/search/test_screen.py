"""Where a search shows how it stands."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from archsearch.search.progress import LiveDisplay, PlainDisplay, Status, make_display

STANDING = Status(done=3, total=4, text="3/4 done, 2 [refused]", training=("worker 0: trial 7",))


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_file_gets_lines_and_no_standing() -> None:
    out = io.StringIO()
    display = make_display(out)
    display.show(STANDING)
    display.print("trial 1: [b] done")
    display.close()
    assert isinstance(display, PlainDisplay)
    assert out.getvalue() == "trial 1: [b] done\n"


def test_a_terminal_gets_a_region_unless_it_is_a_dumb_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    assert isinstance(make_display(Terminal()), LiveDisplay)
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(make_display(Terminal()), PlainDisplay)


def test_the_region_is_taken_away_at_the_end_and_lines_stay() -> None:
    out = io.StringIO()
    display = LiveDisplay(Console(file=out, force_terminal=True, width=100, legacy_windows=False))
    display.show(STANDING)
    assert "3/4 done, 2 [refused]" in out.getvalue()
    assert "worker 0: trial 7" in out.getvalue()
    display.print("trial 1: [b] done")
    assert "trial 1: [b] done" in out.getvalue()
    display.close()
    end = out.getvalue()
    display.close()
    assert out.getvalue() == end
