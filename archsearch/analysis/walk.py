"""The walk: one pass over a plan's layers that carries shape and extent along and adds up the counts.

Totals always, rows on request, from the same lines. Imports the plan and the arithmetic of
analysis (`extent`, `shape`, `count`); no torch, no numpy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NoReturn, assert_never

from archsearch.analysis import count
from archsearch.analysis.extent import ONE_PIXEL, Extent, slide, union
from archsearch.analysis.shape import Shape, check_norm, conv_shape, linear_shape, merge_shape, pool_shape
from archsearch.design.plan import (
    Activation,
    Conv,
    Dropout,
    GlobalPool,
    Layer,
    Linear,
    Norm,
    Parallel,
    Pool,
    Sequence,
)
from archsearch.errors import SpecError

RowKind = Literal["conv", "norm", "activation", "dropout", "pool", "global_pool", "linear", "add", "concat", "multiply"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerFootprint:
    """One row of the layer table: a primitive layer, or the merge of a parallel."""

    name: str
    """The path, such as `stages.c2.1.conv`; for a merge, the path of the parallel."""
    kind: RowKind
    output_shape: Shape
    """(C, H, W)."""
    receptive_field: int
    """px; from a global pool or a dense layer on, which see everything, that of its input."""
    jump: int
    """px between the fields of neighbouring outputs."""
    start: int
    """px at the left edge of the first output's field; negative inside the padding."""
    parameters: int
    macs: int
    activations: int
    """Output elements for one image."""


class Walk:
    """The running totals of one walk; what flows from layer to layer is passed along instead."""

    __slots__ = ("activations", "at_last_conv", "is_global", "macs", "parameters", "peak", "pending", "rows", "waiting")

    def __init__(self, rows: list[LayerFootprint] | None) -> None:
        self.rows = rows
        self.parameters = self.macs = self.activations = 0
        self.at_last_conv = ONE_PIXEL
        self.is_global = False  # behind a global pool or a dense layer
        self.peak = 0  # all four in elements
        self.waiting = 0  # held for later beside the running layer's input and output
        self.pending = 0  # the running layer's input, where it goes on waiting after that layer

    def through(  # noqa: C901 - one arm a layer kind, read top to bottom
        self, layers: tuple[Layer, ...], prefix: str, shape: Shape, extent: Extent
    ) -> tuple[Shape, Extent]:
        """Return shape and extent after `layers`, whose paths begin with `prefix`, and add to the totals."""
        inputs = shape[0] * shape[1] * shape[2]
        for layer in layers:
            parameters = macs = 0
            match layer:
                case Conv():
                    kind = "conv"
                    shape = conv_shape(shape, layer, prefix)
                    extent = slide(extent, layer.kernel, layer.stride, layer.dilation, layer.padding[0])
                    parameters = count.conv_parameters(layer)
                    macs = count.conv_macs(layer, shape[1], shape[2])
                    if not self.is_global:
                        self.at_last_conv = extent
                case Norm():
                    kind = "norm"
                    check_norm(shape, layer, prefix)
                    parameters = count.norm_parameters(layer)
                case Activation():
                    kind = "activation"
                case Sequence():
                    shape, extent = self.through(layer.layers, f"{prefix}{layer.name}.", shape, extent)
                    inputs = shape[0] * shape[1] * shape[2]
                    continue
                case Dropout():
                    kind = "dropout"
                case Parallel():
                    kind = layer.combine
                    shape, extent, inputs = self._across(layer, prefix + layer.name, shape, extent)
                case Pool():
                    kind = "pool"
                    shape = pool_shape(shape, layer, prefix)
                    extent = slide(extent, layer.kernel, layer.stride, 1, layer.padding[0])
                case GlobalPool():
                    kind = "global_pool"
                    shape = shape[0], 1, 1
                    self.is_global = True
                case Linear():
                    kind = "linear"
                    shape = linear_shape(shape, layer, prefix)
                    parameters, macs = count.linear_parameters(layer), count.linear_macs(layer)
                    self.is_global = True
                case _:
                    assert_never(layer)
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
                        kind=kind,
                        output_shape=shape,
                        receptive_field=extent.size,
                        jump=extent.jump,
                        start=extent.start,
                        parameters=parameters,
                        macs=macs,
                        activations=outputs,
                    )
                )
        return shape, extent

    def _across(self, parallel: Parallel, path: str, shape: Shape, extent: Extent) -> tuple[Shape, Extent, int]:
        """Return merged shape and extent of the branches, and how many elements the merge reads."""
        source = shape[0] * shape[1] * shape[2]
        waiting, pending = self.waiting, self.pending
        was_global, conv_before = self.is_global, self.at_last_conv
        shapes: list[Shape] = []
        ends: list[tuple[Extent, bool, bool]] = []  # extent, is it global, has it a convolution that counts
        done = 0
        source_is_output = False
        for i, branch in enumerate(parallel.branches, start=1):
            self.is_global, self.at_last_conv = was_global, conv_before
            self.waiting = waiting + done
            self.pending = source if i < len(parallel.branches) or source_is_output else pending
            made_before = self.activations
            end_shape, end = self.through(branch.layers, f"{path}.{branch.name}.", shape, extent)
            shapes.append(end_shape)
            ends.append((end, self.is_global, self.at_last_conv is not conv_before))
            if self.activations == made_before:
                source_is_output = True  # an identity: no new tensor
            else:
                done += end_shape[0] * end_shape[1] * end_shape[2]
        merged = merge_shape(shapes, parallel, path)
        self.waiting, self.pending = (waiting, pending) if source_is_output else (waiting + pending, 0)
        # A branch that is global, or spread over a larger map, sees the same px from every position: left out.
        counted = [end for end, sees in zip(ends, shapes, strict=True) if not end[1] and sees[1:] == merged[1:]]
        self.is_global = not counted
        counted = counted or ends
        extents = [end[0] for end in counted]
        if merged[1:] != (1, 1) and any(one.jump != extents[0].jump for one in extents):
            _refuse_jumps(parallel, ends, path)
        extent = union(extents)
        self.at_last_conv = extent if any(end[2] for end in counted) else conv_before
        return merged, extent, done + source if source_is_output else done


def _refuse_jumps(parallel: Parallel, ends: list[tuple[Extent, bool, bool]], path: str) -> NoReturn:
    strides = ", ".join(
        f"'{branch.name}' {end[0].jump} px" for branch, end in zip(parallel.branches, ends, strict=True) if not end[1]
    )
    what = f"its branches have maps of one size but step over the input at different strides ({strides})"
    raise SpecError(path, what, "Give every branch the same product of strides.")
