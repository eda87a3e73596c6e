"""Shapes and receptive fields: the arithmetic of windows that slide over a map, for every kind of layer.

Where kernels are square, both axes share one extent; `AxisExtents` are for other kernels, and for maps that were made
larger. Imports the standard library and `errors` only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import gcd, lcm
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

    @property
    def axes(self) -> tuple[AxisExtent, AxisExtent]:
        """The extents of rows and of columns."""
        one = AxisExtent(fields=(self.interval(0),), jump=self.jump)
        return one, one


class AxisExtent(NamedTuple):
    """The px of one axis that the outputs of a layer see, where n neighbouring outputs may see fields of n sizes."""

    fields: tuple[tuple[int, int], ...]
    """What the first n outputs see; any other sees what the output n before it does, further on by `jump`."""
    jump: int

    def interval(self, index: int) -> tuple[int, int]:
        """Return the first px that output `index` sees, and the px after the last one."""
        turns, phase = divmod(index, len(self.fields))
        start, end = self.fields[phase]
        return start + turns * self.jump, end + turns * self.jump

    @property
    def size(self) -> int:
        """The largest of the fields."""
        return max(end - start for start, end in self.fields)


@dataclass(frozen=True, slots=True)
class AxisExtents:
    """Extents that differ between the axes, or of which neighbouring outputs have different ones; see `Extent`."""

    rows: AxisExtent
    columns: AxisExtent

    @property
    def axes(self) -> tuple[AxisExtent, AxisExtent]:
        """The extents of rows and of columns."""
        return self.rows, self.columns

    @property
    def size(self) -> int:
        """The receptive field: the largest of the outputs' fields, along the axis where this is smaller."""
        return min(self.rows.size, self.columns.size)

    @property
    def start(self) -> int:
        """Left edge of the field of the first output."""
        return self.columns.fields[0][0]

    @property
    def jump(self) -> int | float:
        """Distance between the fields of neighbouring outputs, on average; the same along both axes."""
        jump, rest = divmod(self.rows.jump, len(self.rows.fields))
        return jump + rest / len(self.rows.fields) if rest and jump < 2**53 else jump


AnyExtent = Extent | AxisExtents
MOST_PHASES = 1024
"""The largest number of different fields of neighbouring outputs."""
ONE_PIXEL = Extent(start=0, size=1, jump=1)
"""The extent of the input itself."""


def slide(extent: AnyExtent, kernel: int, stride: int, dilation: int, before: int) -> AnyExtent:
    """Return the extent after a window of `kernel` taps with `dilation`, after `before` px of padding.

    size' = size + dilation (kernel - 1) jump; start' = start - before jump; jump' = stride jump (Araujo, Norris and
    Sim, "Computing Receptive Fields of Convolutional Neural Networks", Distill 2019, equations 2 to 4, written
    forwards). Exact for uneven padding and even kernels; clipping at the border is ignored.
    """
    if type(extent) is not Extent:
        return slide_axes(extent, (kernel, kernel), stride, dilation, (before, before))
    start, size, jump = extent
    return Extent(start - before * jump, size + dilation * (kernel - 1) * jump, jump * stride)


def slide_axes(
    extent: AnyExtent, kernel: tuple[int, int], stride: int, dilation: int, before: tuple[int, int]
) -> AnyExtent:
    """Return what `slide` does, for a kernel and padding of rows and of columns."""
    rows, columns = (
        _axis_through(axis, AxisExtent(fields=((-first, dilation * (taps - 1) + 1 - first),), jump=stride))
        for axis, taps, first in zip(extent.axes, kernel, before, strict=True)
    )
    return _simplest(rows, columns)


def seen_through(extent: AnyExtent, own: AnyExtent) -> AnyExtent:
    """Return the extent of a layer of which the outputs see `own` px of its input, where those see `extent`."""
    rows, columns = (_axis_through(*pair) for pair in zip(extent.axes, own.axes, strict=True))
    return _simplest(rows, columns)


