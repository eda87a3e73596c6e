"""Where a search shows how it stands."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from archsearch.search.screen import Lines, Region, Standing, make_screen

STANDING = Standing(done=3, total=4, text="3/4 done, 2 [refused]", training=("worker 0: trial 7",))


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_file_gets_lines_and_no_standing() -> None:
    out = io.StringIO()
    screen = make_screen(out)
    screen.show(STANDING)
    screen.say("trial 1: [b] done")
    screen.close()
    assert isinstance(screen, Lines)
    assert out.getvalue() == "trial 1: [b] done\n"


def test_a_terminal_gets_a_region_unless_it_is_a_dumb_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    assert isinstance(make_screen(Terminal()), Region)
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(make_screen(Terminal()), Lines)


def test_the_region_is_taken_away_at_the_end_and_lines_stay() -> None:
    out = io.StringIO()
    screen = Region(Console(file=out, force_terminal=True, width=100, legacy_windows=False))
    screen.show(STANDING)
    assert "3/4 done, 2 [refused]" in out.getvalue()
    assert "worker 0: trial 7" in out.getvalue()
    screen.say("trial 1: [b] done")
    assert "trial 1: [b] done" in out.getvalue()
    screen.close()
    end = out.getvalue()
    screen.close()
    assert out.getvalue() == end
