"""Totals and footprints of a design by its blocks, whose own are remembered.

The same numbers as `measure(lower(design))` gives, for whoever asks for many widths of one design, or for many designs
of the same blocks. Imports the design and the walk; no torch, no numpy.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from archsearch.analysis import count
from archsearch.analysis.extent import ONE_PIXEL, Extent
from archsearch.analysis.footprint import Footprint, measure
from archsearch.analysis.shape import Shape
from archsearch.analysis.walk import Walk
from archsearch.design.lower import blocks_of, lower, lower_head, multiple_of, stages_of
from archsearch.design.lower_block import FixedBlock, layers_of
from archsearch.design.plan import Layer, Plan
from archsearch.design.spec import DesignSpec, HeadSpec
from archsearch.design.symmetry import MapKind, first_map, tied
from archsearch.errors import SpecError

NO_CONV = Extent(start=0, size=1, jump=1)
"""Where a walk has met no convolution; another value than `ONE_PIXEL`, by identity."""

LARGE = (4096, 4096)
"""A map that every window fits into."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """What grows with the widths of a design; the names and units are those of `Footprint`."""

    parameters: int
    macs: int
    activations: int
    peak_bytes: int


class Part(NamedTuple):
    """What a block, or the head, does to a map and costs; extents as if the block's input were the image."""

    shape: Shape
    parameters: int
    macs: int
    activations: int
    peak: int  # elements
    end: Extent
    at_last_conv: Extent | None  # None without a convolution
    is_global: bool  # later convolutions do not count: a global pool or a dense layer is behind them
    kind: MapKind  # of the map behind it


class Field(NamedTuple):
    """Of a `Part`, or of several, what a receptive field comes from."""

    end: Extent
    at_last_conv: Extent | None
    is_global: bool


class Widths:
    """One design at many widths; its blocks are looked up once."""

    def __init__(self, design: DesignSpec) -> None:
        """Take the design's stages and blocks; its own width does not count."""
        self._design = design
        self._stages = [(stage.width, blocks_of(stage)) for stage in stages_of(design)]

    def channels(self, width: float) -> tuple[int, ...]:
        """Return the channels that the stem's and the stages' widths come to under the multiplier `width`."""
        if width == 1:
            return tuple([own for own, _ in self._stages])
        step = self._design.step
        return tuple([multiple_of(own * width, step) for own, _ in self._stages])

    def totals(self, width: float) -> Totals:
        """Return the totals under the multiplier `width`; raises `SpecError` as `measure(lower(design))` does."""
        try:
            parts = list(self.parts(self.channels(width)))
        except SpecError:  # say it with the layer's whole path
            found = measure(lower(self._design.at_width(width)))
            return Totals(
                parameters=found.parameters, macs=found.macs, activations=found.activations, peak_bytes=found.peak_bytes
            )
        parameters, macs, activations, peak = _sums(parts)
        peak_bytes = count.BYTES_PER_ACTIVATION * peak
        return Totals(parameters=parameters, macs=macs, activations=activations, peak_bytes=peak_bytes)

    def parts(self, channels: tuple[int, ...]) -> Iterator[Part]:
        """Yield the parts from the input to the head."""
        shape, kind = self._design.input_shape, first_map(self._design.symmetry)
        for width, (_, blocks) in zip(channels, self._stages, strict=True):
            for block in blocks:
                part = _part(block, width, shape, kind)
                shape, kind = part.shape, part.kind
                yield part
        yield _head_part(self._design.head, shape, kind)


