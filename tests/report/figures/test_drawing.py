"""Drawings as values: looks, colours, and the width of a text."""

from __future__ import annotations

import pytest

from archsearch.report.figures.drawing import (
    DARK,
    LIGHT,
    LOOKS,
    PRINT,
    SHAPES,
    TEXTURES,
    Drawing,
    Text,
    blend,
    fitted,
    outline,
    text_width,
)
from archsearch.report.figures.render import render


def test_every_look_has_known_colours_in_light_and_dark() -> None:
    assert LIGHT.keys() == DARK.keys() == PRINT.keys()
    assert {color for look in LOOKS.values() for color in (look.fill, look.stroke) if color} <= LIGHT.keys()
    assert SHAPES.keys() | TEXTURES.keys() <= LOOKS.keys()


def test_every_shape_is_another() -> None:
    shapes = {
        str(outline(shape, 3.6)) for shape in ("circle", "diamond", "triangle", "square", "cross", "plus", "tick")
    }
    assert len(shapes) == 7


def test_colours_are_blended() -> None:
    assert [blend(("#000000", "#ff8000", "#ffffff"), share) for share in (-1, 0.25, 0.5, 2)] == [
        "#000000",
        "#804000",
        "#ff8000",
        "#ffffff",
    ]


@pytest.mark.parametrize(
    ("text", "bold"), [("124 186 parameters", False), ("stage $c2$ & so on", True), ("2 × depthwise 3×3", False)]
)
def test_text_is_as_wide_as_it_is_drawn(text: str, bold: bool) -> None:
    drawing = Drawing(width=720, height=72, parts=(Text(x=0, y=50, text=text, size=11, is_bold=bold),))
    drawn = render(drawing, inch=1 / 72).axes[0].texts[0]
    assert text_width(text, 11, bold=bold) == pytest.approx(drawn.get_window_extent().width * 72 / 100, rel=0.06)
    assert text_width("  ", 11) == 0


def test_text_is_first_made_smaller_and_then_cut_short() -> None:
    assert fitted("two  words\n", 360, 10) == ("two words", 10)
    text, size = fitted("a line of some length", 72, 12)
    assert text == "a line of some length"
    assert 6 < size < 12
    text, size = fitted("a line of some length" * 9, 72, 12)
    assert size == 6
    assert text.startswith("a line")
    assert text.endswith("…")
    assert 58 < text_width(text, size) <= 72.1
    assert fitted("研究" * 30, 72, 12)[0].endswith("…")
