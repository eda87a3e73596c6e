from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from study_fakes import HOSTILE, make_trial
from trial_fakes import bare, trained

from archsearch.analysis.check import Checked
from archsearch.analysis.measure import Footprint
from archsearch.report.designs import (
    blocks_of,
    blocks_text,
    boxes,
    design_mapping,
    read_design,
    stage_costs,
    stage_fields,
    stage_lines,
)
from archsearch.runs.record import design_yaml

Find = Callable[[str], Checked]
Check = Callable[..., Checked]


def test_the_assignment_is_a_box_for_each_of_its_blocks(shipped: Find) -> None:
    found = boxes(shipped("assignment").plan)
    assert [(box.stage, box.kind, box.shape) for box in found[:2]] == [
        ("conv1a", "convolution", (128, 32, 32)),
        ("conv1b", "convolution", (64, 32, 32)),
    ]
    assert [box.label for box in found if box.stage == "conv2b"] == ["depthwise 3×3"] * 2
    assert found[3].marks == ("stride 2", "dilation 2")
    assert found[3].is_dilated
    assert not found[4].is_dilated
    assert [(box.stage, box.kind, box.label) for box in found[-2:]] == [
        ("head", "convolution", "conv 3×3"),
        ("head", "pool", "mean pool 3"),
    ]


@pytest.mark.parametrize(
    ("name", "count"), [("mobilenet_v2", 1 + 17 + 3), ("vgg16", 13 + 3), ("wrn28_2_blueprint", 1 + 12 + 2)]
)
def test_every_block_and_every_layer_of_the_head_has_its_box(shipped: Find, name: str, count: int) -> None:
    assert len(boxes(shipped(name).plan)) == count


def test_the_kind_of_a_block_follows_from_its_layers(designed: Check) -> None:
    stages = {
        "a": {"block": "squeeze_excite", "width": 8},
        "b": {"block": "bottleneck", "width": 8, "stride": 2},
        "c": {"block": "max_pooled", "width": 8},
        "d": {"block": "identity", "width": 8},
        "e": {"block": "normal", "width": 16, "kernel": 1},
        "f": {"block": {"layers": [{"conv": {"out": 16, "kernel": 3, "groups": 4}}]}, "width": 16},
    }
    checked = designed({"stages": stages, "head": {"classes": 3}})
    found = {box.stage: box for box in boxes(checked.plan)}
    assert "gate" in found["a"].marks
    assert (found["b"].kind, found["b"].label) == ("convolution", "conv 3×3")
    assert {"stride 2", "residual"} <= set(found["b"].marks)
    assert found["c"].marks == ("max pool 2",)
    assert (found["d"].kind, found["d"].shape) == ("identity", found["c"].shape)
    assert (found["e"].kind, found["f"].kind) == ("pointwise", "grouped")
    assert [(stage, macs) for stage, (_, macs) in stage_costs(checked.footprint).items()][3] == ("d", 0)
    assert (found["head"].kind, found["head"].shape) == ("linear", (3, 1, 1))


@pytest.mark.parametrize("name", ["c1c2c3c4", "assignment", "vgg16", "nas_bench_macro"])
def test_costs_add_up_to_the_totals(shipped: Find, name: str) -> None:
    checked = shipped(name)
    costs = stage_costs(checked.footprint)
    assert sum(parameters for parameters, _ in costs.values()) == checked.footprint.parameters
    assert sum(macs for _, macs in costs.values()) == checked.footprint.macs
    stages = [stage.name for stage in checked.design.stages]
    assert [stage for stage in costs if stage not in {"stem", "head"}] == stages


def test_fields_grow_to_the_footprints_and_the_head_counts_where_it_adds(shipped: Find) -> None:
    found = stage_fields(shipped("assignment").footprint)
    assert [field.size for field in found] == [5, 7, 9, 13, 21, 29, 45, 53, 69, 85, 101]
    assert found[-1].stages == ("head",)
    found = stage_fields(shipped("mobilenet_v2").footprint)
    assert found[-1].stages == ("c7",)
    assert found[-1].size == 491


