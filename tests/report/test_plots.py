from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from itertools import combinations
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from archsearch.analysis.check import Checked
from archsearch.errors import SpecError, StorageError
from archsearch.report.picture import style
from archsearch.report.plots import DPI, HEIGHT, WIDTH, design_figure, draw_design, totals, verdict

Find = Callable[[str], Checked]
Check = Callable[..., Checked]
SLIDES = ("c1c2c3c4", "assignment", "mobilenet_v2", "vgg16", "wrn28_2_blueprint", "nas_bench_macro")


def texts(figure: Figure) -> list[Text]:
    return [text for text in figure.findobj(Text) if isinstance(text, Text) and text.get_text().strip()]


def collisions(figure: Figure) -> Iterator[tuple[str, str]]:
    """Yield the pairs of texts that lie over each other, and the texts that leave the figure."""
    shown = [text for text in texts(figure) if text.get_visible() and (text.axes is None or not is_of_an_axis(text))]
    extents = [(text.get_text(), text.get_window_extent()) for text in shown]
    for (one, first), (other, second) in combinations(extents, 2):
        across = min(first.x1, second.x1) - max(first.x0, second.x0)
        up = min(first.y1, second.y1) - max(first.y0, second.y0)
        if across > 1 and up > 1.5:  # of a hundred to the inch: descenders may touch
            yield one, other
    for text, extent in extents:
        if extent.x0 < 0 or extent.y0 < 0 or extent.x1 > 100 * WIDTH or extent.y1 > 100 * HEIGHT:
            yield text, "outside"


def is_of_an_axis(text: Text) -> bool:
    """Whether it is a tick label: the axes of panels are off, and their ticks are not drawn."""
    assert text.axes is not None
    return text not in text.axes.texts


@pytest.mark.parametrize("name", SLIDES)
def test_no_text_lies_over_another(shipped: Find, name: str) -> None:
    with style():
        figure = design_figure(shipped(name))
        assert not list(collisions(figure))
    assert all(len(axes.patches) >= 2 for axes in figure.axes[:3])


def test_an_unusual_design_is_drawn_too(designed: Check) -> None:
    kinds = ("normal", "depthwise", "squeeze_excite", "bottleneck")
    stages = {f"a_stage_with_a_name_{i}": {"block": kinds[i % 4], "width": 16} for i in range(17)}
    limits = {
        **{name: {"below": 10} for name in ("parameters", "macs", "activations", "peak_bytes")},
        "receptive_field": {"above": 1, "at_most": 9999},
        "contains": ["depthwise", "pointwise", "grouped", "dilated", "strided", "residual", "gate"],
        "forbids": ["max_pool", "residual"],
        "downsampling": {"layers": 3},
        "head": "none",
    }
    design = {"name": "$x$ " + "n" * 120, "input": [1, 40, 24], "stages": stages, "head": {"classes": 3}}
    with style():
        figure = design_figure(designed(design, limits))
        assert not list(collisions(figure))
    assert any(text.get_text().startswith("$x$ nnn") for text in texts(figure))


def test_the_picture_says_totals_limits_and_shares(shipped: Find) -> None:
    checked = shipped("vgg16")
    with style():
        said = [text.get_text() for text in texts(design_figure(checked))]
    line = next(text for text in said if "parameters" in text and "MACs" in text and "px" in text)
    assert line.split() == totals(checked).split()
    assert "14 724 042 parameters" in line
    assert "receptive field 196 px" in line
    assert "✗ breaks 4 of 6 limits" in said
    assert "14 724 042, must be below 200 000" in said
    assert {"parameters: broken", "receptive field", "c5", "196 px", "32×32", "512 ch"} <= set(said)
    assert "7.08 M · 48 %" in said


def test_the_verdict(shipped: Find, designed: Check) -> None:
    assert verdict(shipped("assignment"))[0] == "✓ keeps all 6 limits"
    bare = designed({"stages": {"a": {"block": "normal", "width": 8}}, "head": {"classes": 3}})
    assert verdict(bare)[0] == ""
    with style():
        assert "no limits are set" in [text.get_text() for text in texts(design_figure(bare))]


def test_fields_beyond_four_images_are_dashed_and_said_to_be_out_of_scale(shipped: Find) -> None:
    with style():
        figure = design_figure(shipped("mobilenet_v2"))
    fields = next(axes for axes in figure.axes if str(axes.get_label()).startswith("Receptive field"))
    dashed = [patch for patch in fields.patches if patch.get_linestyle() == "--"]
    assert len(dashed) == 4, "171, 267, 427 and 491 px"
    assert "dashed: not to scale" in [text.get_text() for text in fields.texts]


def test_a_png_of_a_slide_is_written(shipped: Find, tmp_path: Path) -> None:
    file = tmp_path / "new" / "net.png"
    draw_design(shipped("c1c2c3c4"), file)
    content = file.read_bytes()
    width, height = struct.unpack(">II", content[16:24])
    assert abs(width - WIDTH * DPI) <= 1
    assert abs(height - HEIGHT * DPI) <= 1
    assert len(set(content)) == 256, "not an empty sheet"


def test_what_cannot_be_written_is_refused(shipped: Find, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"plot: 'net\.gif' has the ending '\.gif'"):
        draw_design(shipped("c1c2c3c4"), Path("net.gif"))
    assert not Path("net.gif").exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be written"):
        draw_design(shipped("c1c2c3c4"), tmp_path / "file" / "net.svg")
