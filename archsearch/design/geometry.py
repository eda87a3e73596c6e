"""Shapes and receptive fields: the arithmetic of windows that slide over a feature map, for every kind of layer.

With square kernels, both axes share one `Extent`. `AxisExtents` is for axes that differ, and for upsampled feature
maps. Imports the standard library and `errors` only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import gcd, lcm
from typing import NamedTuple, NoReturn

from archsearch.errors import SpecError

Shape = tuple[int, int, int]
"""Channels, height and width of the feature map of one image."""


class Extent(NamedTuple):
    """The px along an axis of the input that each output of a layer sees; output i sees `interval(i)`.

    A tuple for speed, not a dataclass: measuring a plan creates one per window, on its hot path.
    """

    start: int
    """Left edge of the receptive field of the first output; negative if it includes padding."""
    size: int
    """The receptive field: how many px one output spans, including the gaps of dilation."""
    jump: int
    """Distance between the receptive fields of neighbouring outputs (the effective stride)."""

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
    """The px along one axis that the outputs of a layer see, if n neighbouring outputs can see fields of n sizes."""

    fields: tuple[tuple[int, int], ...]
    """What the first n outputs see, as (start, end); output i + n sees what output i does, shifted by `jump`."""
    jump: int

    def interval(self, index: int) -> tuple[int, int]:
        """Return the first px that output `index` sees, and the px after the last one."""
        turns, phase = divmod(index, len(self.fields))
        start, end = self.fields[phase]
        return start + turns * self.jump, end + turns * self.jump

    @property
    def size(self) -> int:
        """The size of the largest field."""
        return max(end - start for start, end in self.fields)


@dataclass(frozen=True, slots=True)
class AxisExtents:
    """Extents that differ between the axes or between neighbouring outputs; see `Extent`."""

    rows: AxisExtent
    columns: AxisExtent

    @property
    def axes(self) -> tuple[AxisExtent, AxisExtent]:
        """The extents of rows and of columns."""
        return self.rows, self.columns

    @property
    def size(self) -> int:
        """The receptive field: the largest field of each axis; of the two axes, the smaller."""
        return min(self.rows.size, self.columns.size)

    @property
    def start(self) -> int:
        """Left edge of the field of the first output."""
        return self.columns.fields[0][0]

    @property
    def jump(self) -> int | float:
        """Average distance between the fields of neighbouring outputs; the same along both axes."""
        jump, rest = divmod(self.rows.jump, len(self.rows.fields))
        return jump + rest / len(self.rows.fields) if rest and jump < 2**53 else jump


AnyExtent = Extent | AxisExtents
MOST_PHASES = 1024
"""Maximum number of neighbouring outputs with different fields."""
ONE_PIXEL = Extent(start=0, size=1, jump=1)
"""The extent of the input itself."""


def slide(extent: AnyExtent, kernel: int, stride: int, dilation: int, before: int) -> AnyExtent:
    """Return the extent after a window of `kernel` taps with `dilation`, after `before` px of padding.

    size' = size + dilation (kernel - 1) jump; start' = start - before jump; jump' = stride jump (Araujo, Norris and
    Sim, "Computing Receptive Fields of Convolutional Neural Networks", Distill 2019, equations 2 to 4, as a forward
    recurrence). Exact for uneven padding and even kernels; clipping at the border is ignored.
    """
    if type(extent) is not Extent:
        return slide_axes(extent, (kernel, kernel), stride, dilation, (before, before))
    start, size, jump = extent
    return Extent(start - before * jump, size + dilation * (kernel - 1) * jump, jump * stride)


def slide_axes(
    extent: AnyExtent, kernel: tuple[int, int], stride: int, dilation: int, before: tuple[int, int]
) -> AnyExtent:
    """Return the same as `slide` for a kernel and padding given as (rows, columns)."""
    rows, columns = (
        _axis_through(axis, AxisExtent(fields=((-first, dilation * (taps - 1) + 1 - first),), jump=stride))
        for axis, taps, first in zip(extent.axes, kernel, before, strict=True)
    )
    return _simplest(rows, columns)


def seen_through(extent: AnyExtent, own: AnyExtent) -> AnyExtent:
    """Return the extent of a layer whose outputs see `own` of its input, which in turn sees `extent`."""
    rows, columns = (_axis_through(*pair) for pair in zip(extent.axes, own.axes, strict=True))
    return _simplest(rows, columns)


def upsampled(factor: int, *, between: bool) -> AnyExtent:
    """Return the extent of an upsampling by `factor`, relative to its own input.

    Output i lies in px i // factor and sees it. With `between` it sees the two px whose centres enclose its own
    centre, or the one px with the same centre.
    """
    if not between:
        fields = ((0, 1),) * factor
    else:  # the centre of output i is (2 i + 1 - factor) / (2 factor) px after that of the first px
        twice = [2 * i + 1 - factor for i in range(factor)]
        fields = tuple((at // (2 * factor), -(-at // (2 * factor)) + 1) for at in twice)
    axis = AxisExtent(fields=fields, jump=1)
    return _simplest(axis, axis)


def union(extents: Sequence[AnyExtent]) -> AnyExtent:
    """Return the smallest extent that covers all `extents`, of which there is at least one.

    The jump is the largest one: the caller has checked that all agree or that there is only one output.
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
        count = 1  # there is only one output
    _check_phases(count)
    fields = [[extent.interval(index) for extent in extents] for index in range(count)]
    return AxisExtent(
        fields=tuple((min(start for start, _ in each), max(end for _, end in each)) for each in fields),
        jump=max(-(-extent.jump * count // len(extent.fields)) for extent in extents),
    )


def _axis_through(extent: AxisExtent, own: AxisExtent) -> AxisExtent:
    """Return `seen_through` for one axis; fields never start or end before those of the previous output."""
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
    """Return the extent of both axes in canonical form, so that equivalent extents are equal."""
    rows, columns = _shortest(rows), _shortest(columns)
    if rows == columns and len(rows.fields) == 1:
        ((start, end),) = rows.fields
        return Extent(start, end - start, rows.jump)
    return AxisExtents(rows, columns)


def _shortest(axis: AxisExtent) -> AxisExtent:
    """Return `axis` with the fewest fields that generate all others."""
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
    """Return the output shape, with `channels`, of a window that slides over a feature map of `shape`.

    A window has floor((length + padding - span) / stride) + 1 positions (Dumoulin and Visin 2016, relation 15). Raises
    `SpecError` at `prefix` + `name` if it is larger than its padded input.
    """
    _, height, width = shape
    slack = padding[0] + padding[1] - dilation * (kernel - 1) - 1
    if height + slack < 0 or width + slack < 0:
        _reject_window(shape, kernel, dilation, padding, prefix + name)
    return channels, (height + slack) // stride + 1, (width + slack) // stride + 1


def window_count(
    shape: Shape, axis: int, kernel: int, stride: int, dilation: int, padding: tuple[int, int], path: str
) -> int:
    """Return the number of positions of a window along `axis` (1: rows, 2: columns); otherwise as `window_shape`."""
    slack = shape[axis] + padding[0] + padding[1] - dilation * (kernel - 1) - 1
    if slack < 0:
        _reject_window(shape, kernel, dilation, padding, path, axis)
    return slack // stride + 1


def pool_padding(kernel: int, stride: int, given: tuple[int, int] | None, *, ceil_mode: bool) -> tuple[int, int]:
    """Return the padding (before, after) of a pool: `given`, or that of 'same' for None.

    At stride 1, 'same' keeps the size. At larger strides it is (kernel - 1) // 2 on each side if windows overlap, and
    0 if not. With `ceil_mode` the last window may start inside the feature map and end outside of it, as in torch.
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
    """Return the canonical padding after a feature map of `lengths` px, of all that give as many windows as `padding`.

    It is that of `same` if this is one of them and `least` is false, otherwise the smallest one.
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
    """Return the positive multiple of `factor` nearest to `number`; of two equally near, the larger."""
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
