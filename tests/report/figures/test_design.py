"""A design as a slide: no text over another, totals, limits, fields and costs."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from itertools import combinations
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text as Drawn

from archsearch.analysis.check import Checked
from archsearch.errors import SpecError, StorageError
from archsearch.report.designs import stage_costs
from archsearch.report.figures.design import (
    DPI,
    SLIDE_HEIGHT,
    SLIDE_WIDTH,
    cost_parts,
    design_drawing,
    draw_design,
    field_parts,
    limit_parts,
    limits_summary,
    totals,
)
from archsearch.report.figures.drawing import Look, Part, Rect, Text
from archsearch.report.figures.render import render

Find = Callable[[str], Checked]
Check = Callable[..., Checked]
SLIDES = ("c1c2c3c4", "assignment", "mobilenet_v2", "vgg16", "wrn28_2_blueprint", "nas_bench_macro")


def texts(parts: list[Part] | tuple[Part, ...]) -> list[str]:
    return [part.text for part in parts if isinstance(part, Text) and part.text]


def collisions(figure: Figure) -> Iterator[tuple[str, str]]:
    """Yield the pairs of texts that lie over each other, and the texts that leave the figure."""
    drawn = [text for text in figure.axes[0].texts if isinstance(text, Drawn) and text.get_text().strip()]
    extents = [(text.get_text(), text.get_window_extent()) for text in drawn]
    for (one, first), (other, second) in combinations(extents, 2):
        across = min(first.x1, second.x1) - max(first.x0, second.x0)
        up = min(first.y1, second.y1) - max(first.y0, second.y0)
        if across > 1 and up > 1.5:  # of a hundred to the inch: descenders may touch
            yield one, other
    right, top = figure.get_size_inches() * figure.dpi
    for text, extent in extents:
        if extent.x0 < 0 or extent.y0 < 0 or extent.x1 > right or extent.y1 > top:
            yield text, "outside"


@pytest.mark.parametrize("name", SLIDES)
def test_no_text_lies_over_another(shipped: Find, name: str) -> None:
    assert not list(collisions(render(design_drawing(shipped(name)), inch=1 / 72)))


def test_an_unusual_design_is_drawn_too(designed: Check) -> None:
    kinds = ("normal", "depthwise", "squeeze_excite", "bottleneck")
    stages = {f"a_stage_with_a_name_{i}": {"block": kinds[i % 4], "width": 16} for i in range(17)}
    limits = {
        **{name: {"below": 10} for name in ("parameters", "macs", "activations", "peak_bytes")},
        "receptive_field": {"above": 1, "at_most": 9999},
        "contains": ["depthwise", "pointwise", "grouped", "dilated", "strided", "dropout", "gate"],
        "forbids": ["max_pool", "residual"],
        "downsampling": {"layers": 3},
        "head": "none",
    }
    design = {"name": "$x$ " + "n" * 120, "input": [1, 40, 24], "stages": stages, "head": {"classes": 3}}
    drawing = design_drawing(designed(design, limits))
    assert not list(collisions(render(drawing, inch=1 / 72)))
    assert any(text.startswith("$x$ nnn") for text in texts(drawing.parts))


def test_the_slide_has_totals_limits_and_shares(shipped: Find) -> None:
    checked = shipped("vgg16")
    found = texts(design_drawing(checked).parts)
    line = next(text for text in found if "parameters" in text and "MACs" in text and "px" in text)
    assert line.split() == totals(checked).split()
    assert "14 724 042 parameters" in line
    assert "receptive field 196 px" in line
    assert "✗ breaks 5 of 6 limits" in found  # with the head: its last 2x2 maximum is that of the whole map
    assert "14 724 042, must be below 200 000" in found
    assert {"parameters: broken", "receptive field", "c5", "196 px", "32×32", "512 ch"} <= set(found)
    assert "7.08 M · 48 %" in found


def test_the_limits_are_summed_up(shipped: Find, designed: Check) -> None:
    assert limits_summary(shipped("assignment"))[0] == "✓ keeps all 6 limits"
    bare = designed({"stages": {"a": {"block": "normal", "width": 8}}, "head": {"classes": 3}})
    assert limits_summary(bare)[0] == ""
    assert "no limits are set" in texts(design_drawing(bare).parts)


def outlines(parts: list[Part]) -> list[Rect]:
    return [part for part in parts if isinstance(part, Rect) and isinstance(part.look, Look) and part.look.stroke]


def test_fields_are_to_scale_over_the_image_and_beyond_its_border(shipped: Find) -> None:
    parts = field_parts(shipped("all_dilated"), 295, 180)
    image, *fields = outlines(parts)
    pixel = image.width / 32
    assert [round(field.width / pixel) for field in fields] == [3, 7, 15, 31, 63]
    assert fields[-1].x < image.x, "63 px reach beyond the border"
    assert (fields[0].x - image.x) / pixel == pytest.approx(15)
    assert fields[-1].x >= 0
    assert fields[-1].x + fields[-1].width <= 180
    assert [text for text in texts(parts) if "px" in text][:-1] == [f"{size} px" for size in (63, 31, 15, 7, 3)]


def test_an_image_that_is_not_square(designed: Check) -> None:
    stages = {"a": {"block": "normal", "width": 8}}
    parts = field_parts(designed({"input": [3, 24, 40], "stages": stages, "head": {"classes": 3}}), 295, 180)
    image = outlines(parts)[0]
    assert image.width / image.height == pytest.approx(40 / 24)
    assert any("40×24 px image" in text for text in texts(parts))


def test_fields_beyond_four_images_are_dashed_and_marked_as_out_of_scale(shipped: Find) -> None:
    parts = field_parts(shipped("mobilenet_v2"), 295, 180)
    dashed = [part for part in outlines(parts) if isinstance(part.look, Look) and part.look.dash]
    assert len(dashed) == 4, "171, 267, 427 and 491 px"
    assert "dashed: not to scale" in texts(parts)


def test_bars_are_as_long_as_the_costs(shipped: Find) -> None:
    design = shipped("c1c2c3c4").footprint
    parts = cost_parts(design, 299, 194)
    bars = [part.width for part in parts if isinstance(part, Rect)]
    costs = stage_costs(design).values()
    for lengths, values in (
        (bars[: len(costs)], [parameters for parameters, _ in costs]),
        (bars[len(costs) :], [macs for _, macs in costs]),
    ):
        assert [length / max(lengths) for length in lengths] == pytest.approx([value / max(values) for value in values])
    assert any(text.endswith("<1 %") for text in texts(parts))


def test_limits_have_found_and_bound_kept_or_broken(shipped: Find) -> None:
    found = texts(limit_parts(shipped("mobilenet_v2"), 240, 194))
    assert found[:3] == ["✓", "receptive field", "491 px, must be above 44"]
    assert found[3:6] == ["✗", "parameters: broken", "2 236 682, must be below 200 000"]
    assert "lacks dilated; must have depthwise_separable, dilated" in found
    assert found.count("✗") == 2
    assert found.count("✓") == 4


def test_a_png_of_a_slide_is_written(shipped: Find, tmp_path: Path) -> None:
    file = tmp_path / "new" / "net.png"
    draw_design(shipped("c1c2c3c4"), file)
    content = file.read_bytes()
    width, height = struct.unpack(">II", content[16:24])
    assert abs(width - SLIDE_WIDTH * DPI / 72) <= 1
    assert abs(height - SLIDE_HEIGHT * DPI / 72) <= 1
    assert len(set(content)) == 256, "not an empty sheet"


def test_a_file_that_cannot_be_written_is_named(shipped: Find, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"plot: 'net\.gif' has the ending '\.gif'"):
        draw_design(shipped("c1c2c3c4"), Path("net.gif"))
    assert not Path("net.gif").exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be written"):
        draw_design(shipped("c1c2c3c4"), tmp_path / "file" / "net.svg")
