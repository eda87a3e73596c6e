"""Totals by blocks are those of the whole plan."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from archsearch.analysis.footprint import measure
from archsearch.analysis.totals import totals
from archsearch.composition import Composer
from archsearch.design.lower import lower
from archsearch.design.spec import DesignSpec, decode_design
from archsearch.errors import SpecError

ARCHES = ["c1c2c3c4", "resnet20", "mobilenet_v2", "wrn28_2_blueprint", "assignment", "all_dilated", "vgg16"]


@pytest.mark.parametrize("arch", ARCHES)
def test_they_are_those_of_the_plan(arch: str) -> None:
    composer = Composer([f"arch={arch}", "data=shapes"])
    whole = decode_design(composer.compose({})["arch"], composer.blocks)
    for width in (0.3, 1.0, 1.7):
        design = whole.at_width(width)
        found, footprint = totals(design), measure(lower(design))
        for name in ("parameters", "macs", "activations", "peak_bytes"):
            assert getattr(found, name) == getattr(footprint, name), (width, name)


def test_what_does_not_fit_is_told_with_the_path_of_the_layer(make_design: Callable[..., DesignSpec]) -> None:
    block = {"layers": [{"conv": {"kernel": 9, "padding": "valid"}}]}
    design = make_design({"a": {"block": "normal", "width": 8}, "b": {"block": block, "width": 8, "repeats": 5}})
    with pytest.raises(SpecError, match=r"^stages\.b\.3\.conv: a kernel of 9 is larger") as whole:
        measure(lower(design.at_width(1.0)))
    with pytest.raises(SpecError) as by_blocks:
        totals(design.at_width(1.0))
    assert str(by_blocks.value) == str(whole.value)
