"""Flip symmetry in plans: which layers are tied how, and what cannot be."""

from __future__ import annotations

from typing import Any

import pytest

from archsearch.design.canonical import design_id
from archsearch.design.export import self_contained
from archsearch.design.lower import lower
from archsearch.design.plan import Conv, Layer, Linear, Norm, Parallel, Plan, Sequence
from archsearch.design.spec import BlockLookup, DesignSpec, decode_design
from archsearch.errors import SpecError

BLOCK = {"layers": [{"conv": {"out": "out"}}, {"norm": "batch"}, {"act": "relu"}], "residual": "if_same_shape"}


def design(blocks: BlockLookup, **changes: Any) -> DesignSpec:
    stages = changes.pop("stages", {"c1": {"block": BLOCK, "width": 8, "repeats": 2}})
    return decode_design(
        {"name": "a", "stages": stages, "head": {"classes": 10}, "symmetry": "flip", **changes}, blocks
    )


def symmetries(layers: tuple[Layer, ...]) -> list[str]:
    found: list[str] = []
    for layer in layers:
        if isinstance(layer, Conv | Norm | Linear):
            found.append(layer.symmetry)
        elif isinstance(layer, Sequence):
            found += symmetries(layer.layers)
        elif isinstance(layer, Parallel):
            found += [
                layer.combine,
                layer.symmetry,
                *[one for branch in layer.branches for one in symmetries((branch,))],
            ]
    return found


def of(plan: Plan) -> list[str]:
    return symmetries(plan.layers)


def test_the_first_convolution_lifts_and_the_classifier_projects(blocks: BlockLookup) -> None:
    assert of(lower(design(blocks))) == ["lift", "pairs", "add", "none", "pairs", "pairs", "project"]
    assert set(of(lower(design(blocks, symmetry="none")))) == {"none", "add"}


def test_a_norm_before_any_convolution_is_plain(blocks: BlockLookup) -> None:
    block = {"layers": [{"norm": "batch"}, {"conv": {"out": "out"}}]}
    assert of(lower(design(blocks, stages={"c1": {"block": block, "width": 8}}))) == ["none", "lift", "project"]


def test_a_head_of_convolutions_projects_by_its_last(blocks: BlockLookup) -> None:
    layers = [{"conv": {"out": 8, "kernel": 1}}, {"norm": "batch"}, {"conv": {"out": 10, "kernel": 1}, "name": "last"}]
    head = {"classes": 10, "linear": False, "layers": layers}
    assert of(lower(design(blocks, head=head)))[-3:] == ["pairs", "pairs", "project"]


@pytest.mark.parametrize(
    "layers", [[], [{"conv": {"out": 10, "kernel": 1}}, {"residual": {"layers": [{"conv": {"out": "in"}}]}}]]
)
def test_a_head_without_a_last_layer_of_its_own_is_refused(blocks: BlockLookup, layers: list[Any]) -> None:
    stages = {"c1": {"block": BLOCK, "width": 10}}
    with pytest.raises(SpecError, match=r"arch\.head: .*pairs of channels.*head\.linear=true"):
        lower(design(blocks, stages=stages, head={"classes": 10, "linear": False, "layers": layers}))


def test_a_head_that_sees_the_image_lifts_and_projects_by_itself(blocks: BlockLookup) -> None:
    stages = {"c1": {"block": {"layers": [{"act": "relu"}]}, "width": 8}}
    layers = [{"conv": {"out": 8}}, {"norm": "batch"}]
    assert of(lower(design(blocks, stages=stages, head={"classes": 10, "layers": layers}))) == [
        "lift",
        "pairs",
        "project",
    ]
    assert of(lower(design(blocks, stages=stages))) == ["none"]
    assert of(lower(design(blocks, stages=stages, head={"classes": 3, "linear": False}))) == []


def test_a_concatenation_of_pairs_is_told_to_keep_them(blocks: BlockLookup) -> None:
    branches = {"a": [{"conv": {"out": "out // 2"}}], "b": [{"conv": {"out": "out // 2"}}]}
    block = {"layers": [{"parallel": {"combine": "concat", "branches": branches}}]}
    stages = {"c1": {"block": block, "width": 8, "repeats": 2}}
    concat = ["concat", "pairs"]
    assert of(lower(design(blocks, stages=stages))) == [*concat, "lift", "lift", *concat, "pairs", "pairs", "project"]


def test_a_branch_that_passes_the_image_on_is_refused_with_its_stage(blocks: BlockLookup) -> None:
    block = {"layers": [{"conv": {"out": "in"}}], "residual": "if_same_shape"}
    with pytest.raises(SpecError, match=r"stages\.c1.*'shortcut' passes the image on.*stem"):
        lower(design(blocks, stages={"c1": {"block": block, "width": 8}}))


def test_widths_are_multiplied_to_whole_pairs(blocks: BlockLookup) -> None:
    stages = {"c1": {"block": BLOCK, "width": 10}}
    for divisor, expected in ((1, 6), (3, 6), (4, 4)):
        plan = lower(design(blocks, stages=stages, width=0.5, divisor=divisor))
        conv = plan.layers[0].layers[0].layers[0].layers[0]  # type: ignore[union-attr]
        assert isinstance(conv, Conv)
        assert conv.out_channels == expected, divisor


def test_it_is_another_network_and_is_written_with_its_design(blocks: BlockLookup) -> None:
    plain, tied = design(blocks, symmetry="none"), design(blocks)
    assert design_id(lower(plain)) != design_id(lower(tied))
    assert "symmetry" not in self_contained(plain)
    again = decode_design(self_contained(tied), blocks)
    assert lower(again) == lower(tied)


def test_another_word_is_refused(blocks: BlockLookup) -> None:
    with pytest.raises(SpecError, match=r"arch\.symmetry.*'mirror'"):
        design(blocks, symmetry="mirror")
