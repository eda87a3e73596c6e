"""The footprint of a plan, in total and by layer: its costs and its receptive field.

One pass carries shape and extent from layer to layer and adds up the counts. A search measures thousands of designs per
second that share blocks, so the results of blocks are cached (`measure_design`, `Widths`); the numbers are those of
`measure(lower(design))`. MACs are multiply-accumulates of convolutions and dense layers only, as in pycls (Radosavovic
et al., CVPR 2020) and fvcore; a blur pool counts as a convolution. Imports the design only; no torch, no numpy.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import NamedTuple, NoReturn

from archsearch.design.expression import multiple_of
from archsearch.design.geometry import ONE_PIXEL, AnyExtent, AxisExtents, Extent, Shape, union
from archsearch.design.items import is_shape_settled
from archsearch.design.layers import Conv, Leaf, Linear, MapKind, Primitive
from archsearch.design.lower import (
    BETWEEN,
    JOINED,
    FixedBlock,
    blocks_of,
    first_map,
    layers_of,
    lower,
    lower_head,
    stages_of,
)
from archsearch.design.plan import Layer, Parallel, Plan, Sequence, tie_layers
from archsearch.design.spec import DesignSpec, HeadSpec
from archsearch.errors import ChannelsError, SpecError
from archsearch.formatting import html_cell, html_table

LARGEST_FIELD = 10**12
"""px, a limit that designs exceed if their strides continue on a feature map of one pixel."""
BYTES_PER_ACTIVATION = 4
"""float32, the precision of all figures of memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerFootprint:
    """One row of the layer table: a primitive layer, or the merge of a parallel."""

    name: str
    """The path, such as `stages.c2.1.conv`; for a merge, the path of the parallel."""
    kind: str
    """The `row` of the layer's kind (`conv`, `norm`, ...); for a merge `add`, `mean`, `concat` or `multiply`."""
    output_shape: Shape
    """(C, H, W)."""
    extent: AnyExtent
    """The input region that an output depends on; global pools, dense layers and later layers do not change it."""
    parameters: int
    macs: int
    activations: int
    """Output elements for one image."""

    @property
    def receptive_field(self) -> int:
        """px; the smaller one if the axes differ."""
        return self.extent.size

    @property
    def receptive_fields(self) -> tuple[int, int]:
        """px, vertical and horizontal."""
        return self.extent.axes[0].size, self.extent.axes[1].size

    @property
    def jump(self) -> float:
        """The average distance in px between the receptive fields of neighbouring outputs."""
        return self.extent.jump

    @property
    def start(self) -> int:
        """The left edge in px of the receptive field of the first output; negative inside the padding."""
        return self.extent.start

    def middle_field(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Return the rows and columns (px, from and to) that the output in the middle of the feature map depends on."""
        (rows, columns), (_, height, width) = self.extent.axes, self.output_shape
        return rows.interval(height // 2), columns.interval(width // 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Footprint:
    """The costs and the receptive field of a plan, for one image."""

    plan: Plan
    """The plan that was measured."""
    parameters: int
    """Trainable numbers: weights, biases, scales and shifts."""
    macs: int
    """Multiply-accumulates of convolutions, blur pools and dense layers; torch's counter has twice as many FLOPs."""
    activations: int
    """Output elements of all rows. (The "activations" of pycls are those of convolutions only.)

    Layers that do nothing do not count. Of nested sums (or concatenations, or products) only the outermost counts,
    because they are the same network as one sum.
    """
    activation_bytes: int
    """fp32 bytes kept for the backward pass of one image: the input and every row's output, once each.

    In-place layers and fusion keep less; masks, indices and statistics that some layers also keep are not counted.
    """
    peak_bytes: int
    """Peak fp32 bytes of activations in inference: input and output of a layer, and all that are needed later.

    The input of a parallel is needed until its last branch starts, and the output of a branch until the merge.
    """
    receptive_field: int
    """px, at the last convolution before the feature map becomes one value per channel; 1 without a convolution.

    It becomes one value at a global pool, at a pool whose window leaves one value, and at a dense layer or a
    convolution that equals one. This layer, all layers after it, and pools directly before it do not count. For a
    convolution inside a parallel, the field of the whole parallel counts: the union over its branches. A branch with a
    global pool (the gate of squeeze and excitation) does not count; otherwise any gate would satisfy every limit.
    """
    jump: float
    """px, the distance between the fields of neighbouring outputs of that convolution."""
    start: int
    """px, the left edge of the field of its first output."""
    output_shape: Shape
    """(C, H, W) of the plan's last layer."""

    @property
    def layers(self) -> tuple[LayerFootprint, ...]:
        """The rows of the layer table, computed at each access."""
        return rows(self.plan)

    def _repr_html_(self) -> str:
        """Return the table that a notebook shows: one row per layer, and the totals."""
        heads = ["layer", "kind", "output", "receptive field, px", "parameters", "MACs"]
        cells = [
            [row.name, row.kind, " × ".join(map(str, row.output_shape)), row.receptive_field, row.parameters, row.macs]
            for row in self.layers
        ]
        counts = f"{html_cell(self.parameters)} parameters, {html_cell(self.macs)} MACs"
        return html_table(f"{counts}, receptive field {self.receptive_field} px", heads, cells)


def measure(plan: Plan) -> Footprint:
    """Return the footprint of `plan`; raise `SpecError` for the first layer that does not fit its input."""
    walk = _Walk(rows=None)
    shape, end = walk.through(plan.layers, "", plan.input_shape, ONE_PIXEL)
    totals = Totals(walk.parameters, walk.macs, walk.activations, BYTES_PER_ACTIVATION * walk.peak)
    return _footprint(plan, totals, walk.at_last_conv, end, shape)


def rows(plan: Plan) -> tuple[LayerFootprint, ...]:
    """Return one row per primitive layer and merge of `plan`, in order of execution; raise `SpecError` as `measure`."""
    found: list[LayerFootprint] = []
    _Walk(rows=found).through(plan.layers, "", plan.input_shape, ONE_PIXEL)
    return tuple(found)


def stage_ends(layers: Iterable[LayerFootprint]) -> list[tuple[str, LayerFootprint]]:
    """Return the last row of the stem, of each stage and of the head, by name, in order."""
    return list({stage_of(row.name): row for row in layers}.items())


def stage_of(path: str) -> str:
    """Return the stage that the layer at `path` belongs to, or `stem` or `head`."""
    part, *inner = path.split(".")
    while inner[1:3] == [JOINED, BETWEEN]:
        inner = inner[3:]
    return inner[0] if part == "stages" else part


class Totals(NamedTuple):
    """The numbers that grow with the widths of a design; names and units are those of `Footprint`."""

    parameters: int
    macs: int
    activations: int
    peak_bytes: int


def _footprint(plan: Plan, totals: Totals, at_last_conv: AnyExtent, end: AnyExtent, output_shape: Shape) -> Footprint:
    if max(at_last_conv.size, end.size, end.jump) > LARGEST_FIELD:
        what = f"its strides and dilations multiply to a receptive field above {LARGEST_FIELD} px"
        raise SpecError("arch.stages", what, "Use fewer of them; no input has more than 4096 px.")
    return Footprint(
        plan=plan,
        **totals._asdict(),
        activation_bytes=BYTES_PER_ACTIVATION * (prod(plan.input_shape) + totals.activations),
        receptive_field=at_last_conv.size,
        jump=at_last_conv.jump,
        start=at_last_conv.start,
        output_shape=output_shape,
    )


_Reached = tuple[Shape, AnyExtent]
_End = tuple[AnyExtent, bool, AnyExtent | None]  # of a branch: extent, is it global, extent at its last conv


class _Walk:
    """The running totals of one pass; shape and extent are passed from layer to layer instead."""

    __slots__ = ("activations", "at_last_conv", "is_global", "macs", "parameters", "peak", "pending", "rows", "waiting")

    def __init__(self, rows: list[LayerFootprint] | None) -> None:
        self.rows = rows
        self.parameters = self.macs = self.activations = 0
        self.at_last_conv = ONE_PIXEL
        self.is_global = False  # the feature map has become one value per channel
        self.peak = 0  # this and the next two in elements
        self.waiting = 0  # kept in addition to the running layer's input and output
        self.pending = 0  # the running layer's input, if it is still needed after that layer

    def through(self, layers: tuple[Layer, ...], prefix: str, shape: Shape, extent: AnyExtent) -> _Reached:
        """Add `layers`, whose paths start with `prefix`, to the totals; return shape and extent of their output."""
        inputs = shape[0] * shape[1] * shape[2]
        for layer in layers:
            if isinstance(layer, Sequence):
                shape, extent = self.through(layer.layers, f"{prefix}{layer.name}.", shape, extent)
                inputs = shape[0] * shape[1] * shape[2]
                continue
            if isinstance(layer, Parallel):
                if len(layer.branches) == 1 and self.rows is None:
                    (only,) = layer.branches
                    shape, extent = self.through(only.layers, f"{prefix}{layer.name}.{only.name}.", shape, extent)
                    inputs = shape[0] * shape[1] * shape[2]
                    continue
                parameters = macs = 0
                shape, extent, inputs = self._across(layer, prefix + layer.name, shape, extent)
            else:
                before, shape = shape, layer.output_shape(shape, prefix)
                parameters, macs = layer.parameters, layer.macs(shape)
                if shape[1] == 1 == shape[2]:
                    plain = layer.simplified(before)
                    if plain is None and self.rows is None:
                        continue
                    extent = self._at_one_value(layer, plain, before, extent)
                else:
                    extent = layer.grow(extent)
                    if layer.is_convolution:
                        if not self.is_global:
                            self.at_last_conv = extent
                    elif layer.is_idle and self.rows is None:
                        continue
            outputs = shape[0] * shape[1] * shape[2]
            self.parameters += parameters
            self.macs += macs
            self.activations += outputs
            if self.waiting + inputs + outputs > self.peak:  # max() takes twice as long here
                self.peak = self.waiting + inputs + outputs
            if self.pending:
                self.waiting, self.pending = self.waiting + self.pending, 0
            inputs = outputs
            if self.rows is not None:
                self.rows.append(
                    LayerFootprint(
                        name=prefix + layer.name,
                        kind=layer.combine if isinstance(layer, Parallel) else layer.row,
                        output_shape=shape,
                        extent=extent,
                        parameters=parameters,
                        macs=macs,
                        activations=outputs,
                    )
                )
        return shape, extent

    def _at_one_value(self, layer: Primitive, plain: Leaf | None, shape: Shape, extent: AnyExtent) -> AnyExtent:
        """Return the extent after `layer`, which reduces a feature map of `shape` to one value per channel.

        `plain` is its simplified form; it decides what counts, so that equal networks have equal receptive fields.
        """
        if plain is None:
            return extent
        if shape[1] == 1 == shape[2]:
            extent = plain.grow(extent)
            if (plain.is_convolution or isinstance(plain, Linear)) and not self.is_global:
                self.at_last_conv = extent
            return extent
        grown = extent if plain.is_global and layer.is_window_pool else layer.grow(extent)
        if plain.is_global or plain.is_window_pool or (isinstance(plain, Conv) and plain.covers(shape)):
            self.is_global = True
        elif plain.is_convolution and not self.is_global:
            self.at_last_conv = grown
        return grown

    def _across(self, parallel: Parallel, path: str, shape: Shape, extent: AnyExtent) -> tuple[Shape, AnyExtent, int]:
        """Return the merged shape and extent of the branches, and the number of elements that the merge reads."""
        if self.rows is None:
            parallel = parallel.flattened()
        source = shape[0] * shape[1] * shape[2]
        waiting, pending = self.waiting, self.pending
        was_global, conv_before = self.is_global, self.at_last_conv
        shapes: list[Shape] = []
        ends: list[_End] = []
        done = 0
        source_is_output = False
        for i, branch in enumerate(parallel.branches, start=1):
            self.is_global, self.at_last_conv = was_global, conv_before
            self.waiting = waiting + done
            self.pending = source if i < len(parallel.branches) or source_is_output else pending
            made_before = self.activations
            end_shape, end = self.through(branch.layers, f"{path}.{branch.name}.", shape, extent)
            shapes.append(end_shape)
            ends.append((end, self.is_global, None if self.at_last_conv is conv_before else self.at_last_conv))
            if self.activations == made_before:
                source_is_output = True  # an identity: no new tensor
            else:
                done += end_shape[0] * end_shape[1] * end_shape[2]
        merged = parallel.merged_shape(shapes, path)
        self.waiting, self.pending = (waiting, pending) if source_is_output else (waiting + pending, 0)
        # A branch that is global, or broadcast to a larger map, sees the same px from every position: left out.
        counted = [end for end, sees in zip(ends, shapes, strict=True) if not end[1] and sees[1:] == merged[1:]]
        self.is_global = not counted
        extents = [end[0] for end in counted or ends]
        if merged[1:] != (1, 1) and any(one.jump != extents[0].jump for one in extents):
            _reject_jumps(parallel, ends, path)
        extent = union(extents)
        convs = [end[2] for end in counted or ends if end[2] is not None]
        self.at_last_conv = conv_before if not convs else extent if counted else union(convs)
        return merged, extent, done + source if source_is_output else done


def _reject_jumps(parallel: Parallel, ends: list[_End], path: str) -> NoReturn:
    strides = ", ".join(
        f"'{branch.name}' {end[0].jump} px" for branch, end in zip(parallel.branches, ends, strict=True) if not end[1]
    )
    what = f"its branches give maps of the same size but with different strides relative to the input ({strides})"
    raise SpecError(path, what, "Give every branch the same product of strides.")


NO_CONV = Extent(start=0, size=1, jump=1)  # no convolution so far; compared by identity, so not `ONE_PIXEL`
LARGE = (4096, 4096)
"""Height and width of a feature map into which every window fits."""


class Part(NamedTuple):
    """Output and costs of a block or the head; the extents are relative to its input."""

    shape: Shape
    parameters: int
    macs: int
    activations: int
    peak: int  # elements
    end: Extent | None  # None if one of the extents is not square
    at_last_conv: Extent | None  # None without a convolution
    is_global: bool  # one value per channel: later convolutions do not count
    kind: MapKind  # of the feature map after it


class Field(NamedTuple):
    """What one or more parts add to a square receptive field."""

    end: Extent
    at_last_conv: Extent | None
    is_global: bool


class Widths:
    """One design at many widths; its blocks are looked up once."""

    def __init__(self, design: DesignSpec) -> None:
        """Take the design's stages and blocks; its own width is ignored."""
        self._design = design
        self._stages = [(stage.width, blocks_of(stage)) for stage in stages_of(design)]

    def channels(self, width: float) -> tuple[int, ...]:
        """Return the channels of the stem and the stages at the multiplier `width`."""
        if width == 1:
            return tuple([own or 1 for own, _ in self._stages])
        step = self._design.step
        return tuple([multiple_of(own * width, step) if own else 1 for own, _ in self._stages])

    def totals(self, width: float) -> Totals:
        """Return the totals at the multiplier `width`; raise `SpecError` as `measure(lower(design))` does.

        In a chain of stages, the path of a `ChannelsError` is relative to the block: callers only try other widths.
        """
        if not self._design.is_chain:
            return _totals(measure(lower(self._design.at_width(width))))
        try:
            return _sum(self.parts(self.channels(width)))
        except ChannelsError:
            raise
        except SpecError:  # re-raise with the full path of the layer
            return _totals(measure(lower(self._design.at_width(width))))

    def parts(self, channels: tuple[int, ...]) -> Iterator[Part]:
        """Yield the blocks and the head of a chain of stages, in order."""
        shape, kind = self._design.input_shape, first_map(self._design.symmetry)
        for width, (_, blocks) in zip(channels, self._stages, strict=True):
            for block in blocks:
                part = _part(block, width, shape, kind)
                shape, kind = part.shape, part.kind
                yield part
        yield _head_part(self._design.head, shape, kind)


def measure_design(design: DesignSpec, plan: Plan) -> Footprint:
    """Return `measure(plan)` from the cached parts of `design`; `plan` is `lower(design)`."""
    assert design.width != "fit", "a design with a plan has a width"
    if not design.is_chain:
        return measure(plan)
    widths = Widths(design)
    try:
        parts = list(widths.parts(widths.channels(design.width)))
    except SpecError:  # re-raise with the full path of the layer
        return measure(plan)
    field = joined(parts)
    if field is None:
        return measure(plan)
    return _footprint(plan, _sum(parts), field.at_last_conv or ONE_PIXEL, field.end, parts[-1].shape)


def joined(parts: Iterable[Part | Field | None]) -> Field | None:
    """Return the field of `parts` in sequence; None if one is None, not square, or follows a global part."""
    start, size, jump = ONE_PIXEL  # numbers, not extents: called thousands of times per second
    last: Extent | None = None
    is_global = False
    for part in parts:
        if part is None or is_global or (end := part.end) is None:
            return None
        if (inside := part.at_last_conv) is not None:
            inner, wide, step = inside
            last = Extent(start + inner * jump, size + (wide - 1) * jump, jump * step)
        inner, wide, step = end
        start, size, jump = start + inner * jump, size + (wide - 1) * jump, jump * step
        is_global = part.is_global
    return Field(end=Extent(start, size, jump), at_last_conv=last, is_global=is_global)


@lru_cache(maxsize=1024)
def field_of(block: FixedBlock) -> Field | None:
    """Return what `block` adds to a receptive field; None if this may depend on the channels."""
    if not is_shape_settled(block.items):
        return None
    try:
        same, other = (_walked(layers_of(block, channels, 64), (channels, *LARGE)) for channels in (64, 32))
    except SpecError:
        return None
    fields = [joined([part]) for part in (same, other)]
    return fields[0] if fields[0] == fields[1] else None


def _totals(found: Footprint) -> Totals:
    return Totals(found.parameters, found.macs, found.activations, found.peak_bytes)


def _sum(parts: Iterable[Part]) -> Totals:
    """Return the totals of `parts` in sequence.

    Nothing else is kept in memory while a block of a chain runs, so the peak of a design is the largest of its parts.
    """
    parameters = macs = activations = peak = 0
    for part in parts:
        parameters += part.parameters
        macs += part.macs
        activations += part.activations
        peak = max(peak, part.peak)
    return Totals(parameters, macs, activations, BYTES_PER_ACTIVATION * peak)


@lru_cache(maxsize=3072)  # hit rate for random designs of the space `cifar`: 4 of 5
def _part(block: FixedBlock, width: int, shape: Shape, kind: MapKind) -> Part:
    layers, after = tie_layers(layers_of(block, shape[0], width), kind)
    return _walked(layers, shape, after)


@lru_cache(maxsize=1024)
def _head_part(head: HeadSpec, shape: Shape, kind: MapKind) -> Part:
    return _walked(lower_head(head, shape[0], kind), shape)


def _walked(layers: tuple[Layer, ...], shape: Shape, kind: MapKind = "plain") -> Part:
    walk = _Walk(rows=None)
    walk.at_last_conv = NO_CONV
    after, end = walk.through(layers, "", shape, ONE_PIXEL)
    last = None if walk.at_last_conv is NO_CONV else walk.at_last_conv
    is_square = isinstance(end, Extent) and not isinstance(last, AxisExtents)
    return Part(
        shape=_shared(after),
        parameters=walk.parameters,
        macs=walk.macs,
        activations=walk.activations,
        peak=walk.peak,
        end=_shared_extent(end) if is_square else None,
        at_last_conv=_shared_extent(last) if is_square and last is not None else None,
        is_global=walk.is_global,
        kind=kind,
    )


@lru_cache(maxsize=512)
def _shared(shape: Shape) -> Shape:
    """Return one shared object per shape: thousands of cached parts have few different shapes."""
    return shape


@lru_cache(maxsize=256)
def _shared_extent(extent: Extent) -> Extent:
    return extent
