"""The drawing of a network: boxes to scale, on a slide and on a page."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise

import pytest

from archsearch.analysis.check import Checked
from archsearch.report.designs import boxes, field_sizes
from archsearch.report.figures.charts import BarChart, layout
from archsearch.report.figures.design import KINDS, field_chart, network_legend, page_drawing, slide_parts
from archsearch.report.figures.drawing import LOOKS, TEXTURES, Mark, Part, Rect, Text
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