def test_fields_are_those_of_the_unit_in_the_middle(shipped: Find) -> None:
    checked = shipped("all_dilated")
    first, *_, last = stage_fields(checked.footprint)
    assert first.rows == first.columns == (15, 18), "unit 16 of a 3x3 convolution"
    assert last.rows == (16 - 31, 16 + 32)
    assert all(field.rows[1] - field.rows[0] == field.size for field in (first, last))


def test_equal_fields_are_merged(designed: Check) -> None:
    pointwise = {"block": "normal", "width": 8, "kernel": 1}
    checked = designed({"stages": {"a": {"block": "normal", "width": 8}, "b": pointwise}, "head": {"classes": 3}})
    assert [field.stages for field in stage_fields(checked.footprint)] == [("a", "b")]


def test_blocks_without_a_name_are_recognised() -> None:
    expected = {"c1": "inverted", "c2": "inverted", "c3": "inverted", "c4": "depthwise"}
    assert blocks_of(trained(0, 0.5, "inverted")) == expected


def test_so_are_those_of_older_designs_that_lack_an_option() -> None:
    conv = "{out: out, kernel: kernel, stride: stride, dilation: dilation}"
    layers = f"[{{conv: {conv}}}, {{norm: norm}}, {{act: act}}, {{dropout: dropout}}]"
    options = "{kernel: 3, stride: 1, dilation: 1, act: relu, norm: batch, dropout: 0.0, shortcut: none}"
    block = f"{{options: {options}, layers: {layers}, residual: shortcut, name: ''}}"
    assert blocks_of(bare(0, design=f"stages: {{a: {{block: {block}}}}}")) == {"a": "normal"}


@pytest.mark.parametrize(
    ("stages", "expected"),
    [
        ("{a: {block: mine}}", {"a": "mine"}),
        ("{a: {block: {layers: []}}}", {"a": "unnamed"}),
        ("{a: {block: {name: mine, layers: []}}, 2: 3}", {"a": "mine", "2": "?"}),
        ("[1]", {}),
    ],
)
def test_designs_of_any_making(stages: str, expected: dict[str, str]) -> None:
    assert blocks_of(bare(0, design=f"stages: {stages}")) == expected


@pytest.mark.parametrize("design", [None, 3, "{", "- a", "&a [*a", "1990-99-99", "!!python/object:os.system {}"])
def test_anything_else_has_no_blocks(design: object) -> None:
    assert design_mapping(bare(0, design=design)) is None
    assert blocks_of(bare(0, design=design)) == {}


def test_neighbours_that_share_a_block_are_listed_together() -> None:
    assert blocks_text({"c1": "x", "c2": "x"}) == "x"
    assert blocks_text({"c1": "x", "c2": "x", "c3": "y", "c4": "x"}) == "c1-c2 x, c3 y, c4 x"


def trial_design(checked: Checked) -> Footprint:
    found = read_design(make_trial(0, attrs={"design": design_yaml(checked)}))
    assert found is not None
    return found


def test_a_design_is_read_from_the_trial_or_from_its_folder(shipped: Callable[[str], Checked], tmp_path: Path) -> None:
    checked = shipped("c1c2c3c4")
    (tmp_path / "design.yaml").write_text(design_yaml(checked), encoding="utf-8")
    found = read_design(make_trial(0, attrs={"run_dir": str(tmp_path)}))
    assert found is not None
    assert found == trial_design(checked)
    assert found.parameters == checked.footprint.parameters


@pytest.mark.parametrize(
    "design", [None, 3, "", "a: [", "- 1", HOSTILE, "stem: {block: normal, out: 32}", "x" * 500_000]
)
def test_anything_else_is_no_design(design: object) -> None:
    assert read_design(make_trial(0, attrs={"design": design, "run_dir": "nowhere\0"})) is None


@pytest.mark.parametrize("name", ["c1c2c3c4", "assignment", "resnet20", "vgg16", "mobilenet_v2", "nas_bench_macro"])
def test_the_lines_of_a_design_add_up_to_its_footprint(shipped: Callable[[str], Checked], name: str) -> None:
    found = trial_design(shipped(name))
    lines = stage_lines(found)
    assert sum(line.parameters for line in lines) == found.parameters
    assert sum(line.macs for line in lines) == found.macs
    assert lines[-1].receptive_field == found.receptive_field
    assert lines[-1].shape == found.output_shape
