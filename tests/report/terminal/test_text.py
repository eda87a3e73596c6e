"""Cells and lines of a terminal, and text that no terminal obeys."""

from __future__ import annotations

import datetime
import math
from pathlib import Path

from archsearch.formatting import one_line, printable
from archsearch.report.terminal.text import (
    MOST_MARKS,
    moment_cell,
    relative_path,
    safe,
    safe_lines,
    settings_line,
    sparkline,
    value_cell,
)


def test_values_are_safe_and_a_missing_one_is_a_dash() -> None:
    assert value_cell("loss", None) == "-"
    assert value_cell("loss", "a\x1bb") == "a�b"
    assert value_cell("accuracy", 0.84927) == "84.93 %"


def test_times_are_in_utc() -> None:
    zone = datetime.timezone(datetime.timedelta(hours=5))
    assert moment_cell(datetime.datetime(2026, 3, 1, 3, 4, tzinfo=zone)) == "2026-02-28 22:04 UTC"
    assert moment_cell(None) == "-"


def test_text_of_users_is_text() -> None:
    assert printable("a\x1b[31m\r\nb\tc\u202e") == "a�[31m�\nb\tc�"
    assert printable("a\x9b31mb\u2028c\u2066d\u0085e\ud800") == "a�31mb�c�d�e�"
    assert one_line("a\nb\tc\x1b") == "a�b c�"
    assert safe("[red]x\ny") == r"\[red]x�y"
    assert safe_lines("[red]x\ny\r") == "\\[red]x\ny�"
    assert printable("Ünïcödé – 3×3 \N{NO-BREAK SPACE}") == "Ünïcödé – 3×3 \N{NO-BREAK SPACE}"


def test_a_sparkline_rises_with_its_values() -> None:
    assert sparkline([0, 1, 2, 3.5, 7]) == "▁▂▃▅█"
    assert sparkline([5, 5]) == "▄▄"
    assert sparkline([0, math.nan, 1]) == "▁ █"
    assert sparkline([math.inf]) == sparkline([]) == ""
    assert sparkline([0, 1], "ascii").isascii()
    assert sparkline([-1e308, 1e308]) == "▁█"
    long = sparkline(list(range(1000)))
    assert (len(long), long[-1]) == (MOST_MARKS, "█")


def test_paths_are_relative_to_the_current_folder() -> None:
    assert relative_path(Path.cwd() / "outputs" / "x") == str(Path("outputs/x"))
    assert relative_path("/elsewhere/x") == str(Path("/elsewhere/x"))
    assert relative_path("outputs/x") == str(Path("outputs/x"))


def test_settings_are_short() -> None:
    assert settings_line({"arch.stages.c2.width": 3, "arch.width": "fit", "seed": 1}) == "c2.width=3 width=fit seed=1"
    assert settings_line({"arch.width": 1.911888332005648, "x": True}) == "width=1.912 x=True"