def footprint_of(design: DesignSpec, plan: Plan) -> Footprint:
    """Return `measure(plan)`, where `plan` is `lower(design)`, by way of the design's blocks."""
    assert design.width != "fit", "a design with a plan has a width"
    widths = Widths(design)
    try:
        parts = list(widths.parts(widths.channels(design.width)))
    except SpecError:  # say it with the layer's whole path
        return measure(plan)
    field = joined(parts)
    if field is None:
        return measure(plan)
    at_last_conv = field.at_last_conv or ONE_PIXEL
    parameters, macs, activations, peak = _sums(parts)
    channels, height, width = design.input_shape
    return Footprint(
        plan=plan,
        parameters=parameters,
        macs=macs,
        activations=activations,
        activation_bytes=count.BYTES_PER_ACTIVATION * (channels * height * width + activations),
        peak_bytes=count.BYTES_PER_ACTIVATION * peak,
        receptive_field=at_last_conv.size,
        jump=at_last_conv.jump,
        start=at_last_conv.start,
        output_shape=parts[-1].shape,
    )


def joined(parts: Iterable[Part | Field | None]) -> Field | None:
    """Return the field of `parts` one after another; None where one is None, or a walk of the whole has to tell it."""
    start, size, jump = ONE_PIXEL  # numbers, not extents: thousands of designs a second come through here
    last: Extent | None = None
    is_global = False
    for part in parts:
        if part is None or is_global:
            return None
        if part.at_last_conv is not None:
            inner, wide, step = part.at_last_conv
            last = Extent(start + inner * jump, size + (wide - 1) * jump, jump * step)
        inner, wide, step = part.end
        start, size, jump = start + inner * jump, size + (wide - 1) * jump, jump * step
        is_global = part.is_global
    return Field(end=Extent(start, size, jump), at_last_conv=last, is_global=is_global)


def _sums(parts: Iterable[Part]) -> tuple[int, int, int, int]:
    """Return parameters, MACs, activations and the peak of parts one after another.

    Nothing waits beside a block of a stage, so the peak of a design is the largest of its blocks'.
    """
    parameters = macs = activations = peak = 0
    for part in parts:
        parameters += part.parameters
        macs += part.macs
        activations += part.activations
        peak = max(peak, part.peak)
    return parameters, macs, activations, peak


@lru_cache(maxsize=1024)
def field_of(block: FixedBlock) -> Field | None:
    """Return what `block` does to a receptive field whatever its channels; None where they may make a difference."""
    if not block.is_shape_settled:
        return None
    try:
        same, other = (_walked(layers_of(block, channels, 64), (channels, *LARGE)) for channels in (64, 32))
    except SpecError:
        return None
    fields = [Field(end=part.end, at_last_conv=part.at_last_conv, is_global=part.is_global) for part in (same, other)]
    return fields[0] if fields[0] == fields[1] else None


@lru_cache(maxsize=3072)  # random designs of the space `cifar` find four of five parts that they ask for
def _part(block: FixedBlock, width: int, shape: Shape, kind: MapKind) -> Part:
    layers, after = tied(layers_of(block, shape[0], width), kind)
    return _walked(layers, shape, after)


@lru_cache(maxsize=1024)
def _head_part(head: HeadSpec, shape: Shape, kind: MapKind) -> Part:
    return _walked(lower_head(head, shape[0], kind), shape)


def _walked(layers: tuple[Layer, ...], shape: Shape, kind: MapKind = "plain") -> Part:
    walk = Walk(rows=None)
    walk.at_last_conv = NO_CONV
    after, end = walk.through(layers, "", shape, ONE_PIXEL)
    return Part(
        shape=_shared(after),
        parameters=walk.parameters,
        macs=walk.macs,
        activations=walk.activations,
        peak=walk.peak,
        end=_shared_extent(end),
        at_last_conv=None if walk.at_last_conv is NO_CONV else _shared_extent(walk.at_last_conv),
        is_global=walk.is_global,
        kind=kind,
    )


@lru_cache(maxsize=512)
def _shared(shape: Shape) -> Shape:
    """Return a shape that is equal: thousands of parts that are remembered have few different ones."""
    return shape


@lru_cache(maxsize=256)
def _shared_extent(extent: Extent) -> Extent:
    return extent
