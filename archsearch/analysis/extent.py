"""Extents: which input pixels an output sees; receptive-field arithmetic along one axis, nothing of torch or shapes.

Kernels, strides and padding are square, so both axes share one extent. Formulae: Araujo, Norris
and Sim, "Computing Receptive Fields of Convolutional Neural Networks", Distill 2019. They are
exact for uneven padding and even kernels, and ignore that fields are cut off at the border.
This module imports the standard library only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Extent(NamedTuple):
    """What the outputs of a layer see of one axis of the input, in input px; output i sees `interval(i)`.

    A tuple and not a dataclass: the walk makes one at every window, and this is its hot path.
    """

    start: int
    """Left edge of the field of the first output; negative where padding is seen."""
    size: int
    """The receptive field: how many px one output spans, holes of dilation included."""
    jump: int
    """Distance between the fields of neighbouring outputs (the effective stride)."""

    def interval(self, index: int) -> tuple[int, int]:
        """Return the first px seen by output `index` and the px after its last one."""
        left = self.start + index * self.jump
        return left, left + self.size


ONE_PIXEL = Extent(start=0, size=1, jump=1)
"""The extent of the input itself."""


def slide(extent: Extent, kernel: int, stride: int, dilation: int, before: int) -> Extent:
    """Return the extent after a window of `kernel` taps that lie `dilation` apart, `before` px padded in front.

    size' = size + dilation (kernel - 1) jump; start' = start - before jump; jump' = stride jump
    (Araujo et al. 2019, equations 2 to 4, written forwards). Padding behind changes shapes only.
    """
    start, size, jump = extent
    return Extent(start - before * jump, size + dilation * (kernel - 1) * jump, jump * stride)


def union(extents: Sequence[Extent]) -> Extent:
    """Return the smallest extent that covers all of `extents`, of which there is at least one.

    The jump is the largest: the caller has seen to it that they agree, or that there is one output
    only and the jump means nothing.
    """
    first = extents[0]
    if len(extents) == 1:
        return first
    start, jump = first.start, first.jump
    end = start + first.size
    for extent in extents[1:]:
        start = min(start, extent.start)
        end = max(end, extent.start + extent.size)
        jump = max(jump, extent.jump)
    return Extent(start, end - start, jump)
