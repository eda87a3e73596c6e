"""What every primitive layer of a plan has: the base class of their kinds, and the words that kinds share.

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

    def grow(self, extent: AnyExtent) -> AnyExtent:
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
    def total_stride(self) -> int | Fraction:
        """The factor by which it makes the map smaller."""
        return 1

    def traits(self, before: Leaf | None) -> tuple[Trait, ...]:
        """Return its traits; `before` is the convolution before it on the path of the data."""
        return ()

    def simplified(self, shape: Shape) -> Leaf | None:
        """Return the plainest layer that computes the same from an input of `shape`, which fits; None for nothing."""
        return None if self.is_idle else self

    def canonical(self) -> str:
        """Return the text that equal layers share, without the name; empty for a layer that does nothing."""
        return ",".join([self.row, *(str(getattr(self, field.name)) for field in fields(self) if field.name != "name")])

    def tied(self, kind: MapKind) -> tuple[Self, MapKind]:
        """Return the layer with `symmetry: flip` for an input of `kind`, and the kind of its output."""
        return self, kind


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedLeaf(Leaf):
    """A layer that makes pairs of channels of pairs; it has symmetry `pairs` then."""

    symmetry: Symmetry = "none"

    def tied(self, kind: MapKind) -> tuple[Self, MapKind]:
        return replace(self, symmetry="pairs") if kind == "pairs" else self, kind


def untied(weights: int, biases: int, symmetry: Symmetry) -> int:
    """Return how many of the weights and biases a layer with `symmetry` has; the others mirror them."""
    if symmetry == "none":
        return weights + biases
    return weights // 2 + (biases if symmetry == "project" else biases // 2)


def tie_text(symmetry: Symmetry) -> str:
    """Return the suffix of a canonical text for a symmetry."""
    return "" if symmetry == "none" else f",{symmetry}"


def reject_channels(expected: int, got: int, path: str) -> NoReturn:
    """Raise the error that the layer at `path` gets other channels than it expects."""
    raise ChannelsError(path, f"expected {expected} input channels, got {got}", f"Set its input channels to {got}.")


def reject_odd(count: int, what: str, path: str) -> NoReturn:
    """Raise the error that an odd number of channels cannot be pairs."""
    fix = f"Use {count + 1}, or set arch.symmetry=none."
    raise ChannelsError(path, f"arch.symmetry=flip needs an even number of {what}, got {count}", fix)
