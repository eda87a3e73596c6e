"""Designs and blocks lowered for the tests of this package."""

from __future__ import annotations

from typing import Any

from archsearch.design.block import decode_block
from archsearch.design.layers import Conv
from archsearch.design.lower import lower_block, with_options
from archsearch.design.plan import Layer, Parallel, Sequence
from archsearch.design.spec import BlockLookup, DesignSpec, decode_design


def design(blocks: BlockLookup, **changes: Any) -> DesignSpec:
    stages = changes.pop("stages", {"c1": {"block": "plain", "width": 8}})
    return decode_design({"name": "a", "stages": stages, "head": {"classes": 10}, **changes}, blocks)


def convs(layers: tuple[Layer, ...]) -> list[Conv]:
    found: list[Conv] = []
    for layer in layers:
        if isinstance(layer, Conv):
            found.append(layer)
        elif isinstance(layer, Sequence):
            found += convs(layer.layers)
        elif isinstance(layer, Parallel):
            found += [conv for branch in layer.branches for conv in convs(branch.layers)]
    return found


def lowered(layers: Any, channels: int = 16, width: int = 32, **options: Any) -> tuple[Layer, ...]:
    raw = {"options": {"stride": 1, "k": 3, "shortcut": "none", "act": "relu"}, "layers": layers}
    raw |= {"residual": options.pop("residual")} if "residual" in options else {}
    return lower_block(with_options(decode_block(raw, "b"), tuple(options.items())), channels, width)
