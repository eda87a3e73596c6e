"""Traits: what a plan is made of (dilated, depthwise separable, pooled, ...), read off its layers.

Each kind of layer names its own; a block's name never counts. Imports the design only; no torch, no numpy.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, get_args

from archsearch.design.geometry import ONE_PIXEL, Shape
from archsearch.design.layers import GlobalPool, Pool, Primitive, Trait
from archsearch.design.plan import Layer, Parallel, Plan, Sequence

TRAITS: tuple[str, ...] = get_args(Trait)
HeadKind = Literal["global_average", "global_max", "none"]
HEADS: tuple[str, ...] = get_args(HeadKind)


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """The `present` traits of a plan, how its head pools, and how many layers downsample in each way.

    `strided_layers` counts convolutions of stride above 1, `dilated_layers` those with a dilation
    above 1, and `either` those with at least one of the two; along the longest branch of a parallel.
    """

    present: frozenset[str]
    head: HeadKind
    strided_layers: int
    dilated_layers: int
    either: int


def read_traits(plan: Plan, output_shape: Shape) -> Traits:
    """Return the traits of `plan`, whose last map is `output_shape`.

    An average pool that ends the map at one value per channel is the head's global average, whatever
    its window: the assignment's own network pools a 4x4 map with one 3x3 window.
    """
    head: HeadKind = "none"
    last = _last_reduction(plan)
    if isinstance(last, GlobalPool) or (last is not None and output_shape[1:] == (1, 1)):
        head = "global_max" if last.kind == "max" else "global_average"
    else:
        last = None
    found: set[str] = set()
    strided, dilated, either, _ = _collect(plan.layers, found, last, None)
    return Traits(present=frozenset(found), head=head, strided_layers=strided, dilated_layers=dilated, either=either)


def _collect(
    layers: Iterable[Layer], found: set[str], head: Primitive | None, before: Primitive | None
) -> tuple[int, int, int, Primitive | None]:
    """Add the traits of `layers` to `found`; return how many are strided, dilated and either, and the last convolution.

    `before` is the convolution before them, and `head` the pool that does not count.
    """
    strided = dilated = either = 0
    for layer in layers:
        if isinstance(layer, Sequence):
            one, two, three, before = _collect(layer.layers, found, head, before)
            strided, dilated, either = strided + one, dilated + two, either + three
        elif isinstance(layer, Parallel):
            found.update(layer.traits())
            branches = [_collect(branch.layers, found, head, before) for branch in layer.branches]
            before = branches[0][3]
            strided += max(branch[0] for branch in branches)
            dilated += max(branch[1] for branch in branches)
            either += max(branch[2] for branch in branches)
        else:
            traits = () if layer is head else layer.traits(before)
            if traits:
                found.update(traits)
                is_strided, is_dilated = "strided" in traits, "dilated" in traits
                strided += is_strided
                dilated += is_dilated
                either += is_strided or is_dilated
            if layer.is_convolution:
                before = layer
    return strided, dilated, either, before


def _last_reduction(plan: Plan) -> GlobalPool | Pool | None:
    """Return the pool of the head: the last pool of the plan with no spatial convolution or parallel after it."""
    for layer in _backwards(plan.layers):
        if isinstance(layer, GlobalPool | Pool):
            return layer
        if isinstance(layer, Parallel) or (layer.is_convolution and layer.grow(ONE_PIXEL).size > 1):
            return None
    return None


def _backwards(layers: tuple[Layer, ...]) -> Iterator[Primitive | Parallel]:
    for layer in reversed(layers):
        if isinstance(layer, Sequence):
            yield from _backwards(layer.layers)
        else:
            yield layer
