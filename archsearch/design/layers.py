"""The primitive layers of a plan: one class per kind, with everything that is known without torch.

A class holds the fields of its kind, its output shape and extent, its parameters and MACs, its traits, its
canonical form, and how `symmetry: flip` ties its weights. docs/extending.md explains how to add one. The kinds here
look at windows, or at the whole map; those of `pointwise` and `channels` leave the map as large as it is.
Imports the standard library, `errors` and this package only.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import gcd, prod
from typing import ClassVar, NoReturn, Self

from archsearch.design.channels import ChannelPool, Narrow, PadChannels, PoolKind, Shuffle
from archsearch.design.geometry import Extent, Shape, nearest_multiple, shape_text, slide, window_shape
from archsearch.design.leaf import Leaf, MapKind, Symmetry, Trait, reject_channels, reject_odd, tie_text, untied
from archsearch.design.pointwise import Activation, Clamp, Dropout, DropPath, Norm, Scale
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

    def grow(self, extent: Extent) -> Extent:
        return slide(extent, self.kernel, self.stride, self.dilation, self.padding[0])

    @property
    def parameters(self) -> int:
        """The weights, out x in / groups x kernel^2, and the biases; half of them where they are tied."""
        weights = self.out_channels * (self.in_channels // self.groups) * self.kernel * self.kernel
        return untied(weights, self.out_channels if self.bias else 0, self.symmetry)

    def macs(self, output: Shape) -> int:
        """Return the weights times the positions; taps on padding count, as in torch."""
        _, height, width = output
        kernel = self.kernel
        return height * width * self.out_channels * (self.in_channels // self.groups) * kernel * kernel

    def channels_after(self, channels: int) -> int:
        return self.out_channels

    @property
    def total_stride(self) -> int:
        return self.stride

    def covers(self, shape: Shape) -> bool:
        """Return whether its one window is a map of `shape`, as that of a dense layer is."""
        if not shape[1] == self.kernel == shape[2] or self.padding[0]:
            return False
        return (self.kernel == 1 or self.dilation == 1) and self.output_shape(shape)[1:] == (1, 1)

    def simplified(self, shape: Shape) -> Conv | Linear:
        if shape[1] > self.kernel and self.stride == self.dilation == 1:  # most convolutions
            return self
        if not self.covers(shape):
            dilation = self.dilation if self.kernel > 1 else 1
            after = _plain_padding(shape, self.kernel, self.stride, dilation, self.padding)
            if (after, dilation) == (self.padding[1], self.dilation):
                return self
            return replace(self, padding=(self.padding[0], after), dilation=dilation)
        if self.groups == 1 and (self.kernel == 1 or self.symmetry == "none"):
            return Linear(
                name=self.name,
                in_features=prod(shape),
                out_features=self.out_channels,
                bias=self.bias,
                symmetry=self.symmetry,
            )
        return replace(self, stride=1, dilation=1, padding=(0, 0))

    def traits(self, before: Leaf | None) -> tuple[Trait, ...]:
        found: list[Trait] = []
        kernel, groups = self.kernel, self.groups
        if kernel == 1 and groups == 1:
            found.append("pointwise")
            if isinstance(before, Conv) and before.kernel > 1 and before.groups == before.in_channels > 1:
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
        window = f"{k},{self.stride},{self.dilation if k > 1 else 1},{self.groups},{before},{after},{self.bias:d}"
        return f"conv{self.in_channels},{self.out_channels},{window}{tie_text(self.symmetry)}"

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
class Pool(Leaf):
    """A max or average pooling window; padded positions never win a max.

    They do not count in an average either, unless with `counts_padding`, where they are zeros of it.
    """

    kind: PoolKind
    kernel: int
    stride: int
    padding: tuple[int, int] = (0, 0)
    counts_padding: bool = False

    row: ClassVar[str] = "pool"
    is_window_pool: ClassVar[bool] = True

    def output_shape(self, shape: Shape, prefix: str = "") -> Shape:
        kernel, (before, after) = self.kernel, self.padding
        if max(before, after) >= kernel:
            what = f"padding {before}+{after} must be smaller than the window of {kernel} px"
            raise SpecError(prefix + self.name, what, f"Use padding of at most {kernel - 1} on each side.")
        return window_shape(shape, shape[0], kernel, self.stride, 1, self.padding, prefix, self.name)

    def grow(self, extent: Extent) -> Extent:
        return slide(extent, self.kernel, self.stride, 1, self.padding[0])

    @property
    def total_stride(self) -> int:
        return self.stride

    def simplified(self, shape: Shape) -> Pool | GlobalPool | None:
        counts = self.counts_padding and self.kind == "average" and self._reaches_padding(shape)
        if counts:
            after = _plain_padding(shape, self.kernel, self.stride, 1, self.padding)
            return replace(self, padding=(self.padding[0], after))
        is_whole = self.kernel - self.padding[0] >= max(shape[1:]) and self.output_shape(shape)[1:] == (1, 1)
        if (is_whole and shape[1:] == (1, 1)) or self.is_idle:
            return None
        if is_whole:
            return GlobalPool(name=self.name, kind=self.kind)
        after = _plain_padding(shape, self.kernel, self.stride, 1, self.padding)
        kind: PoolKind = "max" if self.kernel == 1 else self.kind
        if (after, kind, counts) == (self.padding[1], self.kind, self.counts_padding):
            return self
        return replace(self, kind=kind, padding=(self.padding[0], after), counts_padding=False)

    def _reaches_padding(self, shape: Shape) -> bool:
        """Return whether a window on a map of `shape` has padding in it."""
        before = self.padding[0]
        ends = [(windows - 1) * self.stride + self.kernel - before for windows in self.output_shape(shape)[1:]]
        return before > 0 or any(end > length for end, length in zip(ends, shape[1:], strict=True))

    @property
    def is_idle(self) -> bool:
        """Whether its windows are single px, one beside the other."""
        return self.kernel == self.stride == 1

    def traits(self, before: Leaf | None) -> tuple[Trait, ...]:
        if self.is_idle:
            return ()
        if self.kernel == 1:  # takes every so many px: the maximum, and the average, of one
            return "max_pool", "average_pool"
        return ("max_pool",) if self.kind == "max" else ("smoothing" if self.stride == 1 else "average_pool",)

    def canonical(self) -> str:
        before, after = self.padding
        counted = ",counted" if self.counts_padding else ""
        return "" if self.is_idle else f"{self.kind}{self.kernel},{self.stride},{before},{after}{counted}"


@dataclass(frozen=True, slots=True, kw_only=True)
class BlurPool(Leaf):
    """A fixed binomial filter over every channel, of a map that is mirrored at its border (Zhang 2019)."""

    kernel: int
    stride: int
    padding: tuple[int, int] = (0, 0)

    row: ClassVar[str] = "blur_pool"
    is_window_pool: ClassVar[bool] = True

    def output_shape(self, shape: Shape, prefix: str = "") -> Shape:
        most = max(self.padding)
        if most >= min(shape[1:]):
            what = f"a border of {most} px cannot be mirrored from a map of {shape[1]} x {shape[2]} px"
            raise SpecError(prefix + self.name, what, "Use a smaller kernel, or fewer strides before it.")
        return window_shape(shape, shape[0], self.kernel, self.stride, 1, self.padding, prefix, self.name)

    def grow(self, extent: Extent) -> Extent:
        return slide(extent, self.kernel, self.stride, 1, self.padding[0])

    def macs(self, output: Shape) -> int:
        """Return those of the depthwise convolution that it is computed as."""
        return prod(output) * self.kernel * self.kernel

    @property
    def total_stride(self) -> int:
        return self.stride

    def simplified(self, shape: Shape) -> BlurPool:
        after = _plain_padding(shape, self.kernel, self.stride, 1, self.padding)
        return replace(self, padding=(self.padding[0], after))

    def traits(self, before: Leaf | None) -> tuple[Trait, ...]:
        return ("smoothing" if self.stride == 1 else "average_pool",)

    def canonical(self) -> str:
        before, after = self.padding
        return f"blur{self.kernel},{self.stride},{before},{after}"


@dataclass(frozen=True, slots=True, kw_only=True)
class GlobalPool(Leaf):
    """Reduction of every channel's map to one value: (C, H, W) to (C, 1, 1)."""

    kind: PoolKind

    row: ClassVar[str] = "global_pool"
    is_global: ClassVar[bool] = True

    def output_shape(self, shape: Shape, prefix: str = "") -> Shape:
        return shape[0], 1, 1

    def simplified(self, shape: Shape) -> GlobalPool | None:
        return None if shape[1:] == (1, 1) else self

    def canonical(self) -> str:
        return f"global{self.kind}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Linear(Leaf):
    """A dense layer over the flattened map: (C, H, W) to (out_features, 1, 1)."""

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
    | Linear
)
"""Every kind of layer."""


def _plain_padding(shape: Shape, kernel: int, stride: int, dilation: int, padding: tuple[int, int]) -> int:
    """Return the padding behind a map of `shape` that stands for all that give as many windows.

    It is that of `same` where this is one of them, or the least.
    """
    if stride == 1:
        return padding[1]
    before, reach = padding[0], dilation * (kernel - 1)
    slacks = [length + before - reach - 1 for length in shape[1:]]
    lasts = [(slack + padding[1]) // stride for slack in slacks]
    same = reach - before
    if same >= 0 and [(slack + same) // stride for slack in slacks] == lasts:
        return same
    return max(0, *(last * stride - slack for last, slack in zip(lasts, slacks, strict=True)))


def _reject_groups(conv: Conv, path: str) -> NoReturn:
    inputs, outputs, groups = conv.in_channels, conv.out_channels, conv.groups
    side, width = ("input", inputs) if inputs % groups else ("output", outputs)
    fitting = gcd(gcd(inputs, outputs), groups)
    fix = f"Use {nearest_multiple(width, groups)} {side} channels, or {fitting} group{'s' if fitting > 1 else ''}."
    raise ChannelsError(path, f"{width} {side} channels are not divisible by {groups} groups", fix)
