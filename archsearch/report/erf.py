"""Effective receptive fields as a picture, over the theoretical ones. Imports matplotlib lazily; no torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from archsearch.report.picture import MUTED, VERMILLION, blank, fitted, style, write_picture

_SIDE, _GAP, _TOP, _DPI = 2.6, 0.55, 1.15, 120  # inches of a panel, between two, and above them
_ACROSS = 4
_WIDEST = 0.5  # of the image's side: so far outside it a frame is shown; around wider ones the image would be a dot


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StageSight:
    """What the middle unit of a stage's map looks at.

    `influence_HW` is that of every pixel, 1 for the strongest; `effective` the side in px of a square of as many pixels
    as have a noticeable one; `size`, `rows` and `columns` the theoretical field, in px, from and to.
    """

    stage: str
    influence_HW: np.ndarray
    effective: float
    size: int
    rows: tuple[int, int]
    columns: tuple[int, int]


def draw_sights(sights: Sequence[StageSight], file: Path, *, title: str, images: int) -> None:
    """Write to `file` (PNG, SVG or PDF) a panel for each of `sights`; raises `SpecError` and `StorageError`."""
    from matplotlib.patches import Rectangle

    across = min(len(sights), _ACROSS)
    down = math.ceil(len(sights) / _ACROSS)
    width = max(across * (_SIDE + _GAP) + _GAP, 6.5)
    height = _TOP + down * (_SIDE + _GAP) + 0.1
    with style():
        figure = blank(width, height)
        text, size = fitted(title, width - 2 * _GAP, 13, least=8, bold=True)
        figure.text(_GAP / width, 1 - 0.36 / height, text, fontsize=size, fontweight="bold")
        notes = f"dark: strong influence (its square root), mean of {images} test images; frame: theoretical field"
        text, size = fitted(notes, width - 2 * _GAP, 9, least=6)
        figure.text(_GAP / width, 1 - 0.62 / height, text, fontsize=size, color=MUTED)
        for index, sight in enumerate(sights):
            left = _GAP + (index % _ACROSS) * (_SIDE + _GAP)
            bottom = height - _TOP - (index // _ACROSS) * (_SIDE + _GAP) - _SIDE
            axes = figure.add_axes((left / width, bottom / height, _SIDE / width, _SIDE / height))
            tall, wide = sight.influence_HW.shape
            axes.imshow(np.sqrt(sight.influence_HW), cmap="Blues", vmin=0, vmax=1, extent=(0, wide, tall, 0))
            (top, low), (first, last) = sight.rows, sight.columns
            outside = max(-top, -first, low - tall, last - wide, 0)
            margin = min(outside, _WIDEST * max(tall, wide)) + 0.5
            axes.set(xlim=(-margin, wide + margin), ylim=(tall + margin, -margin))
            frame = Rectangle((first, top), last - first, low - top, fill=False, edgecolor=VERMILLION, linewidth=1.6)
            axes.add_patch(frame)
            axes.add_patch(Rectangle((0, 0), wide, tall, fill=False, edgecolor=MUTED, linewidth=0.6))
            axes.set_axis_off()
            said = f"{sight.stage}  {sight.size} px, effective {sight.effective:.0f} px"
            text, size = fitted(said, _SIDE, 10, least=6, bold=True)
            axes.set_title(text, fontsize=size, fontweight="bold", loc="left")
        write_picture(figure, file, dpi=_DPI)
