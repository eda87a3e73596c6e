"""Effective receptive fields as a picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from archsearch.errors import SpecError
from archsearch.report.figures.erf import EffectiveField, draw_effective_fields


def field(stage: str, size: int) -> EffectiveField:
    grid = np.abs(np.arange(16) - 8)
    influence_HW = np.exp(-(grid[:, None] + grid[None, :]) / 3)
    span = (8 - size // 2, 8 - size // 2 + size)
    return EffectiveField(stage=stage, influence_HW=influence_HW, effective=6.2, size=size, rows=span, columns=span)


@pytest.mark.parametrize(("stages", "size"), [(1, (780, 528)), (5, (1580, 906))])
def test_every_stage_has_its_panel(tmp_path: Path, stages: int, size: tuple[int, int]) -> None:
    fields = [field(f"$ c{index}", 5 + 10 * index) for index in range(stages)]
    draw_effective_fields(fields, tmp_path / "erf.png", title="a network", images=3)
    with Image.open(tmp_path / "erf.png") as picture:
        assert picture.size == size
        assert len(picture.convert("RGB").getcolors(maxcolors=1 << 24) or []) > 50


def test_another_ending_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="is not a picture format"):
        draw_effective_fields([field("c1", 5)], tmp_path / "erf.gif", title="", images=1)
