"""The primitive layers that select, move, add or pool channels, equally at every position; they have no weights.

Imports the standard library, `errors` and this package only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, Self

from archsearch.design.geometry import Shape, nearest_multiple
from archsearch.design.leaf import Leaf, MapKind, PairedLeaf, reject_channels, reject_odd, tie_text
from archsearch.errors import ChannelsError, SpecError

PoolKind = Literal["max", "average"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Narrow(PairedLeaf):
    """A slice of `out_channels` channels from channel `start` on.

    With symmetry `pairs`, it is a slice of pairs from pair `start` / 2 on.
    """

    in_channels: int
    start: int
    out_channels: int

    row: ClassVar[str] = "narrow"

    def output_shape(self, shape: Shape, prefix: str = "") -> Shape:
        channels, height, width = shape
        if self.in_channels != channels:
            reject_channels(self.in_channels, channels, prefix + self.name)
        end = self.start + self.out_channels
        if end > channels:
            what = f"takes channels {self.start} to {end - 1} of {channels}"
            raise ChannelsError(prefix + self.name, what, "Take fewer channels, or begin at an earlier one.")
        if self.symmetry != "none":
            for count in (self.start, self.out_channels):
                if count % 2:
                    reject_odd(count, "channels in each part", prefix + self.name)
        return self.out_channels, height, width

    def channels_after(self, channels: int) -> int:
        return self.out_channels

    @property
    def is_idle(self) -> bool:
        """Whether it takes all channels."""
        return self.in_channels == self.out_channels

    def canonical(self) -> str:
        return "" if self.is_idle else f"narrow{self.start},{self.out_channels}{tie_text(self.symmetry)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shuffle(PairedLeaf):
    """The channels of `groups` groups interleaved: the first of each, the second of each, ... (ShuffleNet).

    With symmetry `pairs`, pairs are moved, in groups of pairs.
    """

    channels: int
    groups: int

    row: ClassVar[str] = "shuffle"

    def output_shape(self, shape: Shape, prefix: str = "") -> Shape:
        channels = shape[0]
        if self.channels != channels:
            reject_channels(self.channels, channels, prefix + self.name)
        if self._count % self.groups:
            pairs = "pairs of channels" if self.symmetry == "pairs" else "channels"
            fix = f"Use {nearest_multiple(self._count, self.groups)} {pairs}, or other groups."
            what = f"{self._count} {pairs} are not divisible by {self.groups} groups"
            raise ChannelsError(prefix + self.name, what, fix)
        return shape

    @property
    def _count(self) -> int:
        return self.channels // 2 if self.symmetry == "pairs" else self.channels

    @property
    def is_idle(self) -> bool:
        """Whether every channel stays where it is."""
        return self.groups in (1, self._count)

    def canonical(self) -> str:
        return "" if self.is_idle else f"shuffle{self.groups}{tie_text(self.symmetry)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PadChannels(PairedLeaf):
    """Zero channels added to the input, `before` in front of it and the rest after it, for `out_channels` in all.

    With symmetry `pairs`, pairs of zero channels are added.
    """

    in_channels: int
    out_channels: int
    before: int = 0

    row: ClassVar[str] = "pad_channels"

    def output_shape(self, shape: Shape, prefix: str = "") -> Shape:
        channels, height, width = shape
        if self.in_channels != channels:
            reject_channels(self.in_channels, channels, prefix + self.name)
        if self.before + channels > self.out_channels:
            added = f" and {self.before} in front of them" if self.before else ""
            what = f"cannot make {self.out_channels} channels of {channels}{added}"
            fix = f"Use at least {self.before + channels}, or a 1x1 convolution."
            raise ChannelsError(prefix + self.name, what, fix)
        if self.symmetry != "none":
            for count in (self.before, self.out_channels):
                if count % 2:
                    reject_odd(count, "channels", prefix + self.name)
        return self.out_channels, height, width

    def channels_after(self, channels: int) -> int:
        return self.out_channels

    @property
    def is_idle(self) -> bool:
        """Whether it adds no channels."""
        return self.in_channels == self.out_channels

    def canonical(self) -> str:
        return "" if self.is_idle else f"pad{self.out_channels},{self.before}{tie_text(self.symmetry)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelPool(Leaf):
    """The maximum or the mean of the `channels` at every position: (C, H, W) to (1, H, W)."""

    kind: PoolKind
    channels: int

    row: ClassVar[str] = "channel_pool"

    def output_shape(self, shape: Shape, prefix: str = "") -> Shape:
        channels, height, width = shape
        if self.channels != channels:
            reject_channels(self.channels, channels, prefix + self.name)
        return 1, height, width

    def channels_after(self, channels: int) -> int:
        return 1

    @property
    def is_idle(self) -> bool:
        """Whether there is only one channel."""
        return self.channels == 1

    def canonical(self) -> str:
        return "" if self.is_idle else f"channel{self.kind}"

    def tied(self, kind: MapKind) -> tuple[Self, MapKind]:
        if kind == "pairs":
            what = "arch.symmetry=flip: a pool over channels makes one channel of pairs"
            raise SpecError(self.name, what, "Use global pools, or set arch.symmetry=none.")
        return self, kind
