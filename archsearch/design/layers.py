"""The primitive layers of a plan: one class per kind, with everything that is known without torch.

A class holds the fields of its kind, its output shape and extent, its parameters and MACs, its traits, its
canonical form, and how `symmetry: flip` ties its weights. docs/extending.md explains how to add one. Convolutions and
dense layers are here; `pools` has pooling, `resize` borders and upsampling, `pointwise` and `channels` the layers that
keep height and width.
Imports the standard library, `errors` and this package only.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from math import gcd, prod
from typing import Any, ClassVar, NoReturn, Self

from archsearch.design.channels import ChannelPool, Narrow, PadChannels, Shuffle
from archsearch.design.geometry import (
    AnyExtent,
    Shape,
    nearest_multiple,
    plain_padding,
    shape_text,
    slide,
    slide_axes,
    window_count,
    window_shape,
)
from archsearch.design.leaf import Leaf, MapKind, Symmetry, Trait, reject_channels, reject_odd, tie_text, untied
from archsearch.design.pointwise import Activation, Clamp, Dropout, DropPath, Norm, Scale
from archsearch.design.pools import BlurPool, GlobalPool, Pool
from archsearch.design.resize import Pad, PaddingMode, Sides, Upsample, require_border
from archsearch.errors import ChannelsError, SpecError


@dataclass(frozen=True, slots=True, kw_only=True)
class Conv(Leaf):
    """A square 2-d convolution; `padding` is (before, after) on both axes and may be uneven."""

    in_channels: int
    out_channels: int
    kernel: int = 3
    stride: int = 1
    dilation: int = 1
    groups: int = 1
    padding: tuple[int, int] = (0, 0)
    bias: bool = False
    symmetry: Symmetry = "none"

    row: ClassVar[str] = "conv"
    is_convolution: ClassVar[bool] = True

    def output_shape(self, shape: Shape, prefix: str = "") -> Shape:
        channels = shape[0]
        if self.in_channels != channels:
            reject_channels(self.in_channels, channels, prefix + self.name)
        groups = self.groups
        if groups != 1 and (channels % groups or self.out_channels % groups):
            _reject_groups(self, prefix + self.name)
        if self.symmetry != "none":
            self._check_pairs(prefix + self.name)
        window = self.kernel, self.stride, self.dilation, self.padding
        return window_shape(shape, self.out_channels, *window, prefix, self.name)

    def shape_after(self, shape: Shape) -> Shape:
        before, after = self.padding
        if self.stride == 1 and before + after == self.dilation * (self.kernel - 1):
            return self.out_channels, shape[1], shape[2]
        return self.output_shape(shape)

    def grow(self, extent: AnyExtent) -> AnyExtent:
        return slide(extent, self.kernel, self.stride, self.dilation, self.padding[0])

    @property
    def kernels(self) -> tuple[int, int]:
        """The height and the width of the kernel."""
        return self.kernel, self.kernel

    @property
    def longest(self) -> int:
        """The longer side of the kernel."""
        return self.kernel

    @property
    def sides(self) -> Sides:
        """The padding on each side."""
        return self.padding, self.padding

    @property
    def mode(self) -> PaddingMode:
        """What fills the padding."""
        return "zeros"

    def with_windows(self, width: int, sides: Sides, mode: PaddingMode) -> Conv:
        """Return the convolution with this kernel width, padding and padding mode; a plain `Conv` if that suffices."""
        is_square = (width, sides[1], mode) == (self.kernel, sides[0], "zeros")
        if is_square and self.padding == sides[0] and type(self) is Conv:
            return self
        own: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(Conv)}
        own["padding"] = sides[0]
        if is_square:
            return Conv(**own)
        return GeneralConv(**own, kernel_width=width, padding_width=sides[1], padding_mode=mode)

    def behind(self, border: Pad) -> Conv | None:
        """Return one convolution equal to `border` followed by this convolution, or None if there is none."""
        empty = (0, 0), (0, 0)
        if self.sides != empty and (self.mode != border.mode or border.mode not in ("zeros", "replicate")):
            return None
        borders = border.rows, border.columns
        (top, bottom), (left, right) = (
            (before + own[0], after + own[1]) for (before, after), own in zip(borders, self.sides, strict=True)
        )
        return self.with_windows(self.kernels[1], ((top, bottom), (left, right)), border.mode)

    @property
    def parameters(self) -> int:
        """The number of weights, out x in / groups x kernel^2, and biases; tied ones count once."""
        weights = self.out_channels * (self.in_channels // self.groups) * self.kernel * self.kernel
        return untied(weights, self.out_channels if self.bias else 0, self.symmetry)

    def macs(self, output: Shape) -> int:
        """Return the number of weights times that of output positions; taps on padding count, as in torch."""
        _, height, width = output
        kernel = self.kernel
        return height * width * self.out_channels * (self.in_channels // self.groups) * kernel * kernel

    def channels_after(self, channels: int) -> int:
        return self.out_channels

    @property
    def total_stride(self) -> int:
        return self.stride

    def covers(self, shape: Shape) -> bool:
        """Return whether its only window is the whole feature map of `shape`, as in a dense layer."""
        if not shape[1] == self.kernel == shape[2] or self.padding[0]:
            return False
        return (self.kernel == 1 or self.dilation == 1) and self.output_shape(shape)[1:] == (1, 1)

    def simplified(self, shape: Shape) -> Conv | Linear:
        if shape[1] > self.kernel and self.stride == self.dilation == 1:  # most convolutions
            return self
        if not self.covers(shape):
            dilation = self.dilation if self.kernel > 1 else 1
            after = plain_padding(shape[1:], self.kernel, self.stride, dilation, self.padding)
            if (after, dilation) == (self.padding[1], self.dilation):
                return self
            return replace(self, padding=(self.padding[0], after), dilation=dilation)
        if self.groups == 1 and (self.kernel == 1 or self.symmetry == "none"):
            return self._as_linear(shape)
        return replace(self, stride=1, dilation=1, padding=(0, 0))

    def _as_linear(self, shape: Shape) -> Linear:
        """Return the equivalent dense layer for a feature map of `shape` that its only window covers."""
        return Linear(
            name=self.name,
            in_features=prod(shape),
            out_features=self.out_channels,
            bias=self.bias,
            symmetry=self.symmetry,
        )

    def traits(self, before: Leaf | None) -> tuple[Trait, ...]:
        found: list[Trait] = []
        kernel, groups = self.kernel, self.groups
        if kernel == 1 and groups == 1:
            found.append("pointwise")
            if isinstance(before, Conv) and before.longest > 1 and before.groups == before.in_channels > 1:
                found.append("depthwise_separable")
        elif groups > 1:
            found.append("depthwise" if kernel > 1 and groups == self.in_channels else "grouped")
        if self.dilation > 1 and kernel > 1:
            found.append("dilated")
        if self.stride > 1:
            found.append("strided")
        return tuple(found)

    def canonical(self) -> str:
        k, (before, after) = self.kernel, self.padding
        window = f"{k},{self.stride},{self.dilation if k > 1 else 1},{self.groups},{before},{after}"
        bias = 1 if self.bias else 0
        return f"conv{self.in_channels},{self.out_channels},{window},{bias}{tie_text(self.symmetry)}"

    def tied(self, kind: MapKind) -> tuple[Self, MapKind]:
        return replace(self, symmetry="lift" if kind == "image" else "pairs"), "pairs"

    def _check_pairs(self, path: str) -> None:
        if self.symmetry != "project" and self.out_channels % 2:
            reject_odd(self.out_channels, "output channels", path)
        if self.groups > 1 and (self.symmetry != "pairs" or self.groups % 2):
            possible = {"pairs": "an even number of groups, or one", "lift": "one group on images"}
            fix = f"Use {possible.get(self.symmetry, 'one group before the classes')}."
            raise SpecError(path, f"arch.symmetry=flip cannot pair its {self.groups} groups", fix)


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneralConv(Conv):
    """A 2-d convolution whose kernel or padding differs between the axes, or whose padding is not zeros.

    `kernel` and `padding` are those of the vertical axis.
    """

    kernel_width: int
    padding_width: tuple[int, int]
    padding_mode: PaddingMode = "zeros"

    @property
    def kernels(self) -> tuple[int, int]:
        return self.kernel, self.kernel_width

    @property
    def longest(self) -> int:
        return max(self.kernel, self.kernel_width)

    @property
    def sides(self) -> Sides:
        return self.padding, self.padding_width

    @property
    def mode(self) -> PaddingMode:
        return self.padding_mode

    def output_shape(self, shape: Shape, prefix: str = "") -> Shape:
        path = prefix + self.name
        self._square(kernel=1, padding=(0, 0)).output_shape(shape, prefix)  # checks the channels
        require_border(self.mode, shape, self.sides, path)
        height, width = (
            window_count(shape, axis, kernel, self.stride, self.dilation, padding, path)
            for axis, kernel, padding in self._axes
        )
        return self.out_channels, height, width

    def shape_after(self, shape: Shape) -> Shape:
        return self.output_shape(shape)

    def grow(self, extent: AnyExtent) -> AnyExtent:
        before = self.padding[0], self.padding_width[0]
        return slide_axes(extent, self.kernels, self.stride, self.dilation, before)

    @property
    def parameters(self) -> int:
        """The number of weights, out x in / groups x kernel area, and biases; tied ones count once."""
        weights = self.out_channels * (self.in_channels // self.groups) * prod(self.kernels)
        return untied(weights, self.out_channels if self.bias else 0, self.symmetry)

    def macs(self, output: Shape) -> int:
        return prod(output) * (self.in_channels // self.groups) * prod(self.kernels)

    def covers(self, shape: Shape) -> bool:
        if shape[1:] != self.kernels or self.padding[0] or self.padding_width[0]:
            return False
        return (self.longest == 1 or self.dilation == 1) and self.output_shape(shape)[1:] == (1, 1)

    def simplified(self, shape: Shape) -> Conv | Linear:
        if self.covers(shape):
            if self.groups == 1 and self.symmetry == "none":
                return self._as_linear(shape)
            whole = self.with_windows(self.kernel_width, ((0, 0), (0, 0)), "zeros")
            plain = replace(whole, stride=1, dilation=1)
            return plain.simplified(shape) if type(plain) is Conv else plain
        dilation = self.dilation if self.longest > 1 else 1
        rows, columns = (
            (
                padding[0],
                plain_padding((shape[axis],), kernel, self.stride, dilation, padding, least=self.mode != "zeros"),
            )
            for axis, kernel, padding in self._axes
        )
        mode = self.mode if any((*rows, *columns)) else "zeros"
        if mode == "zeros" and self.kernel == self.kernel_width and rows[0] == columns[0]:
            square = self._square(dilation=dilation, padding=(rows[0], max(rows[1], columns[1])))
            if square.output_shape(shape) == self.output_shape(shape):
                return square.simplified(shape)
        return replace(self, dilation=dilation, padding=rows, padding_width=columns, padding_mode=mode)

    def traits(self, before: Leaf | None) -> tuple[Trait, ...]:
        return self._square(kernel=self.longest).traits(before)

    def canonical(self) -> str:
        (top, bottom), (left, right) = self.sides
        window = f"{self.kernel}x{self.kernel_width},{self.stride},{self.dilation},{self.groups}"
        sides = f"{top},{bottom}x{left},{right},{self.bias:d}{'' if self.mode == 'zeros' else f',{self.mode}'}"
        return f"conv{self.in_channels},{self.out_channels},{window},{sides}{tie_text(self.symmetry)}"

    @property
    def _axes(self) -> tuple[tuple[int, int, tuple[int, int]], ...]:
        """For each axis: its index in a shape, its kernel and its padding."""
        return (1, self.kernel, self.padding), (2, self.kernel_width, self.padding_width)

    def _square(self, **changes: Any) -> Conv:
        """Return a square convolution with the same channels and with `changes`."""
        return replace(self.with_windows(self.kernel, (self.padding, self.padding), "zeros"), **changes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Linear(Leaf):
    """A dense layer over the flattened feature map: (C, H, W) to (out_features, 1, 1)."""

    in_features: int
    out_features: int
    bias: bool = True
    symmetry: Symmetry = "none"

    row: ClassVar[str] = "linear"
    is_global: ClassVar[bool] = True

    def output_shape(self, shape: Shape, prefix: str = "") -> Shape:
        features = prod(shape)
        if self.in_features != features:
            what = f"expected {self.in_features} features, got {shape_text(shape)} = {features}"
            pool = " as arch.head.pool=global_average does" if prefix == "head." else ""
            raise SpecError(prefix + self.name, what, f"Set in to {features}, or pool the map before it{pool}.")
        if self.symmetry not in ("none", "project") and self.out_features % 2:
            reject_odd(self.out_features, "output features", prefix + self.name)
        return self.out_features, 1, 1

    def shape_after(self, shape: Shape) -> Shape:
        return self.out_features, 1, 1

    @property
    def parameters(self) -> int:
        weights = self.out_features * self.in_features
        return untied(weights, self.out_features if self.bias else 0, self.symmetry)

    def macs(self, output: Shape) -> int:
        return self.in_features * self.out_features

    def channels_after(self, channels: int) -> int:
        return self.out_features

    def canonical(self) -> str:
        return f"linear{self.in_features},{self.out_features},{self.bias:d}{tie_text(self.symmetry)}"

    def tied(self, kind: MapKind) -> tuple[Self, MapKind]:
        return replace(self, symmetry="lift" if kind == "image" else "pairs"), "pairs"


Primitive = (
    Conv
    | GeneralConv
    | Norm
    | Activation
    | Clamp
    | Scale
    | Dropout
    | DropPath
    | Pool
    | BlurPool
    | GlobalPool
    | ChannelPool
    | Narrow
    | Shuffle
    | PadChannels
    | Pad
    | Upsample
    | Linear
)
"""Every kind of layer."""


def _reject_groups(conv: Conv, path: str) -> NoReturn:
    inputs, outputs, groups = conv.in_channels, conv.out_channels, conv.groups
    side, width = ("input", inputs) if inputs % groups else ("output", outputs)
    fitting = gcd(gcd(inputs, outputs), groups)
    fix = f"Use {nearest_multiple(width, groups)} {side} channels, or {fitting} group{'s' if fitting > 1 else ''}."
    raise ChannelsError(path, f"{width} {side} channels are not divisible by {groups} groups", fix)
