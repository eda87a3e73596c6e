"""Totals by blocks are those of the whole plan."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from archsearch.analysis.footprint import measure
from archsearch.analysis.totals import Widths, field_of, footprint_of, joined
from archsearch.cli.compose import Composer
from archsearch.design.block import decode_block
from archsearch.design.lower import blocks_of, lower, stages_of
from archsearch.design.lower_block import with_options
from archsearch.design.spec import DesignSpec, decode_design
from archsearch.errors import SpecError

ARCHES = ["c1c2c3c4", "resnet20", "mobilenet_v2", "wrn28_2_blueprint", "assignment", "all_dilated", "vgg16"]


@pytest.mark.parametrize("symmetry", ["none", "flip"])
@pytest.mark.parametrize("arch", ARCHES)
def test_they_are_those_of_the_plan(arch: str, symmetry: str) -> None:
    composer = Composer([f"arch={arch}", "data=shapes", f"arch.symmetry={symmetry}"])
    whole = decode_design(composer.compose({})["arch"], composer.blocks)
    for width in (0.3, 1.0, 1.7):
        design = whole.at_width(width)
        found, footprint = Widths(whole).totals(width), measure(lower(design))
        assert footprint_of(design, lower(design)) == footprint
        for name in ("parameters", "macs", "activations", "peak_bytes"):
            assert getattr(found, name) == getattr(footprint, name), (width, name)


def test_what_does_not_fit_is_told_with_the_path_of_the_layer(make_design: Callable[..., DesignSpec]) -> None:
    block = {"layers": [{"conv": {"kernel": 9, "padding": "valid"}}]}
    design = make_design({"a": {"block": "normal", "width": 8}, "b": {"block": block, "width": 8, "repeats": 5}})
    with pytest.raises(SpecError, match=r"^stages\.b\.3\.conv: a kernel of 9 is larger") as whole:
        measure(lower(design.at_width(1.0)))
    with pytest.raises(SpecError) as by_blocks:
        Widths(design).totals(1.0)
    assert str(by_blocks.value) == str(whole.value)


def test_a_convolution_behind_a_gate_or_a_dense_layer_counts_as_in_the_whole_plan(
    make_design: Callable[..., DesignSpec],
) -> None:
    pooled = {"layers": [{"conv": {}}, {"pool": "global_average"}, {"conv": {"kernel": 1}}]}
    stages = {
        "a": {"block": "squeeze_excite", "width": 8, "repeats": 2, "dilation": 2},
        "b": {"block": pooled, "width": 8},
        "c": {"block": {"layers": [{"conv": {"kernel": 1}}]}, "width": 16},
    }
    for some in (stages, {"a": stages["a"]}, {"a": stages["a"], "b": stages["b"]}):
        plan = lower(design := make_design(some))
        assert footprint_of(design, plan) == measure(plan)


@pytest.mark.parametrize("arch", ARCHES)
def test_fields_joined_are_the_receptive_field(arch: str) -> None:
    composer = Composer([f"arch={arch}", "data=shapes"])
    design = decode_design(composer.compose({})["arch"], composer.blocks)
    *_, head = Widths(design).parts(Widths(design).channels(1.0))
    blocks = [block for stage in stages_of(design) for block in blocks_of(stage)]
    field = joined([*map(field_of, blocks), head])
    assert field is not None
    assert field.at_last_conv is not None
    assert field.at_last_conv.size == measure(lower(design)).receptive_field


def test_a_field_that_depends_on_channels_is_not_known() -> None:
    block = {"layers": [{"conv": {"kernel": "3 if in > 40 else 5"}}]}
    assert field_of(with_options(decode_block(block, "b"))) is None
    assert joined([None]) is None
