"""Picture of effective receptive fields over the theoretical ones. Imports numpy, but not torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from archsearch.report.figures.drawing import Drawing, Line, Look, Part, Picture, Rect, Text, fitted
from archsearch.report.figures.render import write_drawing
from archsearch.report.vocabulary import cut

_SIDE, _GAP, _TOP = 187.0, 40.0, 83.0  # points: side of a panel, gap between panels, room above them
_ACROSS = 5  # panels in a row, at most
_BAR = 10.0  # height of the colour bar
_WIDEST = 0.5  # of the image's side: how far outside it frames are shown; inside wider ones it would be a dot
_WEAK, _STRONG = np.array([255, 255, 255]), np.array([8, 48, 107])  # the colours of zero and of the strongest influence
_LONGEST = 20  # characters of a stage's name
_TICKS = (0, 0.05, 0.25, 0.5, 1)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EffectiveField:
    """The influence of the image on the centre unit of a stage's output.

    `influence_HW` is the influence of each pixel, 1 for the strongest; `effective` is the side in px of a square with
    as many pixels as have a noticeable influence. `size`, `rows` and `columns` (from, to) are the theoretical field in
    px.
    """

    stage: str
    influence_HW: np.ndarray
    effective: float
    size: int
    rows: tuple[int, int]
    columns: tuple[int, int]


def draw_effective_fields(fields: Sequence[EffectiveField], file: Path, *, title: str, images: int) -> None:
    """Write a panel for each of `fields` to `file` (PNG, SVG or PDF).

    Raises `SpecError` for any other extension, `StorageError` if the file cannot be written.
    """
    write_drawing(fields_drawing(fields, title=title, images=images), file, inch=1 / 72, dpi=120)


def fields_drawing(fields: Sequence[EffectiveField], *, title: str, images: int) -> Drawing:
    """Return a panel for each of `fields`, in rows of similar length, and a colour bar below."""
    down = math.ceil(len(fields) / _ACROSS)
    across = math.ceil(len(fields) / down)
    pitch = _SIDE + _GAP
    width = max(across * pitch + _GAP, 468)
    notes = (
        f"influence of each pixel, mean of {images} test images; frame: theoretical field, dashed: beyond what is shown"
    )
    parts: list[Part] = []
    for text, y, size, least, bold in ((title, 26, 13, 8, True), (notes, 45, 9, 6, False)):
        text, size = fitted(text, width - 2 * _GAP, size, least=least, bold=bold)
        parts.append(Text(x=_GAP, y=y, text=text, size=size, is_bold=bold, color="ink" if bold else "muted"))
    for index, field in enumerate(fields):
        row = index // across
        in_row = min(across, len(fields) - row * across)
        left = (width - in_row * pitch + _GAP) / 2
        parts += _panel(field, left + (index % across) * pitch, _TOP + row * pitch)
    foot = _TOP + down * pitch - 8
    parts += _colour_bar((width - _SIDE) / 2, foot)
    return Drawing(width=width, height=foot + 54, parts=tuple(parts), label=title)


def _colours(share_HW: np.ndarray) -> np.ndarray:
    """Return the colours of influences, by their square roots, so that weak influences are visible."""
    root_HW1 = np.sqrt(np.clip(share_HW, 0, 1))[..., None]
    return np.round(_WEAK + root_HW1 * (_STRONG - _WEAK)).astype(np.uint8)


def _colour_bar(left: float, top: float) -> list[Part]:
    shades = _colours(np.linspace(0, 1, 256)[None] ** 2)
    parts: list[Part] = [
        Picture(x=left, y=top, width=_SIDE, height=_BAR, pixels_HWC=shades),
        Rect(x=left, y=top, width=_SIDE, height=_BAR, look=Look(stroke="muted", width=0.6)),
        Text(x=left + _SIDE / 2, y=top + 37, text="influence, 1: the strongest pixel", size=9, anchor="middle"),
    ]
    for tick in _TICKS:
        x = left + _SIDE * math.sqrt(tick)
        parts.append(Line(points=((x, top + _BAR), (x, top + _BAR + 3)), look=Look(stroke="muted", width=0.6)))
        parts.append(Text(x=x, y=top + 23, text=f"{tick:g}", size=9, anchor="middle", color="muted"))
    return parts


def _panel(field: EffectiveField, left: float, top: float) -> list[Part]:
    tall, wide = field.influence_HW.shape
    (first, last), (begin, end) = field.rows, field.columns
    outside = max(-first, -begin, last - tall, end - wide, 0)
    margin = min(outside, _WIDEST * max(tall, wide)) + 0.5
    scale = _SIDE / (max(tall, wide) + 2 * margin)

    def x(column: float) -> float:
        return left + min(max(column + margin, 0), wide + 2 * margin) * scale

    def y(row: float) -> float:
        return top + min(max(row + margin, 0), tall + 2 * margin) * scale

    def side(start: tuple[float, float], stop: tuple[float, float], *, is_shown: bool) -> Line:
        look = Look(stroke="vermillion", width=1.6, dash=() if is_shown else (3, 3))
        return Line(points=((x(start[0]), y(start[1])), (x(stop[0]), y(stop[1]))), look=look)

    title = f"{cut(field.stage, _LONGEST)}: {field.size} px, effective {field.effective:.0f} px"
    text, size = fitted(title, _SIDE, 10, bold=True)
    return [
        Text(x=left, y=top - 6, text=text, size=size, is_bold=True),
        Picture(x=x(0), y=y(0), width=wide * scale, height=tall * scale, pixels_HWC=_colours(field.influence_HW)),
        Rect(x=x(0), y=y(0), width=wide * scale, height=tall * scale, look=Look(stroke="muted", width=0.6)),
        *(side((begin, row), (end, row), is_shown=-margin <= row <= tall + margin) for row in (first, last)),
        *(side((at, first), (at, last), is_shown=-margin <= at <= wide + margin) for at in (begin, end)),
    ]
