"""The primitive layers that enlarge the feature map: borders and upsampling.

Imports the standard library, `errors` and this package only.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import ClassVar, Literal

from archsearch.design.geometry import AnyExtent, Shape, seen_through, slide_axes, upsampled
from archsearch.design.leaf import Leaf
from archsearch.errors import SpecError

PaddingMode = Literal["zeros", "reflect", "replicate", "circular"]
"""What fills the border: zeros, the feature map mirrored at its border px, its border px, or its opposite side."""
UpsampleMode = Literal["nearest", "bilinear"]
LARGEST_MAP = 16384
"""Maximum side of an upsampled feature map in px, four times that of an input."""
Sides = tuple[tuple[int, int], tuple[int, int]]
"""px (above, below) and (left, right) of a feature map."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pad(Leaf):
    """A border around the feature map: `rows` px above and below it, `columns` px left and right of it."""

    rows: tuple[int, int] = (0, 0)
    columns: tuple[int, int] = (0, 0)
    mode: PaddingMode = "zeros"

    row: ClassVar[str] = "pad"

    def output_shape(self, shape: Shape, prefix: str = "") -> Shape:
        require_border(self.mode, shape, (self.rows, self.columns), prefix + self.name)
        return self.shape_after(shape)

    def shape_after(self, shape: Shape) -> Shape:
        return shape[0], shape[1] + sum(self.rows), shape[2] + sum(self.columns)

    def grow(self, extent: AnyExtent) -> AnyExtent:
        return slide_axes(extent, (1, 1), 1, 1, (self.rows[0], self.columns[0]))

    @property
    def is_idle(self) -> bool:
        """Whether it has no border."""
        return not any((*self.rows, *self.columns))

    def canonical(self) -> str:
        return "" if self.is_idle else sides_text("pad", (self.rows, self.columns), self.mode)


@dataclass(frozen=True, slots=True, kw_only=True)
class Upsample(Leaf):
    """Upsampling by `factor` along both axes; `bilinear` is between px centres (torch's align_corners=False)."""

    factor: int
    mode: UpsampleMode = "nearest"

    row: ClassVar[str] = "upsample"

    def output_shape(self, shape: Shape, prefix: str = "") -> Shape:
        largest = max(shape[1:]) * self.factor
        if largest > LARGEST_MAP:
            what = f"makes a map of {shape[1]} x {shape[2]} px {self.factor} times as large, above {LARGEST_MAP} px"
            raise SpecError(prefix + self.name, what, "Use a smaller factor, or more strides before it.")
        return shape[0], shape[1] * self.factor, shape[2] * self.factor

    def grow(self, extent: AnyExtent) -> AnyExtent:
        return seen_through(extent, upsampled(self.factor, between=self.mode == "bilinear"))

    @property
    def is_idle(self) -> bool:
        """Whether the feature map keeps its size."""
        return self.factor == 1

    @property
    def total_stride(self) -> Fraction:
        return Fraction(1, self.factor)

    def simplified(self, shape: Shape) -> Upsample | None:
        if self.is_idle:
            return None
        return replace(self, mode="nearest") if shape[1:] == (1, 1) else self


def sides_text(start: str, sides: Sides, mode: PaddingMode) -> str:
    """Return the canonical text, starting with `start`, of a border that can differ between sides."""
    (top, bottom), (left, right) = sides
    return f"{start},{top},{bottom}x{left},{right}{'' if mode == 'zeros' else f',{mode}'}"


def require_border(mode: PaddingMode, shape: Shape, sides: Sides, path: str) -> None:
    """Raise `SpecError` at `path` if a feature map of `shape` is too small for a border of `mode`, as torch does."""
    for length, side in zip(shape[1:], sides, strict=True):
        most = {"reflect": length - 1, "circular": length}.get(mode)
        if most is not None and max(side) > most:
            what = f"padding_mode '{mode}' cannot pad a map of {shape[1]} x {shape[2]} px by {max(side)} px"
            raise SpecError(path, what, f"Use padding of at most {most} px, fewer strides before it, or replicate.")
