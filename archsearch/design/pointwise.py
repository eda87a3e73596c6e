"""The primitive layers that keep the shape of the feature map: norms, activations, dropout, clamps and scales.

Imports the standard library, `errors` and this package only.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import gcd
from typing import ClassVar, Literal, Self

from archsearch.design.geometry import Shape, nearest_multiple, shape_text
from archsearch.design.leaf import Leaf, MapKind, PairedLeaf, Symmetry, Trait, reject_channels, tie_text, untied
from archsearch.errors import ChannelsError, SpecError

NormKind = Literal["batch", "group", "layer", "instance", "channel"]
ActivationKind = Literal[
    "relu",
    "relu6",
    "leaky_relu",
    "elu",
    "silu",
    "gelu",
    "gelu_tanh",
    "mish",
    "hardswish",
    "sigmoid",
    "hardsigmoid",
    "tanh",
    "tanh_exp",
    "softplus",
]
EPS = 1e-5
"""What norms add to the variance by default, as in torch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Norm(PairedLeaf):
    """A normalisation with one scale and one shift per channel; `groups` is used by kind 'group' only.

    Kind 'channel' takes its statistics at every position, over the channels (ConvNeXt's layer norm); 'layer' takes
    them over the channels and all positions. With symmetry `pairs`, both channels of a pair share scale, shift and
    statistics, and groups are groups of pairs.
    """

    kind: NormKind
    channels: int
    groups: int = 1
    eps: float = EPS

    row: ClassVar[str] = "norm"

    def output_shape(self, shape: Shape, prefix: str = "") -> Shape:
        channels, height, width = shape
        if self.channels != channels:
            reject_channels(self.channels, channels, prefix + self.name)
        if self.kind == "batch":
            return shape
        if self.kind == "channel":
            if channels == 1:
                what = "a norm of kind 'channel' over one channel is always zero"
                raise SpecError(prefix + self.name, what, "Use a batch norm here, more channels, or no norm.")
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
        """A scale and a shift per channel; running statistics are not trained."""
        return untied(2 * self.channels, 0, self.symmetry)

    def shape_after(self, shape: Shape) -> Shape:
        return shape

    def simplified(self, shape: Shape) -> Norm:
        if self.kind == "batch":
            return self
        if self.kind == "channel":
            return replace(self, kind="layer") if shape[1:] == (1, 1) else self
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
        eps = "" if self.eps == EPS else f",eps{self.eps}"
        return f"{self.kind}{self.channels},{self.groups}{eps}{tie_text(self.symmetry)}"


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

    @property
    def is_idle(self) -> bool:
        """Whether nothing is dropped."""
        return not self.rate

    def traits(self, before: Leaf | None) -> tuple[Trait, ...]:
        return () if self.is_idle else ("dropout",)

    def canonical(self) -> str:
        return f"drop{self.rate},{self.channelwise:d}" if self.rate else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Clamp(Leaf):
    """Values clamped to the interval from `low` to `high`."""

    low: float
    high: float

    row: ClassVar[str] = "clamp"

    def simplified(self, shape: Shape) -> Clamp | Activation:
        return Activation(name=self.name, kind="relu6") if (self.low, self.high) == (0, 6) else self


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale(Leaf):
    """A trained factor, with `bias` also a shift: one per channel, or one for all (LayerScale, ReZero).

    With symmetry `pairs`, both channels of a pair share them. If not `learnt`, the factor is the constant `init`.
    """

    channels: int
    init: float = 1.0
    """The initial value of the factors."""
    per: Literal["channel", "layer"] = "channel"
    bias: bool = False
    learnt: bool = True
    symmetry: Symmetry = "none"

    row: ClassVar[str] = "scale"

    def output_shape(self, shape: Shape, prefix: str = "") -> Shape:
        if self.channels != shape[0]:
            reject_channels(self.channels, shape[0], prefix + self.name)
        return shape

    @property
    def count(self) -> int:
        """The number of factors; with symmetry `pairs`, every two are tied."""
        return self.channels if self.per == "channel" else 1

    @property
    def is_idle(self) -> bool:
        """Whether it is a constant factor of 1."""
        return not self.learnt and self.init == 1

    @property
    def parameters(self) -> int:
        return untied(self.count, self.count if self.bias else 0, self.symmetry) if self.learnt else 0

    def simplified(self, shape: Shape) -> Scale | None:
        if self.is_idle:
            return None
        shared = self.channels == (2 if self.symmetry == "pairs" else 1)
        return replace(self, per="layer", symmetry="none") if shared or not self.learnt else self

    def canonical(self) -> str:
        if not self.learnt:
            return "" if self.is_idle else f"times{self.init}"
        return f"scale{self.count},{self.init},{self.bias:d}{tie_text(self.symmetry)}"

    def tied(self, kind: MapKind) -> tuple[Self, MapKind]:
        shared = kind == "pairs" and self.per == "channel" and self.learnt
        return replace(self, symmetry="pairs") if shared else self, kind


@dataclass(frozen=True, slots=True, kw_only=True)
class DropPath(Leaf):
    """Stochastic depth: the feature map of an image is dropped with probability `rate` (Huang et al. 2016)."""

    rate: float

    row: ClassVar[str] = "drop_path"

    @property
    def is_idle(self) -> bool:
        """Whether nothing is dropped."""
        return not self.rate

    def canonical(self) -> str:
        return f"drop_path{self.rate}" if self.rate else ""
