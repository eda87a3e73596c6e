"""The base classes of the primitive layers of a plan, and what the layer kinds share.

Imports the standard library, `errors` and `design.geometry` only.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from fractions import Fraction
from typing import ClassVar, Literal, NoReturn, Self

from archsearch.design.geometry import AnyExtent, Shape
from archsearch.errors import ChannelsError

Symmetry = Literal["none", "lift", "pairs", "project"]
"""How a layer's weights are tied so that a mirrored input gives a mirrored output (docs/language.md, "Symmetry").

Channels c and c + C / 2 are a pair: mirroring the input mirrors and swaps them. `lift` maps an image's plain channels
to pairs, `pairs` maps pairs to pairs, `project` maps pairs to plain values.
"""
MapKind = Literal["plain", "image", "pairs"]
"""What channels are: those of a network without symmetry, those of an image before any convolution, or pairs."""
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
"""A property of layers that limits refer to; detected from the layers, never from a block's name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """Base class of the primitive layers; its defaults are those of an elementwise layer without parameters.

    A method that takes `prefix`, the path of the layers around this one with a trailing dot, raises `SpecError` at the
    layer's path if the layer does not fit its input.
    """

    name: str
    row: ClassVar[str]
    """The kind that the layer table shows."""
    is_convolution: ClassVar[bool] = False
    """Whether it is a convolution; the receptive field of a network is measured at the last one."""
    is_global: ClassVar[bool] = False
    """Whether each output sees the whole feature map; receptive fields are not measured after such a layer."""
    is_window_pool: ClassVar[bool] = False
    """Whether it counts as global if its output is one value per channel."""

    def output_shape(self, shape: Shape, prefix: str = "") -> Shape:
        """Return the output shape for an input of `shape`."""
        return shape

    def shape_after(self, shape: Shape) -> Shape:
        """Return `output_shape` for an input that is known to fit; faster if it needs no checks."""
        return self.output_shape(shape)

    def grow(self, extent: AnyExtent) -> AnyExtent:
        """Return the extent of the outputs if that of the inputs is `extent`."""
        return extent

    @property
    def is_idle(self) -> bool:
        """Whether it is the identity for every input."""
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
    def total_stride(self) -> int | Fraction:
        """The factor by which it reduces height and width."""
        return 1

    def traits(self, before: Leaf | None) -> tuple[Trait, ...]:
        """Return its traits; `before` is the previous convolution on the data path, if any."""
        return ()

    def simplified(self, shape: Shape) -> Leaf | None:
        """Return the simplest equivalent layer for a fitting input of `shape`, or None if it is the identity."""
        return None if self.is_idle else self

    def canonical(self) -> str:
        """Return a text that equal layers share whatever their names; it may be empty for the identity."""
        return ",".join([self.row, *(str(getattr(self, field.name)) for field in fields(self) if field.name != "name")])

    def tied(self, kind: MapKind) -> tuple[Self, MapKind]:
        """Return the layer tied for `symmetry: flip` and an input of `kind`, and the kind of its output."""
        return self, kind


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedLeaf(Leaf):
    """A layer that gets symmetry `pairs` if its input has pairs of channels, and then outputs pairs."""

    symmetry: Symmetry = "none"

    def tied(self, kind: MapKind) -> tuple[Self, MapKind]:
        return replace(self, symmetry="pairs") if kind == "pairs" else self, kind


def untied(weights: int, biases: int, symmetry: Symmetry) -> int:
    """Return how many of the `weights` and `biases` are free under `symmetry`; the others mirror them."""
    if symmetry == "none":
        return weights + biases
    return weights // 2 + (biases if symmetry == "project" else biases // 2)


def tie_text(symmetry: Symmetry) -> str:
    """Return the suffix of a canonical text for `symmetry`."""
    return "" if symmetry == "none" else f",{symmetry}"


def reject_channels(expected: int, got: int, path: str) -> NoReturn:
    """Raise `ChannelsError`: the layer at `path` expects another number of input channels."""
    raise ChannelsError(path, f"expected {expected} input channels, got {got}", f"Set its input channels to {got}.")


def reject_odd(count: int, what: str, path: str) -> NoReturn:
    """Raise `ChannelsError`: an odd number of channels cannot form pairs."""
    fix = f"Use {count + 1}, or set arch.symmetry=none."
    raise ChannelsError(path, f"arch.symmetry=flip needs an even number of {what}, got {count}", fix)
