"""A terminal's screen as a figure."""

from __future__ import annotations

from archsearch.report.figures.drawing import Text
from archsearch.report.figures.screen import screen


def test_every_line_is_there_in_a_fixed_width_face_with_its_indent() -> None:
    drawing = screen(["$ command", "BROKEN parameters", "       fix: a=1", "kept   head"], "what it shows")
    lines = [part for part in drawing.parts if isinstance(part, Text)]
    assert [line.text for line in lines[:3]] == ["$ command", "BROKEN parameters", "fix: a=1"]
    assert [line.color for line in lines] == ["blue", "vermillion", "green", "ink"]
    assert all(line.is_monospace for line in lines)
    assert lines[2].x > lines[1].x == lines[0].x
    assert [line.y for line in lines] == sorted(line.y for line in lines)
    assert drawing.label == "what it shows"


def test_it_is_as_wide_as_its_longest_line_or_as_asked() -> None:
    assert screen(["x" * 80], "").width > screen(["x" * 40], "").width
    assert screen(["x"], "", columns=80).width == screen(["x" * 80], "").width