def upsampled(factor: int, *, between: bool) -> AnyExtent:
    """Return what the outputs of an upsampling by `factor` see of its input.

    Output i lies in px i // factor and sees it; with `between` it sees the two px whose middles are around its own
    middle, or the one with the same middle.
    """
    if not between:
        fields = ((0, 1),) * factor
    else:  # the middle of output i is (2 i + 1 - factor) / (2 factor) px behind that of the first px
        twice = [2 * i + 1 - factor for i in range(factor)]
        fields = tuple((at // (2 * factor), -(-at // (2 * factor)) + 1) for at in twice)
    axis = AxisExtent(fields=fields, jump=1)
    return _simplest(axis, axis)


def union(extents: Sequence[AnyExtent]) -> AnyExtent:
    """Return the smallest extent that covers all of `extents`, at least one.

    The jump is the largest: the caller has checked that they agree, or that there is one output only.
    """
    first = extents[0]
    if len(extents) == 1:
        return first
    if type(first) is not Extent:
        return _axes_union(extents)
    start, jump = first.start, first.jump
    end = start + first.size
    for extent in extents[1:]:
        if type(extent) is not Extent:
            return _axes_union(extents)
        start = min(start, extent.start)
        end = max(end, extent.start + extent.size)
        jump = max(jump, extent.jump)
    return Extent(start, end - start, jump)


def _axes_union(extents: Sequence[AnyExtent]) -> AnyExtent:
    rows, columns = (_axis_union(sides) for sides in zip(*(extent.axes for extent in extents), strict=True))
    return _simplest(rows, columns)


def _axis_union(extents: Sequence[AxisExtent]) -> AxisExtent:
    count = lcm(*(len(extent.fields) for extent in extents))
    jump, phases = extents[0].jump, len(extents[0].fields)
    if any(extent.jump * phases != jump * len(extent.fields) for extent in extents):
        count = 1  # there is one output only
    _check_phases(count)
    fields = [[extent.interval(index) for extent in extents] for index in range(count)]
    return AxisExtent(
        fields=tuple((min(start for start, _ in each), max(end for _, end in each)) for each in fields),
        jump=max(-(-extent.jump * count // len(extent.fields)) for extent in extents),
    )


def _axis_through(extent: AxisExtent, own: AxisExtent) -> AxisExtent:
    """Return `seen_through` of one axis; fields never begin or end before those of the output before."""
    turns = len(extent.fields) // gcd(len(extent.fields), own.jump)
    count = turns * len(own.fields)
    _check_phases(count)
    seen = [own.interval(index) for index in range(count)]
    return AxisExtent(
        fields=tuple((extent.interval(first)[0], extent.interval(after - 1)[1]) for first, after in seen),
        jump=turns * own.jump // len(extent.fields) * extent.jump,
    )


def _check_phases(count: int) -> None:
    if count > MOST_PHASES:
        what = f"neighbouring outputs see fields of {count} different sizes, at most {MOST_PHASES} are allowed"
        raise SpecError("arch.stages", what, "Upsample by factors that the strides before or behind divide.")


def _simplest(rows: AxisExtent, columns: AxisExtent) -> AnyExtent:
    """Return the extent of both axes in its plainest form: equal ones are equal."""
    rows, columns = _shortest(rows), _shortest(columns)
    if rows == columns and len(rows.fields) == 1:
        ((start, end),) = rows.fields
        return Extent(start, end - start, rows.jump)
    return AxisExtents(rows, columns)


def _shortest(axis: AxisExtent) -> AxisExtent:
    """Return `axis` with the fewest fields that give all others."""
    whole = len(axis.fields)
    for count in range(1, whole):
        if whole % count == 0 and axis.jump * count % whole == 0:
            shorter = AxisExtent(fields=axis.fields[:count], jump=axis.jump * count // whole)
            if all(shorter.interval(index) == field for index, field in enumerate(axis.fields)):
                return shorter
    return axis


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


def window_count(
    shape: Shape, axis: int, kernel: int, stride: int, dilation: int, padding: tuple[int, int], path: str
) -> int:
    """Return the positions of a window along one axis of a map: 1 for rows, 2 for columns; else as `window_shape`."""
    slack = shape[axis] + padding[0] + padding[1] - dilation * (kernel - 1) - 1
    if slack < 0:
        _reject_window(shape, kernel, dilation, padding, path, axis)
    return slack // stride + 1


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


def plain_padding(
    lengths: tuple[int, ...], kernel: int, stride: int, dilation: int, padding: tuple[int, int], *, least: bool = False
) -> int:
    """Return the padding behind a map of `lengths` px that stands for all that give as many windows.

    It is that of `same` where this is one of them and not `least` is asked for, or the least.
    """
    if stride == 1:
        return padding[1]
    before, reach = padding[0], dilation * (kernel - 1)
    slacks = [length + before - reach - 1 for length in lengths]
    lasts = [(slack + padding[1]) // stride for slack in slacks]
    same = reach - before
    if same >= 0 and not least and [(slack + same) // stride for slack in slacks] == lasts:
        return same
    return max(0, *(last * stride - slack for last, slack in zip(lasts, slacks, strict=True)))


def nearest_multiple(number: int, factor: int) -> int:
    """Return the multiple of `factor` nearest to `number` and above 0; of two, the larger."""
    return max(factor, (2 * number + factor) // (2 * factor) * factor)


def _reject_window(
    shape: Shape, kernel: int, dilation: int, padding: tuple[int, int], path: str, axis: int | None = None
) -> NoReturn:
    """Raise `SpecError` at `path` for a window that is larger than its padded input, along `axis` if one is given."""
    length, pad = min(shape[1:]) if axis is None else shape[axis], sum(padding)
    span = dilation * (kernel - 1) + 1
    spread = f" with dilation {dilation} (spanning {span} px)" if dilation > 1 else ""
    padded = f" with padding {padding[0]}+{padding[1]}" if pad else " without padding"
    side = {1: "the height of ", 2: "the width of "}.get(axis or 0, "")
    largest = (length + pad - 1) // dilation + 1
    smaller = f"a kernel of at most {largest}, " if length + pad > 0 else ""
    raise SpecError(
        path,
        f"a kernel of {kernel}{spread} is larger than {side}its input of {shape[1]} x {shape[2]} px{padded}",
        f"Use {smaller}padding of at least {-(-(span - length) // 2)} on each side, or fewer strides before it.",
    )
