"""Effective receptive fields as a picture, over the theoretical ones. Imports numpy; no torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from archsearch.report.figures.drawing import Drawing, Line, Look, Part, Picture, Rect, Text, fitted
from archsearch.report.figures.render import write_drawing

_SIDE, _GAP, _TOP = 187.0, 40.0, 83.0  # points of a panel, between two, and above them
_ACROSS = 4
_WIDEST = 0.5  # of the image's side: so far outside it a frame is shown; around wider ones the image would be a dot
_STRONG = np.array([8, 48, 107])  # the colour of the strongest influence


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EffectiveField:
    """The influence of the image on the middle unit of a stage's map.

    `influence_HW` is that of every pixel, 1 for the strongest; `effective` the side in px of a square of as many pixels
    as have a noticeable one; `size`, `rows` and `columns` the theoretical field, in px, from and to.
    """

    stage: str
    influence_HW: np.ndarray
    effective: float
    size: int
    rows: tuple[int, int]
    columns: tuple[int, int]


def draw_effective_fields(fields: Sequence[EffectiveField], file: Path, *, title: str, images: int) -> None:
    """Write to `file` (PNG, SVG or PDF) a panel for each of `fields`; raises `SpecError` and `StorageError`."""
    across, down = min(len(fields), _ACROSS), math.ceil(len(fields) / _ACROSS)
    width = max(across * (_SIDE + _GAP) + _GAP, 468)
    notes = f"dark: strong influence (its square root), mean of {images} test images; frame: theoretical field"
    parts: list[Part] = []
    for text, y, size, least, bold in ((title, 26, 13, 8, True), (notes, 45, 9, 6, False)):
        text, size = fitted(text, width - 2 * _GAP, size, least=least, bold=bold)
        parts.append(Text(x=_GAP, y=y, text=text, size=size, is_bold=bold, color="ink" if bold else "muted"))
    for index, field in enumerate(fields):
        x = _GAP + (index % _ACROSS) * (_SIDE + _GAP)
        parts += _panel(field, x, _TOP + (index // _ACROSS) * (_SIDE + _GAP))
    height = _TOP + down * (_SIDE + _GAP) + 7
    write_drawing(Drawing(width=width, height=height, parts=tuple(parts), label=title), file, inch=1 / 72, dpi=120)


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

    share_HW1 = np.sqrt(np.clip(field.influence_HW, 0, 1))[..., None]
    pixels_HWC = np.round(255 + share_HW1 * (_STRONG - 255)).astype(np.uint8)
    sides = [((begin, row), (end, row)) for row in (first, last) if -margin <= row <= tall + margin]
    sides += [((column, first), (column, last)) for column in (begin, end) if -margin <= column <= wide + margin]
    text, size = fitted(f"{field.stage}  {field.size} px, effective {field.effective:.0f} px", _SIDE, 10, bold=True)
    look = Look(stroke="vermillion", width=1.6)
    return [
        Text(x=left, y=top - 6, text=text, size=size, is_bold=True),
        Picture(x=x(0), y=y(0), width=wide * scale, height=tall * scale, pixels_HWC=pixels_HWC),
        Rect(x=x(0), y=y(0), width=wide * scale, height=tall * scale, look=Look(stroke="muted", width=0.6)),
        *(Line(points=((x(a), y(b)), (x(c), y(d))), look=look) for (a, b), (c, d) in sides),
    ]
