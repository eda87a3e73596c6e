"""The primitive layers that pool every channel, over windows or over the whole feature map.

Imports the standard library, `errors` and this package only.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import ClassVar

from archsearch.design.channels import PoolKind
from archsearch.design.geometry import AnyExtent, Shape, plain_padding, slide, window_shape
from archsearch.design.leaf import Leaf, Trait
from archsearch.errors import SpecError


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool(Leaf):
    """Max or average pooling over windows; padding never wins a max.

    It does not count in an average either, unless `counts_padding` is true: then it counts as zeros.
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

    def grow(self, extent: AnyExtent) -> AnyExtent:
        return slide(extent, self.kernel, self.stride, 1, self.padding[0])

    @property
    def total_stride(self) -> int:
        return self.stride

    def simplified(self, shape: Shape) -> Pool | GlobalPool | None:
        counts = self.counts_padding and self.kind == "average" and self._reaches_padding(shape)
        if counts:
            after = plain_padding(shape[1:], self.kernel, self.stride, 1, self.padding)
            return replace(self, padding=(self.padding[0], after))
        is_whole = self.kernel - self.padding[0] >= max(shape[1:]) and self.output_shape(shape)[1:] == (1, 1)
        if (is_whole and shape[1:] == (1, 1)) or self.is_idle:
            return None
        if is_whole:
            return GlobalPool(name=self.name, kind=self.kind)
        after = plain_padding(shape[1:], self.kernel, self.stride, 1, self.padding)
        kind: PoolKind = "max" if self.kernel == 1 else self.kind
        if (after, kind, counts) == (self.padding[1], self.kind, self.counts_padding):
            return self
        return replace(self, kind=kind, padding=(self.padding[0], after), counts_padding=False)

    def _reaches_padding(self, shape: Shape) -> bool:
        """Return whether a window on a feature map of `shape` includes padding."""
        before = self.padding[0]
        ends = [(windows - 1) * self.stride + self.kernel - before for windows in self.output_shape(shape)[1:]]
        return before > 0 or any(end > length for end, length in zip(ends, shape[1:], strict=True))

    @property
    def is_idle(self) -> bool:
        """Whether its windows are single px at stride 1."""
        return self.kernel == self.stride == 1

    def traits(self, before: Leaf | None) -> tuple[Trait, ...]:
        if self.is_idle:
            return ()
        if self.kernel == 1:  # subsampling: the maximum and the average of one px
            return "max_pool", "average_pool"
        return ("max_pool",) if self.kind == "max" else ("smoothing" if self.stride == 1 else "average_pool",)

    def canonical(self) -> str:
        before, after = self.padding
        counted = ",counted" if self.counts_padding else ""
        return "" if self.is_idle else f"{self.kind}{self.kernel},{self.stride},{before},{after}{counted}"


@dataclass(frozen=True, slots=True, kw_only=True)
class BlurPool(Leaf):
    """A fixed binomial filter over every channel, with the feature map mirrored at its border (Zhang 2019)."""

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

    def grow(self, extent: AnyExtent) -> AnyExtent:
        return slide(extent, self.kernel, self.stride, 1, self.padding[0])

    def macs(self, output: Shape) -> int:
        """Return the multiply-accumulates of the depthwise convolution that computes it."""
        return prod(output) * self.kernel * self.kernel

    @property
    def total_stride(self) -> int:
        return self.stride

    def simplified(self, shape: Shape) -> BlurPool:
        after = plain_padding(shape[1:], self.kernel, self.stride, 1, self.padding)
        return replace(self, padding=(self.padding[0], after))

    def traits(self, before: Leaf | None) -> tuple[Trait, ...]:
        return ("smoothing" if self.stride == 1 else "average_pool",)

    def canonical(self) -> str:
        before, after = self.padding
        return f"blur{self.kernel},{self.stride},{before},{after}"


@dataclass(frozen=True, slots=True, kw_only=True)
class GlobalPool(Leaf):
    """Reduction of every channel to one value: (C, H, W) to (C, 1, 1)."""

    kind: PoolKind

    row: ClassVar[str] = "global_pool"
    is_global: ClassVar[bool] = True

    def output_shape(self, shape: Shape, prefix: str = "") -> Shape:
        return shape[0], 1, 1

    def simplified(self, shape: Shape) -> GlobalPool | None:
        return None if shape[1:] == (1, 1) else self

    def canonical(self) -> str:
        return f"global{self.kind}"
