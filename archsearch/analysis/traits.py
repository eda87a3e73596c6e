"""Traits: what a plan is made of (dilated, depthwise separable, pooled, ...), read off its layers.

Each kind of layer names its own; a block's name never counts. Imports the design only; no torch, no numpy.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, get_args

from archsearch.design.geometry import ONE_PIXEL, Shape
from archsearch.design.layers import Conv, GlobalPool, Pool, Primitive, Trait
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


def windows_on_one_pixel(plan: Plan) -> dict[str, int]:
    """Return the kernel of the first convolution above 1 x 1 that slides over a map of 1 x 1, by its stage.

    Convolutions behind a global pool do not count: a gate has such a map on purpose.
    """
    found: dict[str, int] = {}
    for path, layer, (_, height, width) in _with_inputs(plan.layers, "", plan.input_shape):
        if isinstance(layer, Conv) and layer.kernel > 1 and height == width == 1:
            part, *inner = path.split(".")
            found.setdefault(inner[0] if part == "stages" else part, layer.kernel)
    return found


def _with_inputs(layers: Iterable[Layer], prefix: str, shape: Shape) -> Iterator[tuple[str, Primitive, Shape]]:
    """Yield each layer in front of the first global pool with its path and the shape of its input."""
    for layer in layers:
        path = prefix + layer.name
        if isinstance(layer, Sequence):
            yield from _with_inputs(layer.layers, f"{path}.", shape)
        elif isinstance(layer, Parallel):
            for branch in layer.branches:
                yield from _with_inputs(branch.layers, f"{path}.{branch.name}.", shape)
        elif layer.is_global:
            return
        else:
            yield path, layer, shape
        shape = _shape_after(layer, shape)


def _shape_after(layer: Layer, shape: Shape) -> Shape:
    if isinstance(layer, Sequence):
        for inner in layer.layers:
            shape = _shape_after(inner, shape)
        return shape
    if isinstance(layer, Parallel):
        return layer.merged_shape([_shape_after(branch, shape) for branch in layer.branches], layer.name)
    return layer.output_shape(shape)


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
