"""Values as a person says them, and text that no terminal obeys."""

from __future__ import annotations

import datetime
import math
from pathlib import Path

import pytest

from archsearch.report.terminal_words import (
    WIDEST,
    assigned,
    bare,
    called,
    counted,
    measure,
    moment,
    near,
    safe,
    sparkline,
)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("accuracy", 0.84927, "84.93 %"),
        ("test_accuracy", 1, "100.00 %"),
        ("accuracy", 84.9, "84.9"),
        ("parameters", 187312, "187 312"),
        ("macs", 2.5e7, "25 000 000"),
        ("receptive_field", 109, "109 px"),
        ("seconds", 3.25, "3.2 s"),
        ("seconds", 38.4, "38 s"),
        ("seconds", 720, "12 min"),
        ("seconds", 12000, "3 h 20 min"),
        ("loss", 0.123456789, "0.123457"),
        ("loss", math.nan, "not a number"),
        ("loss", -math.inf, "-infinity"),
        ("loss", None, "-"),
        ("loss", "a\x1bb", "a�b"),
        ("huge", 1e300, "1e+300"),
    ],
)
def test_measures(name: str, value: object, said: str) -> None:
    assert measure(name, value) == said


def test_times_are_told_in_one_zone() -> None:
    zone = datetime.timezone(datetime.timedelta(hours=5))
    assert moment(datetime.datetime(2026, 3, 1, 3, 4, tzinfo=zone)) == "2026-02-28 22:04 UTC"
    assert moment(None) == "-"


def test_text_of_users_is_text() -> None:
    assert bare("a\x1b[31m\r\nb\tc\u202e") == "a�[31m�\nb\tc�"
    assert safe("[red]x") == r"\[red]x"


def test_a_sparkline_rises_with_its_values() -> None:
    assert sparkline([0, 1, 2, 3.5, 7]) == "▁▂▃▅█"
    assert sparkline([5, 5]) == "▄▄"
    assert sparkline([0, math.nan, 1]) == "▁ █"
    assert sparkline([math.inf]) == sparkline([]) == ""
    assert sparkline([0, 1], plain=True).isascii()
    assert sparkline([-1e308, 1e308]) == "▁█"
    long = sparkline(list(range(1000)))
    assert (len(long), long[-1]) == (WIDEST, "█")


def test_paths_are_told_from_here() -> None:
    assert near(Path.cwd() / "outputs" / "x") == str(Path("outputs/x"))
    assert near("/elsewhere/x") == str(Path("/elsewhere/x"))
    assert near("outputs/x") == str(Path("outputs/x"))


def test_keys_are_told_short() -> None:
    assert assigned({"arch.stages.c2.width": 3, "arch.width": "fit", "seed": 1}) == "c2.width=3 width=fit seed=1"
    assert assigned({"arch.width": 1.911888332005648, "x": True}) == "width=1.912 x=True"
    assert (called("macs"), called("receptive_field")) == ("MACs", "receptive field")
    assert counted({"complete": 2, "failed": 1}) == "2 complete, 1 failed"
    assert counted({}) == "none"
