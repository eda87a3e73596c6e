"""Effective receptive fields as a picture."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from archsearch.errors import SpecError
from archsearch.report.figures.drawing import Line, Look, Picture, Text
from archsearch.report.figures.erf import EffectiveField, draw_effective_fields, fields_drawing


def field(stage: str, size: int) -> EffectiveField:
    grid = np.abs(np.arange(16) - 8)
    influence_HW = np.exp(-(grid[:, None] + grid[None, :]) / 3)
    span = (8 - size // 2, 8 - size // 2 + size)
    return EffectiveField(stage=stage, influence_HW=influence_HW, effective=6.2, size=size, rows=span, columns=span)


@pytest.mark.parametrize("stages", [1, 5, 6, 7, 11])
def test_every_stage_has_its_panel(tmp_path: Path, stages: int) -> None:
    fields = [field(f"$ c{index}", 5 + 10 * index) for index in range(stages)]
    drawing = fields_drawing(fields, title="a network", images=3)
    draw_effective_fields(fields, tmp_path / "erf.png", title="a network", images=3)
    with Image.open(tmp_path / "erf.png") as picture:
        assert picture.size == pytest.approx((drawing.width * 5 / 3, drawing.height * 5 / 3), abs=1)
        assert len(picture.convert("RGB").getcolors(maxcolors=1 << 24) or []) > 50
    *panels, bar = [part for part in drawing.parts if isinstance(part, Picture)]
    assert len(panels) == stages
    assert bar.y > max(panel.y + panel.height for panel in panels)
    rows = Counter(round(part.y) for part in drawing.parts if isinstance(part, Text) and part.text.startswith("$"))
    assert max(rows.values()) - min(rows.values()) <= 1, "no row has empty cells"


@pytest.mark.parametrize("size", [5, 17, 31, 41, 101])
def test_every_frame_has_four_sides_in_its_panel(size: int) -> None:
    drawing = fields_drawing([field("c1", size)], title="a network", images=3)
    sides = [
        part for part in drawing.parts if isinstance(part, Line) and getattr(part.look, "stroke", "") == "vermillion"
    ]
    assert len(sides) == 4
    assert all(0 <= x <= drawing.width and 0 <= y <= drawing.height for side in sides for x, y in side.points)
    assert all(side.points[0] != side.points[1] for side in sides)
    dashed = [bool(side.look.dash) for side in sides if isinstance(side.look, Look)]
    assert dashed == [size > 32] * 4, "16 px of image, and half as many around it"


def test_the_bar_shows_which_colour_is_which_influence() -> None:
    drawing = fields_drawing([field("c1", 5)], title="a network", images=3)
    panel, bar = [part for part in drawing.parts if isinstance(part, Picture)]
    ticks = {part.text: part.x for part in drawing.parts if isinstance(part, Text)}
    assert ticks["0"] == bar.x
    assert ticks["1"] == pytest.approx(bar.x + bar.width)
    assert (bar.pixels_HWC[0, -1] == panel.pixels_HWC[8, 8]).all(), "the strongest pixel"
    quarter = round((ticks["0.25"] - bar.x) / bar.width * (bar.pixels_HWC.shape[1] - 1))
    assert np.abs(bar.pixels_HWC[0, quarter].astype(int) - [132, 152, 181]).max() <= 2


def test_another_ending_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="is not a picture format"):
        draw_effective_fields([field("c1", 5)], tmp_path / "erf.gif", title="", images=1)
