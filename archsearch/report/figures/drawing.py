"""A drawing as data: rectangles, lines, marks, texts and pictures, their looks and colours, and the width of a text.

`archsearch.report.figures.render` turns it into SVG markup, or into PNG and PDF by matplotlib. Coordinates, text sizes
and line widths are in units of the drawing; y grows downward.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np

_COLORS = {
    "ground": ("#fff", "#14171b"), "panel": ("#f6f7f9", "#1d2127"), "ink": ("#1f2328", "#e7eaee"),
    "muted": ("#57606a", "#a3acb7"), "rule": ("#d0d5dc", "#39414b"), "link": ("#0060a0", "#7cc4f5"),
    "blue": ("#0072b2", "#4ba7e0"), "vermillion": ("#d55e00", "#ff8a3c"), "orange": ("#c98500", "#f0b429"),
    "sky": ("#56b4e9", "#8fd0f7"), "green": ("#009e73", "#2cc79b"), "purple": ("#b0578d", "#e39ac5"),
    "grey": ("#8a94a0", "#7d8894"), "curve": ("#b6bdc6", "#4d5763"), "slate": ("#52667f", "#8fa3bd"),
    "texture": ("rgba(255,255,255,.75)", "rgba(0,0,0,.6)"), "cell": (".75", ".6"),
}  # fmt: skip
LIGHT, DARK = ({name: pair[place] for name, pair in _COLORS.items()} for place in (0, 1))
"""Colours by name, after the colour-blind-safe palette of Okabe and Ito; `cell` is the opacity of a heat map cell."""
PRINT = {**LIGHT, "panel": "#f4f5f7", "ink": "#000", "muted": "#444", "rule": "#bbb", "link": "#000"}
VIRIDIS = ("#440154", "#3b528b", "#21918c", "#5ec962", "#fde725")


@dataclass(frozen=True, slots=True)
class Look:
    """Fill and stroke colour, by name in `LIGHT` or in hexadecimal, line width, dashes and opacity of the fill."""

    fill: str = ""
    stroke: str = ""
    width: float = 1.0
    dash: tuple[float, ...] = ()
    opacity: float = 1.0


LOOKS = {
    "grid": Look(stroke="rule", width=0.7),
    "base": Look(stroke="muted", width=0.7),
    "limit": Look(stroke="ink", width=1.1, dash=(4, 3)),
    "edge": Look(stroke="muted", width=1.1, dash=(1, 2.5)),
    "front": Look(stroke="vermillion", width=1.4),
    "best": Look(fill="vermillion", stroke="ground", width=0.7),
    "complete": Look(fill="blue", stroke="ground", width=0.7, opacity=0.8),
    "pruned": Look(stroke="orange", width=1.1),
    "diverged": Look(stroke="purple", width=1.8),
    "failed": Look(stroke="ink", width=1.6),
    "infeasible": Look(stroke="grey", width=1.2),
    "curve": Look(stroke="curve", width=1.0),
    "c1": Look(stroke="vermillion", width=1.9),
    "c2": Look(stroke="blue", width=1.9, dash=(7, 3)),
    "c3": Look(stroke="green", width=1.9, dash=(2, 2)),
    "c4": Look(stroke="purple", width=1.9, dash=(9, 3, 2, 3)),
    "c5": Look(stroke="orange", width=1.9, dash=(4, 4)),
    "first": Look(stroke="blue", width=1.8),
    "second": Look(stroke="vermillion", width=1.8, dash=(7, 3)),
    "first-point": Look(fill="blue"),
    "second-point": Look(fill="vermillion"),
    "bar": Look(fill="blue"),
    "field": Look(fill="green"),
    "count": Look(fill="grey"),
    "cost": Look(fill="slate"),
    "confidence": Look(stroke="orange", width=1.4),
    "confidence-point": Look(fill="orange"),
    "matrix": Look(stroke="rule"),
    "cell": Look(fill="blue"),
    "shade": Look(fill="panel"),
    "image": Look(fill="grey"),
    "wire": Look(stroke="rule"),
    "join": Look(stroke="muted", width=1.2),
    "box": Look(fill="panel", stroke="muted", width=0.7),
    "node": Look(fill="ground", stroke="muted", width=1.1),
    **{
        kind: Look(fill=color, stroke="muted", width=0.4)
        for kind, color in zip(
            ("convolution", "depthwise", "grouped", "pointwise", "pool", "linear"),
            ("blue", "orange", "purple", "sky", "green", "vermillion"),
            strict=True,
        )
    },
    "identity": Look(stroke="muted", dash=(3, 2)),
    "ring": Look(stroke="ground", width=1.3),
}
"""The looks by name; the CSS class of a look on a page is `l-` and its name."""
TEXTURES = {
    "depthwise": ("M-1 7 7-1M-1 1 1-1M5 7 7 5", "////"),
    "grouped": ("M-1 7 7-1M-1-1 7 7", "xxxx"),
    "pointwise": ("M3 1.8v2.4M1.8 3h2.4", "...."),
    "pool": ("M0 3h6", "----"),
    "linear": ("M3 0v6", "||||"),
}
"""The textures of looks: an SVG path on a tile of 6 x 6 units, and the hatch for matplotlib."""
Shape = Literal["circle", "diamond", "triangle", "cross", "plus", "tick", "square"]
SHAPES: dict[str, Shape] = {
    "best": "diamond", "pruned": "triangle", "diverged": "cross", "failed": "plus", "infeasible": "tick",
    "second-point": "square",
}  # fmt: skip
"""The shapes of marks by look, to distinguish them without colour; all other marks are circles."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rect:
    """A rectangle with its upper left corner at (`x`, `y`); `hover` is its tooltip."""

    x: float
    y: float
    width: float
    height: float
    look: str | Look
    hover: str = ""
    opacity: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line through points; `trial` is the trial that it shows."""

    points: tuple[tuple[float, float], ...]
    look: str | Look
    trial: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A mark centred on a point, with the shape of its look."""

    x: float
    y: float
    look: str | Look
    size: float = 3.6
    hover: str = ""
    trial: int | None = None

    @property
    def shape(self) -> Shape:
        """The shape of its look."""
        return SHAPES.get(self.look, "circle") if isinstance(self.look, str) else "circle"


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """A line of text; (`x`, `y`) is the start, middle or end of its baseline, by `anchor`."""

    x: float
    y: float
    text: str
    size: float = 10.5
    anchor: Literal["start", "middle", "end"] = "start"
    color: str = "ink"
    is_bold: bool = False
    has_halo: bool = False
    is_monospace: bool = False
    rotation: float = 0.0
    """Degrees, counter-clockwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """An image of H x W x 3 bytes, scaled to `width` x `height` without interpolation."""

    x: float
    y: float
    width: float
    height: float
    pixels_HWC: np.ndarray = field(repr=False, compare=False)


Part = Rect | Line | Mark | Text | Picture


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """Parts on a sheet of `width` x `height` units; `label` is its text for a screen reader."""

    width: float
    height: float
    parts: tuple[Part, ...]
    label: str = ""


def outline(shape: Shape, size: float) -> list[list[tuple[float, float]]]:
    """Return the lines of a mark around the origin, closed if the last point equals the first; none for a circle."""
    far = size * {"diamond": 1.5, "triangle": 1.25, "cross": 0.95, "plus": 1.2, "tick": 1.1}.get(shape, 0.9)
    lines: dict[Shape, list[list[tuple[float, float]]]] = {
        "circle": [],
        "diamond": [[(0, -far), (far, 0), (0, far), (-far, 0), (0, -far)]],
        "triangle": [[(-far, -0.8 * far), (far, -0.8 * far), (0, far), (-far, -0.8 * far)]],
        "square": [[(-far, -far), (far, -far), (far, far), (-far, far), (-far, -far)]],
        "cross": [[(-far, -far), (far, far)], [(-far, far), (far, -far)]],
        "plus": [[(-far, 0), (far, 0)], [(0, -far), (0, far)]],
        "tick": [[(0, -far), (0, far)]],
    }
    return lines[shape]


def blend(colors: Sequence[str], share: float) -> str:
    """Return the colour at `share` of the way through `colors`, all in hexadecimal."""
    place = min(max(share, 0.0), 1.0) * (len(colors) - 1)
    first = min(int(place), len(colors) - 2)
    pairs = [(int(colors[first][i : i + 2], 16), int(colors[first + 1][i : i + 2], 16)) for i in (1, 3, 5)]
    return "#" + "".join(f"{round(one + (other - one) * (place - first)):02x}" for one, other in pairs)


# Widths of characters in DejaVu Sans, a wide typeface, in hundredths of an em.
_WIDTHS = (
    (29, "'ijlIJ"), (32, " ,.·\N{NO-BREAK SPACE}"), (35, "/:;\\f|-"), (40, "()[]t!r"), (51, '"*_`sz?'), (56, "cLFk"),
    (60, "vxyPTYao"), (69, "VXZBRCAU"), (77, "HNDG&OQ"), (84, "w#+<=>^~M×✓✗"), (98, "%mW@…"),
)  # fmt: skip
_ADVANCES = {letter: width for width, letters in _WIDTHS for letter in letters}
_BOLD = 1.12  # approximate width of bold text relative to regular text


def text_width(text: str, size: float, *, bold: bool = False) -> float:
    """Return the approximate width of one line of `text`, in the units of `size`."""
    return sum(map(_advance, text.rstrip())) * size * (_BOLD if bold else 1.0) / 100


def _advance(letter: str) -> int:
    known = _ADVANCES.get(letter)
    return known or (100 if unicodedata.east_asian_width(letter) in "WF" else 63)


def fitted(text: str, width: float, size: float, *, least: float = 6.0, bold: bool = False) -> tuple[str, float]:
    """Return `text` and the largest size, at most `size`, at which it fits into `width`.

    If that size is below `least`, the text is cut and ends with an ellipsis instead.
    """
    text = " ".join(text.split())
    found = text_width(text, size, bold=bold)
    if found > width:
        size = max(min(least, size), size * width / found)
    if text_width(text, size, bold=bold) <= width * 1.001:  # tolerance for rounding
        return text, size
    kept = len(text)
    room = width - text_width("…", size, bold=bold)
    while kept and text_width(text[:kept], size, bold=bold) > room:
        kept -= 1
    return f"{text[:kept]}…", size
