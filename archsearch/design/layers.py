"""The primitive layers of a plan: one class per kind, with everything that is known without torch.

A class holds the fields of its kind, its output shape and extent, its parameters and MACs, its traits, its
canonical form, and how `symmetry: flip` ties its weights. docs/extending.md explains how to add one.
Imports the standard library, `errors` and `design.geometry` only.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from math import gcd, prod
from typing import ClassVar, Literal, NoReturn, Self

from archsearch.design.geometry import Extent, Shape, nearest_multiple, shape_text, slide, window_shape
from archsearch.errors import ChannelsError, SpecError

NormKind = Literal["batch", "group", "layer", "instance"]
ActivationKind = Literal[
    "relu", "relu6", "leaky_relu", "elu", "silu", "gelu", "mish", "hardswish", "sigmoid", "hardsigmoid", "tanh"
]
PoolKind = Literal["max", "average"]
Symmetry = Literal["none", "lift", "pairs", "project"]
"""How a layer's weights are tied so that a mirrored input gives a mirrored output (docs/language.md, "Symmetry").

Channels c and c + C / 2 are a pair, each the other's for the mirror image. `lift` makes pairs of an image's plain
channels, `pairs` takes and makes pairs, `project` makes plain values of pairs.
"""
MapKind = Literal["plain", "image", "pairs"]
"""The channels of a map: of a network without symmetry, of an image before the first convolution, or pairs."""
Trait = Literal[
    "depthwise",
    "depthwise_separable",
    "pointwise",
    "grouped",
    "dilated",
    "strided",
    "residual",
    "gate",
    "max_pool",
    "average_pool",
    "smoothing",
    "dropout",
]
"""A property of layers that limits ask for; read off the layers, never off a block's name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """The base of every primitive layer; its defaults are those of an elementwise layer without parameters.

    A method that takes `prefix`, the path of the layers around this one with a trailing dot, raises `SpecError` at the
    layer's path if the layer does not fit its input.
    """

    name: str
    row: ClassVar[str]
    """The kind of its rows in the layer table."""
    is_convolution: ClassVar[bool] = False
    """Whether the receptive field of a network is measured at the last of these."""
    is_global: ClassVar[bool] = False
    """Whether each output sees the whole map, so that receptive fields are not measured behind it."""
    is_window_pool: ClassVar[bool] = False
    """Whether the same holds where its output is one value per channel."""

    def output_shape(self, shape: Shape, prefix: str = "") -> Shape:
        """Return the shape of its output for an input of `shape`."""
        return shape

    def shape_after(self, shape: Shape) -> Shape:
        """Return `output_shape` for an input that is known to fit, which takes less time."""
        return self.output_shape(shape)

    def grow(self, extent: Extent) -> Extent:
        """Return the extent of its outputs for inputs of `extent`."""
        return extent

    @property
    def is_idle(self) -> bool:
        """Whether it does nothing, whatever its input."""
        return False

    @property
    def parameters(self) -> int:
        """The number of trained weights, biases, scales and shifts; tied ones count once."""
        return 0

    def macs(self, output: Shape) -> int:
        """Return the multiply-accumulates for one image, whose output has the shape `output`."""
        return 0

    def channels_after(self, channels: int) -> int:
        """Return the number of output channels for an input of `channels`."""
        return channels

    @property
    def total_stride(self) -> int:
        """The factor by which it makes the map smaller."""
        return 1

    def traits(self, before: Leaf | None) -> tuple[Trait, ...]:
        """Return its traits; `before` is the convolution before it on the path of the data."""
        return ()

    def simplified(self, shape: Shape) -> Primitive | None:
        """Return the plainest layer that computes the same from an input of `shape`, which fits; None for nothing."""
        return self  # pyright: ignore[reportReturnType] - every leaf is one of the primitives

    def canonical(self) -> str:
        """Return the text that equal layers share, without the name; empty for a layer that does nothing."""
        return ",".join([self.row, *(str(getattr(self, field.name)) for field in fields(self) if field.name != "name")])

    def tied(self, kind: MapKind) -> tuple[Self, MapKind]:
        """Return the layer with `symmetry: flip` for an input of `kind`, and the kind of its output."""
        return self, kind


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
            _reject_channels(self.in_channels, channels, prefix + self.name)
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
        return _untied(weights, self.out_channels if self.bias else 0, self.symmetry)

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
            _reject_odd(self.out_channels, "output channels", path)
        if self.groups > 1 and (self.symmetry != "pairs" or self.groups % 2):
            possible = {"pairs": "an even number of groups, or one", "lift": "one group on images"}
            fix = f"Use {possible.get(self.symmetry, 'one group before the classes')}."
            raise SpecError(path, f"arch.symmetry=flip cannot pair its {self.groups} groups", fix)


@dataclass(frozen=True, slots=True, kw_only=True)
class Norm(Leaf):
    """A normalisation with one scale and one shift per channel; `groups` is used by kind 'group' only.

    With symmetry `pairs` both channels of a pair share them, and their statistics; groups are then those of the pairs.
    """

    kind: NormKind
    channels: int
    groups: int = 1
    symmetry: Symmetry = "none"

    row: ClassVar[str] = "norm"

    def output_shape(self, shape: Shape, prefix: str = "") -> Shape:
        channels, height, width = shape
        if self.channels != channels:
            _reject_channels(self.channels, channels, prefix + self.name)
        if self.kind == "batch":
            return shape
        if self.symmetry == "pairs":
            channels, width = channels // 2, width * 2
        groups = {"group": self.groups, "layer": 1, "instance": channels}[self.kind]
        if channels % groups:
            fix = f"Use {nearest_multiple(channels, groups)} channels, or {gcd(channels, groups)} groups."
            raise ChannelsError(prefix + self.name, f"{channels} channels are not divisible by {groups} groups", fix)
        if channels // groups * height * width == 1:
            what = f"a norm of kind '{self.kind}' over one value per group ({shape_text(shape)}, {groups} groups)"
            fix = "Use a batch norm here, fewer groups, or no norm."
            raise SpecError(prefix + self.name, f"{what} is always zero", fix)
        return shape

    @property
    def parameters(self) -> int:
        """A scale and a shift per channel; running means are not trained."""
        return _untied(2 * self.channels, 0, self.symmetry)

    def shape_after(self, shape: Shape) -> Shape:
        return shape

    def simplified(self, shape: Shape) -> Norm:
        if self.kind == "batch":
            return self
        if self.kind != "group":
            return replace(self, kind="layer") if self.kind == "instance" and self._count == 1 else self
        one_kind = {1: "layer", self._count: "instance"} if self._count > 1 else {1: "layer"}
        kind = one_kind.get(self.groups)
        return self if kind is None else replace(self, kind=kind, groups=1)

    @property
    def _count(self) -> int:
        """The number of channels that have a scale of their own."""
        return self.channels // 2 if self.symmetry == "pairs" else self.channels

    def canonical(self) -> str:
        return f"{self.kind}{self.channels},{self.groups}{tie_text(self.symmetry)}"

    def tied(self, kind: MapKind) -> tuple[Self, MapKind]:
        return replace(self, symmetry="pairs") if kind == "pairs" else self, kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Activation(Leaf):
    """An elementwise non-linearity without parameters."""

    kind: ActivationKind

    row: ClassVar[str] = "activation"

    def canonical(self) -> str:
        return self.kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Dropout(Leaf):
    """Dropout with probability `rate`: of single elements, or of whole channels."""

    rate: float
    channelwise: bool = False

    row: ClassVar[str] = "dropout"

    def simplified(self, shape: Shape) -> Dropout | None:
        return None if self.is_idle else self

    @property
    def is_idle(self) -> bool:
        """Whether nothing is dropped."""
        return not self.rate

    def traits(self, before: Leaf | None) -> tuple[Trait, ...]:
        return () if self.is_idle else ("dropout",)

    def canonical(self) -> str:
        return f"drop{self.rate},{self.channelwise:d}" if self.rate else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool(Leaf):
    """A max or average pooling window; padded positions never win a max and do not count in an average."""

    kind: PoolKind
    kernel: int
    stride: int
    padding: tuple[int, int] = (0, 0)

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
        is_whole = self.kernel - self.padding[0] >= max(shape[1:]) and self.output_shape(shape)[1:] == (1, 1)
        if (is_whole and shape[1:] == (1, 1)) or self.is_idle:
            return None
        if is_whole:
            return GlobalPool(name=self.name, kind=self.kind)
        after = _plain_padding(shape, self.kernel, self.stride, 1, self.padding)
        kind: PoolKind = "max" if self.kernel == 1 else self.kind
        if (after, kind) == (self.padding[1], self.kind):
            return self
        return replace(self, kind=kind, padding=(self.padding[0], after))

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
        return "" if self.is_idle else f"{self.kind}{self.kernel},{self.stride},{before},{after}"


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
            raise SpecError(prefix + self.name, what, f"Set in to {features}, or pool the map before it.")
        if self.symmetry not in ("none", "project") and self.out_features % 2:
            _reject_odd(self.out_features, "output features", prefix + self.name)
        return self.out_features, 1, 1

    def shape_after(self, shape: Shape) -> Shape:
        return self.out_features, 1, 1

    @property
    def parameters(self) -> int:
        weights = self.out_features * self.in_features
        return _untied(weights, self.out_features if self.bias else 0, self.symmetry)

    def macs(self, output: Shape) -> int:
        return self.in_features * self.out_features

    def channels_after(self, channels: int) -> int:
        return self.out_features

    def canonical(self) -> str:
        return f"linear{self.in_features},{self.out_features},{self.bias:d}{tie_text(self.symmetry)}"

    def tied(self, kind: MapKind) -> tuple[Self, MapKind]:
        return replace(self, symmetry="lift" if kind == "image" else "pairs"), "pairs"


Primitive = Conv | Norm | Activation | Dropout | Pool | GlobalPool | Linear
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


def _untied(weights: int, biases: int, symmetry: Symmetry) -> int:
    """Return how many of the weights and biases a layer with `symmetry` has; the others mirror them."""
    if symmetry == "none":
        return weights + biases
    return weights // 2 + (biases if symmetry == "project" else biases // 2)


def tie_text(symmetry: Symmetry) -> str:
    """Return the suffix of a canonical text for a symmetry."""
    return "" if symmetry == "none" else f",{symmetry}"


def _reject_channels(expected: int, got: int, path: str) -> NoReturn:
    raise ChannelsError(path, f"expected {expected} input channels, got {got}", f"Set its input channels to {got}.")


def _reject_groups(conv: Conv, path: str) -> NoReturn:
    inputs, outputs, groups = conv.in_channels, conv.out_channels, conv.groups
    side, width = ("input", inputs) if inputs % groups else ("output", outputs)
    fitting = gcd(gcd(inputs, outputs), groups)
    fix = f"Use {nearest_multiple(width, groups)} {side} channels, or {fitting} group{'s' if fitting > 1 else ''}."
    raise ChannelsError(path, f"{width} {side} channels are not divisible by {groups} groups", fix)


def _reject_odd(count: int, what: str, path: str) -> NoReturn:
    fix = f"Use {count + 1}, or set arch.symmetry=none."
    raise SpecError(path, f"arch.symmetry=flip needs an even number of {what}, got {count}", fix)
