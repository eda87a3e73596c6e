"""Shapes and receptive fields: the arithmetic of windows that slide over a map, for every kind of layer.

Kernels, strides and padding are square, so both axes share one extent. Imports the standard library and `errors` only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, NoReturn

from archsearch.errors import SpecError

Shape = tuple[int, int, int]
"""Channels, height and width of the map of one image."""


class Extent(NamedTuple):
    """The px of one axis of the input that the outputs of a layer see; output i sees `interval(i)`.

    A tuple and not a dataclass: measuring a plan makes one at every window, and this is its hot path.
    """

    start: int
    """Left edge of the field of the first output; negative where padding is seen."""
    size: int
    """The receptive field: how many px one output spans, holes of dilation included."""
    jump: int
    """Distance between the fields of neighbouring outputs (the effective stride)."""

    def interval(self, index: int) -> tuple[int, int]:
        """Return the first px that output `index` sees, and the px after the last one."""
        left = self.start + index * self.jump
        return left, left + self.size


ONE_PIXEL = Extent(start=0, size=1, jump=1)
"""The extent of the input itself."""


def slide(extent: Extent, kernel: int, stride: int, dilation: int, before: int) -> Extent:
    """Return the extent after a window of `kernel` taps with `dilation`, after `before` px of padding.

    size' = size + dilation (kernel - 1) jump; start' = start - before jump; jump' = stride jump (Araujo, Norris and
    Sim, "Computing Receptive Fields of Convolutional Neural Networks", Distill 2019, equations 2 to 4, written
    forwards). Exact for uneven padding and even kernels; clipping at the border is ignored.
    """
    start, size, jump = extent
    return Extent(start - before * jump, size + dilation * (kernel - 1) * jump, jump * stride)


def union(extents: Sequence[Extent]) -> Extent:
    """Return the smallest extent that covers all of `extents`, at least one.

    The jump is the largest: the caller has checked that they agree, or that there is one output only.
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


def shape_text(shape: Shape) -> str:
    """Return `shape` as text: `64 x 16 x 16`."""
    return " x ".join(map(str, shape))


def window_shape(  # positional: this is the hot path of measuring
    shape: Shape,
    channels: int,
    kernel: int,
    stride: int,
    dilation: int,
    padding: tuple[int, int],
    prefix: str,
    name: str,
) -> Shape:
    """Return the shape of `channels` maps made by a window that slides over a map of `shape`.

    A window has floor((length + padding - span) / stride) + 1 positions (Dumoulin and Visin 2016, relation 15). Raises
    `SpecError` at `prefix` + `name` where it is larger than its padded input.
    """
    _, height, width = shape
    slack = padding[0] + padding[1] - dilation * (kernel - 1) - 1
    if height + slack < 0 or width + slack < 0:
        _reject_window(shape, kernel, dilation, padding, prefix + name)
    return channels, (height + slack) // stride + 1, (width + slack) // stride + 1


def pool_padding(kernel: int, stride: int, given: tuple[int, int] | None, *, ceil_mode: bool) -> tuple[int, int]:
    """Return the padding (before, after) of a pool, `given` or, for None, that of 'same'.

    That keeps the map at stride 1, and is else half of what neighbouring windows may overlap: none where they do not.
    With `ceil_mode` the last window may begin on the map and end outside of it, as in torch.
    """
    reach = kernel - 1
    if given is not None:
        before, after = given
        return before, max(after, min(after + stride - 1, reach)) if ceil_mode else after
    before = reach // 2 if kernel > stride else 0
    return before, reach - before if ceil_mode or stride == 1 else before


def nearest_multiple(number: int, factor: int) -> int:
    """Return the multiple of `factor` nearest to `number` and above 0; of two, the larger."""
    return max(factor, (2 * number + factor) // (2 * factor) * factor)


def _reject_window(shape: Shape, kernel: int, dilation: int, padding: tuple[int, int], path: str) -> NoReturn:
    """Raise `SpecError` at `path` for a window that is larger than its padded input."""
    length, pad = min(shape[1:]), sum(padding)
    span = dilation * (kernel - 1) + 1
    spread = f" with dilation {dilation} (spanning {span} px)" if dilation > 1 else ""
    padded = f" with padding {padding[0]}+{padding[1]}" if pad else " without padding"
    largest = (length + pad - 1) // dilation + 1
    smaller = f"a kernel of at most {largest}, " if length + pad > 0 else ""
    raise SpecError(
        path,
        f"a kernel of {kernel}{spread} is larger than its input of {shape[1]} x {shape[2]} px{padded}",
        f"Use {smaller}padding of at least {-(-(span - length) // 2)} on each side, or fewer strides before it.",
    )
