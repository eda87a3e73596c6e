from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from study_fakes import HOSTILE, make_trial

from archsearch.analysis.check import Checked
from archsearch.report.design_chart import (
    Drawable,
    blocks_drawing,
    blocks_legend,
    field_drawing,
    patterns,
    read_design,
    stage_lines,
)
from archsearch.runs.record import design_yaml


def drawable(checked: Checked) -> Drawable:
    found = read_design(make_trial(0, attrs={"design": design_yaml(checked)}))
    assert found is not None
    return found


def test_a_design_is_read_from_the_trial_or_from_its_folder(shipped: Callable[[str], Checked], tmp_path: Path) -> None:
    checked = shipped("c1c2c3c4")
    (tmp_path / "design.yaml").write_text(design_yaml(checked), encoding="utf-8")
    found = read_design(make_trial(0, attrs={"run_dir": str(tmp_path)}))
    assert found is not None
    assert found.footprint == drawable(checked).footprint
    assert found.footprint.parameters == checked.footprint.parameters


@pytest.mark.parametrize(
    "design", [None, 3, "", "a: [", "- 1", HOSTILE, "stem: {block: normal, out: 32}", "x" * 500_000]
)
def test_what_is_no_design_is_none(design: object) -> None:
    assert read_design(make_trial(0, attrs={"design": design, "run_dir": "nowhere\0"})) is None


@pytest.mark.parametrize("name", ["c1c2c3c4", "assignment", "resnet20", "vgg16", "mobilenet_v2", "nas_bench_macro"])
def test_the_lines_of_a_design_add_up_to_its_footprint(shipped: Callable[[str], Checked], name: str) -> None:
    found = drawable(shipped(name))
    lines = stage_lines(found)
    assert sum(line.cost.parameters for line in lines) == found.footprint.parameters
    assert sum(line.cost.macs for line in lines) == found.footprint.macs
    assert lines[-1].receptive_field == found.footprint.receptive_field
    assert lines[-1].shape == found.footprint.output_shape


@pytest.mark.parametrize("name", ["c1c2c3c4", "assignment", "vgg16", "mobilenet_v2"])
def test_every_box_lies_inside_and_none_on_another(shipped: Callable[[str], Checked], name: str) -> None:
    drawn = blocks_drawing(drawable(shipped(name)), "Blocks")
    width = float(re.findall(r'viewBox="0 0 ([\d.]+)', drawn)[0])
    places = re.findall(r'</title></rect>|<rect x="([\d.-]+)" y="([\d.-]+)" width="([\d.]+)" height="([\d.]+)"', drawn)
    boxes = [tuple(map(float, place)) for place in places if place[0]]
    assert len(boxes) > 5
    assert boxes[0][0] >= 0
    assert boxes[-1][0] + boxes[-1][2] <= width
    for left, right in pairwise(boxes):
        assert left[0] + left[2] <= right[0] + 0.02


def test_the_field_grows_from_stage_to_stage_beside_what_is_asked(shipped: Callable[[str], Checked]) -> None:
    found = drawable(shipped("c1c2c3c4"))
    drawn = field_drawing(found, 44.0)
    assert f"{found.footprint.receptive_field} px</text>" in drawn
    assert "asked 44 px" in drawn
    assert "image 32 px" in drawn
    assert "asked" not in field_drawing(found)


def test_the_key_has_what_occurs_and_every_texture_is_there(shipped: Callable[[str], Checked]) -> None:
    found = drawable(shipped("assignment"))
    text = "".join(blocks_legend([found]))
    assert "depthwise separable" in text
    assert "dilated" in text
    assert "grouped" not in text
    used = set(re.findall(r"url\(#([\w-]+)\)", text + blocks_drawing(found, "Blocks")))
    assert used <= set(re.findall(r'id="([\w-]+)"', patterns()))
