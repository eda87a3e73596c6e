"""Totals of a design at one width, from the totals of its blocks, which are remembered.

The same numbers as `measure(lower(design))` gives, for whoever asks for many widths of one design.
Imports the design and the walk; no torch, no numpy.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from archsearch.analysis import count
from archsearch.analysis.extent import ONE_PIXEL
from archsearch.analysis.footprint import measure
from archsearch.analysis.shape import Shape
from archsearch.analysis.walk import Walk
from archsearch.design.block import BlockSpec
from archsearch.design.lower import Options, blocks_of, lower, lower_block, lower_head, scaled
from archsearch.design.plan import Layer
from archsearch.design.spec import DesignSpec
from archsearch.errors import SpecError


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """What grows with the widths of a design; the names and units are those of `Footprint`."""

    parameters: int
    macs: int
    activations: int
    peak_bytes: int


def totals(design: DesignSpec) -> Totals:
    """Return the totals of `design`, whose width is a number; raises `SpecError` as `measure(lower(design))` does."""
    try:
        return _by_blocks(design)
    except SpecError:  # say it with the layer's whole path
        found = measure(lower(design))
        return Totals(
            parameters=found.parameters, macs=found.macs, activations=found.activations, peak_bytes=found.peak_bytes
        )


def _by_blocks(design: DesignSpec) -> Totals:
    parameters = macs = activations = peak = 0
    shape = design.input_shape
    for stage in (*(() if design.stem is None else (design.stem,)), *design.stages):
        width = scaled(stage.width, design)
        for block, options in blocks_of(stage):
            shape, found = _block(block, width, options, shape)
            parameters, macs, activations = parameters + found[0], macs + found[1], activations + found[2]
            peak = max(peak, found[3])
    _, found = _walked(lower_head(design.head, shape[0]), shape)
    return Totals(
        parameters=parameters + found[0],
        macs=macs + found[1],
        activations=activations + found[2],
        peak_bytes=count.BYTES_PER_ACTIVATION * max(peak, found[3]),
    )


@lru_cache(maxsize=2048)
def _block(block: BlockSpec, width: int, options: Options, shape: Shape) -> tuple[Shape, tuple[int, int, int, int]]:
    return _walked(lower_block(block, shape[0], width, options), shape)


def _walked(layers: tuple[Layer, ...], shape: Shape) -> tuple[Shape, tuple[int, int, int, int]]:
    """Return the shape behind `layers` and their parameters, MACs, activations and peak, in elements.

    Nothing waits beside a block of a stage, so the peak of a design is the largest of its blocks'.
    """
    walk = Walk(rows=None)
    after, _ = walk.through(layers, "", shape, ONE_PIXEL)
    return after, (walk.parameters, walk.macs, walk.activations, walk.peak)
