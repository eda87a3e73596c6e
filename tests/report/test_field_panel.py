from __future__ import annotations

from collections.abc import Callable

import pytest
from matplotlib.patches import Rectangle

from archsearch.analysis.check import Checked
from archsearch.report.field_panel import draw_fields
from archsearch.report.picture import blank, panel, style


def test_squares_are_to_scale_over_the_image_and_beyond_its_border(shipped: Callable[[str], Checked]) -> None:
    with style():
        axes = panel(blank(5, 4), 0.5, 0.5, 4.1, 2.5, "Field")
        draw_fields(axes, shipped("all_dilated"))
    outlines = [patch for patch in axes.patches if isinstance(patch, Rectangle) and not patch.get_fill()]
    image, *fields = outlines
    pixel = image.get_width() / 32
    assert [round(field.get_width() / pixel) for field in fields] == [3, 7, 15, 31, 63]
    assert fields[-1].get_x() < image.get_x(), "63 px reach beyond the border"
    assert (fields[0].get_x() - image.get_x()) / pixel == pytest.approx(15)
    assert fields[-1].get_x() >= 0
    assert fields[-1].get_x() + fields[-1].get_width() <= 2.5
    assert [text.get_text() for text in axes.texts if "px" in text.get_text()][:-1] == [
        f"{size} px" for size in (63, 31, 15, 7, 3)
    ]


def test_an_image_that_is_not_square(designed: Callable[..., Checked]) -> None:
    stages = {"a": {"block": "normal", "width": 8}}
    with style():
        axes = panel(blank(5, 4), 0.5, 0.5, 4.1, 2.5, "Field")
        draw_fields(axes, designed({"input": [3, 24, 40], "stages": stages, "head": {"classes": 3}}))
    image = next(patch for patch in axes.patches if isinstance(patch, Rectangle) and not patch.get_fill())
    assert image.get_width() / image.get_height() == pytest.approx(40 / 24)
    assert any("40×24 px image" in text.get_text() for text in axes.texts)
