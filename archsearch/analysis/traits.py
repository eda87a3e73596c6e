"""Traits: what a plan is made of (dilated, depthwise separable, pooled, ...), read off its primitives.

A block's name never counts. Imports the plan only; no torch, no numpy.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, assert_never, get_args

from archsearch.design.plan import (
    Activation,
    Conv,
    Dropout,
    GlobalPool,
    Layer,
    Linear,
    Norm,
    Parallel,
    Plan,
    Pool,
    Sequence,
)

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
    "dropout",
]
TRAITS: tuple[str, ...] = get_args(Trait)
HeadKind = Literal["global_average", "global_max", "none"]
HEADS: tuple[str, ...] = get_args(HeadKind)


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """What was found: the `present` traits, how the head pools, and the layers that downsample by each way.

    `strided_layers` counts convolutions of stride above 1, `dilated_layers` those with a dilation
    above 1, and `either` those with at least one of the two; along the longest branch of a parallel.
    """

    present: frozenset[str]
    head: HeadKind
    strided_layers: int
    dilated_layers: int
    either: int


def read_traits(plan: Plan, output_shape: tuple[int, int, int]) -> Traits:
    """Return the traits of `plan`, whose map is `output_shape` at its end.

    An average pool that ends the map at one value a channel is the head's global average, whatever
    its window: the assignment's own network pools a 4x4 map with one 3x3 window.
    """
    found: set[str] = set()
    head: HeadKind = "none"
    last = _last_reduction(plan)
    if isinstance(last, GlobalPool) or (last is not None and output_shape[1:] == (1, 1)):
        head = "global_max" if last.kind == "max" else "global_average"
    else:
        last = None
    strided, dilated, either = _collect(plan.layers, found, last, _Way())
    return Traits(present=frozenset(found), head=head, strided_layers=strided, dilated_layers=dilated, either=either)


class _Way:
    """The convolution before the one at hand, on the way of the data."""

    __slots__ = ("conv",)

    def __init__(self, conv: Conv | None = None) -> None:
        self.conv = conv


def _collect(layers: Iterable[Layer], found: set[str], head: Layer | None, way: _Way) -> tuple[int, int, int]:
    """Add the traits of `layers` to `found`; return how many layers are strided, dilated, and either."""
    strided = dilated = either = 0
    for layer in layers:
        match layer:
            case Sequence(layers=inner):
                one, two, three = _collect(inner, found, head, way)
                strided, dilated, either = strided + one, dilated + two, either + three
            case Conv(stride=stride, dilation=dilation, kernel=kernel):
                _collect_conv(layer, found, way)
                spread = dilation > 1 and kernel > 1
                strided += stride > 1
                dilated += spread
                either += stride > 1 or spread
            case Norm() | Activation() | GlobalPool() | Linear():
                pass
            case Pool(kind=kind):
                if layer is not head:
                    found.add("max_pool" if kind == "max" else "average_pool")
            case Dropout():
                found.add("dropout")
            case Parallel(branches=branches, combine=combine):
                if combine == "add" and any(not branch.layers or branch.name == "shortcut" for branch in branches):
                    found.add("residual")
                if combine == "multiply":
                    found.add("gate")
                ways = [_Way(way.conv) for _ in branches]
                counts = [_collect(branch.layers, found, head, one) for branch, one in zip(branches, ways, strict=True)]
                way.conv = ways[0].conv
                strided += max(count[0] for count in counts)
                dilated += max(count[1] for count in counts)
                either += max(count[2] for count in counts)
            case _:
                assert_never(layer)
    return strided, dilated, either


def _collect_conv(conv: Conv, found: set[str], way: _Way) -> None:
    kernel, groups, before = conv.kernel, conv.groups, way.conv
    way.conv = conv
    if kernel == 1 and groups == 1:
        found.add("pointwise")
        if before is not None and before.kernel > 1 and before.groups == before.in_channels > 1:
            found.add("depthwise_separable")
    elif groups > 1:
        found.add("depthwise" if kernel > 1 and groups == conv.in_channels else "grouped")
    if conv.dilation > 1 and kernel > 1:
        found.add("dilated")
    if conv.stride > 1:
        found.add("strided")


def _last_reduction(plan: Plan) -> GlobalPool | Pool | None:
    """Return the pool of the head: the last pool of the plan with no convolution of kernel above 1 behind it."""
    for layer in _backwards(plan.layers):
        match layer:
            case GlobalPool() | Pool():
                return layer
            case Conv(kernel=kernel) if kernel > 1:
                return None
            case Parallel():
                return None
            case _:
                pass
    return None


def _backwards(layers: tuple[Layer, ...]) -> Iterator[Layer]:
    for layer in reversed(layers):
        if isinstance(layer, Sequence):
            yield from _backwards(layer.layers)
        else:
            yield layer
