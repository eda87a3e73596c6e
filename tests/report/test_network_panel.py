from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
from matplotlib.patches import Rectangle

from archsearch.analysis.check import Checked
from archsearch.report.boxes import boxes
from archsearch.report.network_panel import DILATED, LOOKS, draw_network
from archsearch.report.picture import blank, panel, style

Find = Callable[[str], Checked]


def drawn(checked: Checked) -> list[Rectangle]:
    with style():
        axes = panel(blank(13, 4), 0.5, 0.5, 12, 3, "Layers")
        draw_network(axes, checked.plan)
    return [patch for patch in axes.patches if isinstance(patch, Rectangle)]


def test_boxes_are_to_scale(shipped: Find) -> None:
    checked = shipped("assignment")
    image, *found = drawn(checked)
    expected = boxes(checked.plan)
    wide, high = found[0].get_width() / expected[0].shape[0], image.get_height() / 32
    for patch, box in zip(found, expected, strict=False):
        if min(patch.get_width(), patch.get_height()) > 0.05:  # the thinnest are drawn thick enough to be seen
            assert patch.get_width() == pytest.approx(wide * box.shape[0])
            assert patch.get_height() == pytest.approx(high * box.shape[1])
    network = found[: len(expected)]  # the swatches of the legend come after it
    assert all(one.get_x() + one.get_width() < two.get_x() for one, two in pairwise(network))
    assert found[0].get_x() > 0
    assert network[-1].get_x() + network[-1].get_width() <= 12


def test_every_kind_is_told_by_colour_and_by_texture() -> None:
    looks = [LOOKS[kind] for kind in LOOKS]
    assert len({colour for colour, _, _ in looks}) == len(looks)
    assert len({(colour == "#FFFFFF", texture) for colour, texture, _ in looks}) == len(looks)


def test_dilation_adds_its_texture(shipped: Find) -> None:
    checked = shipped("all_dilated")
    found = drawn(checked)[1:]
    for patch, box in zip(found, boxes(checked.plan), strict=False):
        if patch.get_height() > 0.1:
            assert (patch.get_hatch() or "").endswith(DILATED) == box.is_dilated
