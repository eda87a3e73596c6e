"""A terminal's screen as a figure: lines of text in a monospaced font."""

from __future__ import annotations

from collections.abc import Sequence

from archsearch.report.figures.drawing import Drawing, Part, Rect, Text

_SIZE, _LINE = 10.0, 15.0
_LETTER = 0.602  # character width over text size in DejaVu Sans Mono; other fonts are no wider
_MARGIN = 14.0
_COLORS = {"$": "blue", "BROKEN": "vermillion", "fix:": "green"}
"""The colour of a line, by the word that it begins with."""


def screen(lines: Sequence[str], label: str, *, columns: int = 0) -> Drawing:
    """Return the lines as a terminal of at least `columns` shows them; `label` is the text for screen readers."""
    wide = max([columns, *map(len, lines)])
    width, height = 2 * _MARGIN + wide * _SIZE * _LETTER, 2 * _MARGIN + len(lines) * _LINE - 4
    parts: list[Part] = [Rect(x=0, y=0, width=width, height=height, look="box")]
    for place, line in enumerate(lines):
        text = line.lstrip(" ")
        x = _MARGIN + (len(line) - len(text)) * _SIZE * _LETTER
        color = next((color for word, color in _COLORS.items() if text.startswith(word)), "ink")
        y = _MARGIN + 8 + place * _LINE
        parts.append(Text(x=x, y=y, text=text.replace("  ", " \N{NO-BREAK SPACE}"), size=_SIZE, color=color,
                          is_bold=color != "ink", is_monospace=True))  # fmt: skip
    return Drawing(width=width, height=height, parts=tuple(parts), label=label)
