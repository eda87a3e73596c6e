"""The primitive layers that make a map larger, and what is around a map: borders of other px than zeros.

Imports the standard library, `errors` and this package only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from archsearch.design.geometry import AnyExtent, Shape, slide_axes
from archsearch.design.leaf import Leaf
from archsearch.errors import SpecError

PaddingMode = Literal["zeros", "reflect", "replicate", "circular"]
"""What is around a map: zeros, the map mirrored at its border px, its border px, or its opposite side."""
Sides = tuple[tuple[int, int], tuple[int, int]]
"""px above and below a map, then left and right of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pad(Leaf):
    """A border around the map: `rows` are px above and below it, `columns` px left and right of it."""

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


def sides_text(start: str, sides: Sides, mode: PaddingMode) -> str:
    """Return a canonical text that begins with `start`, for a border that is not the same around the map."""
    (top, bottom), (left, right) = sides
    return f"{start},{top},{bottom}x{left},{right}{'' if mode == 'zeros' else f',{mode}'}"


def require_border(mode: PaddingMode, shape: Shape, sides: Sides, path: str) -> None:
    """Raise `SpecError` at `path` where a map of `shape` is too small for a border of `mode`, as torch does."""
    for length, side in zip(shape[1:], sides, strict=True):
        most = {"reflect": length - 1, "circular": length}.get(mode)
        if most is not None and max(side) > most:
            what = f"padding_mode '{mode}' cannot pad a map of {shape[1]} x {shape[2]} px by {max(side)} px"
            raise SpecError(path, what, f"Use padding of at most {most} px, fewer strides before it, or replicate.")
