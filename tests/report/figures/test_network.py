"""The drawing of a network: boxes to scale, on a slide and on a page."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise

import pytest

from archsearch.analysis.check import Checked, check_design
from archsearch.analysis.limits import Limits
from archsearch.config_files import block_lookup, config_folder
from archsearch.design.spec import decode_design
from archsearch.report.designs import boxes, field_sizes, joins
from archsearch.report.figures.charts import BarChart, layout
from archsearch.report.figures.design import (
    KINDS,
    design_drawing,
    field_chart,
    network_legend,
    page_drawing,
    slide_parts,
    slots,
)
from archsearch.report.figures.drawing import LOOKS, TEXTURES, Line, Mark, Part, Rect, Text
from archsearch.report.figures.render import element, sample, textures

Find = Callable[[str], Checked]


def rects(parts: list[Part] | tuple[Part, ...]) -> list[Rect]:
    return [part for part in parts if isinstance(part, Rect)]


def test_boxes_are_to_scale(shipped: Find) -> None:
    checked = shipped("assignment")
    image, *found = rects(slide_parts(checked.plan, width=888, height=184))
    expected = boxes(checked.plan)
    assert len(found) == len(expected)
    wide, high = found[0].width / expected[0].shape[0], image.height / 32
    for rect, box in zip(found, expected, strict=True):
        if min(rect.width, rect.height) > 4:  # the thinnest are drawn thick enough to be seen
            assert rect.width == pytest.approx(wide * box.shape[0])
            assert rect.height == pytest.approx(high * box.shape[1])
    assert all(one.x + one.width < two.x for one, two in pairwise(found))
    assert found[0].x > 0
    assert found[-1].x + found[-1].width <= 888


@pytest.mark.parametrize("name", ["c1c2c3c4", "assignment", "vgg16", "mobilenet_v2"])
def test_on_a_page_every_box_lies_inside_and_none_on_another(shipped: Find, name: str) -> None:
    drawing = page_drawing(shipped(name).footprint, "Blocks")
    found = rects(drawing.parts)
    assert len(found) > 5
    assert found[0].x >= 0
    assert found[-1].x + found[-1].width <= drawing.width
    for left, right in pairwise(found):
        assert left.x + left.width <= right.x + 0.02


def test_every_kind_has_a_colour_and_a_texture_of_its_own() -> None:
    assert KINDS.keys() <= LOOKS.keys()
    looks = [(LOOKS[kind].fill, TEXTURES.get(kind)) for kind in KINDS]
    assert len({fill for fill, _ in looks}) == len(looks)
    assert len({(bool(fill), texture) for fill, texture in looks}) == len(looks)


def test_dilation_has_a_ring(shipped: Find) -> None:
    plan = shipped("all_dilated").plan
    dilated = sum(box.is_dilated for box in boxes(plan))
    for parts in (
        slide_parts(plan, width=888, height=184),
        page_drawing(shipped("all_dilated").footprint, "").parts,
    ):
        assert sum(isinstance(part, Mark) and part.look == "ring" for part in parts) == dilated > 0


def test_the_legend_has_what_occurs_and_every_texture_is_there(shipped: Find) -> None:
    design = shipped("assignment").footprint
    keys = network_legend([design.plan])
    assert [key.text for key in keys] == ["convolution", "depthwise separable", "pool", "dilated"]
    drawn = "".join(sample(key.sample, key.width) for key in keys) + element(page_drawing(design, ""), usual_width=400)
    used = set(re.findall(r"url\(#([\w-]+)\)", drawn))
    assert used
    assert used <= set(re.findall(r'id="([\w-]+)"', textures()))


def test_the_field_grows_from_stage_to_stage_beside_what_is_required(shipped: Find) -> None:
    design = shipped("c1c2c3c4").footprint

    def texts(chart: BarChart) -> list[str]:
        return [part.text for part in layout(chart).parts if isinstance(part, Text)]

    chart = field_chart(design, "Receptive field", 44.0)
    assert [text for _, _, text in chart.bars] == [f"{size} px" for size in field_sizes(design).values()]
    assert {f"{design.receptive_field} px", "required 44 px", "image 32 px"} <= set(texts(chart))
    assert "required 44 px" not in texts(field_chart(design, "Receptive field"))


def joined() -> Checked:
    source = {
        "name": "joined", "input": [3, 32, 32], "stem": {"block": "normal", "out": 8},
        "stages": {
            "outer": {"block": "normal", "width": 16}, "inner": {"block": "normal", "width": 16},
            "deep": {"block": "normal", "width": 32}, "up": {"block": "normal", "width": 16, "from": "inner"},
            "top": {"block": "normal", "width": 16, "from": "outer"},
        },
        "head": {"pool": "global_average", "classes": 10},
    }  # fmt: skip
    return check_design(decode_design(source, block_lookup([config_folder()])), Limits())


def test_a_stage_with_from_is_drawn_with_an_arrow_from_the_stage_that_it_reads() -> None:
    checked = joined()
    assert joins(checked.plan) == [("inner", "up"), ("outer", "top")]
    for parts in (slide_parts(checked.plan, width=888, height=184), page_drawing(checked.footprint, "").parts):
        arrows = [part for part in parts if isinstance(part, Line) and part.look == "join" and len(part.points) == 4]
        (inner, outer) = arrows
        titles = {part.text: part.x for part in parts if isinstance(part, Text) and part.is_bold}
        assert titles["inner"] <= inner.points[0][0] < inner.points[-1][0] <= titles["up"]
        assert titles["outer"] <= outer.points[0][0] < outer.points[-1][0] <= titles["top"]
        assert outer.points[1][1] < inner.points[1][1]  # the outer one above the inner one
        boxes_below = min(rect.y for rect in rects(parts))
        assert outer.points[1][1] < boxes_below
        assert min(y for _, y in outer.points) >= 0
    assert "top reads outer too" in design_drawing(checked).label


def test_designs_without_from_have_no_arrow(shipped: Find) -> None:
    plan = shipped("c1c2c3c4").plan
    assert joins(plan) == []
    parts = slide_parts(plan, width=888, height=184)
    assert not [part for part in parts if isinstance(part, Line) and part.look == "join"]


def test_blocks_of_a_stage_that_differ_are_named_with_their_own_marks(shipped: Find) -> None:
    c1 = next(slot for slot in slots(shipped("c1c2c3c4").plan, details=True) if slot.title == "c1")
    assert c1.lines == ("16×16", "conv 3×3", "stride 2", "2 × conv 3×3", "residual")


def test_the_slide_is_told_in_words(shipped: Find) -> None:
    label = design_drawing(shipped("c1c2c3c4")).label
    assert label.startswith("c1c2c3c4: 161 210 parameters, ")
    assert "; c1: conv 3×3, stride 2; 2 × conv 3×3, residual, 48 channels; " in label
