"""Traits of a plan (dilated, depthwise separable, pooled, ...), detected from its layers.

Each kind of layer defines its own traits; names of blocks do not matter. Imports the design only; no torch, no numpy.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, get_args

from archsearch.design.geometry import Shape
from archsearch.design.layers import Activation, Conv, GlobalPool, Leaf, Norm, Pool, Primitive, Trait
from archsearch.design.plan import Layer, Parallel, Plan, Sequence, shape_behind

_WITHOUT_TRAITS = (Norm, Activation)
"""Layers that also keep the shape: most of a plan. (A tuple, because a union would be created at every check.)"""
TRAITS: tuple[str, ...] = get_args(Trait)
HeadKind = Literal["global_average", "global_max", "none"]
HEADS: tuple[str, ...] = get_args(HeadKind)


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """The `present` traits of a plan, how its head pools, and how many layers downsample in each way.

    `strided_layers` counts convolutions with a stride above 1, `dilated_layers` those with a dilation above 1, and
    `either` those with at least one of the two. For a parallel, each is the maximum over its branches.
    """

    present: frozenset[str]
    head: HeadKind
    strided_layers: int
    dilated_layers: int
    either: int


def read_traits(plan: Plan) -> Traits:
    """Return the traits of `plan`; equal networks have equal traits.

    The head is the layer that reduces the feature map to one value per channel: a global pool, or a pool whose window
    leaves one value (the assignment's own network pools a 4x4 map with one 3x3 window), if no convolution above 1x1
    follows. It does not count as a pool in `present`. A feature map that strides have reduced to one value counts as
    its own global average.
    """
    reader = _Reader()
    count, shape = reader.through(plan.layers, plan.input_shape)
    head = (count.head or "global_average") if shape[1:] == (1, 1) else "none"
    return Traits(
        present=frozenset(reader.found),
        head=head,
        strided_layers=count.strided,
        dilated_layers=count.dilated,
        either=count.either,
    )


def traits_of(layers: Iterable[Layer], shape: Shape) -> frozenset[str]:
    """Return the traits of `layers` alone, for an input of `shape`."""
    reader = _Reader()
    count, _ = reader.through(layers, shape)
    return frozenset([*reader.found, *count.pooled])


def windows_on_one_pixel(plan: Plan) -> dict[str, int]:
    """Return by stage the kernel size of the first convolution above 1 x 1 on a feature map of 1 x 1.

    Convolutions after a pool that leaves one value do not count: a gate has such a feature map on purpose.
    """
    found: dict[str, int] = {}
    for path, layer, (_, height, width) in _with_inputs(plan.layers, "", plan.input_shape):
        if isinstance(layer, Conv) and layer.longest > 1 and height == width == 1:
            part, *inner = path.split(".")
            found.setdefault(inner[0] if part == "stages" else part, layer.longest)
    return found


def _with_inputs(layers: Iterable[Layer], prefix: str, shape: Shape) -> Iterator[tuple[str, Primitive, Shape]]:
    """Yield each layer before the first global pool with its path and the shape of its input."""
    for layer in layers:
        path = prefix + layer.name
        if isinstance(layer, Sequence):
            yield from _with_inputs(layer.layers, f"{path}.", shape)
        elif isinstance(layer, Parallel):
            for branch in layer.branches:
                yield from _with_inputs(branch.layers, f"{path}.{branch.name}.", shape)
        elif _reduces(layer, shape):
            return
        else:
            yield path, layer, shape
        shape = shape_behind(layer, shape)


def _reduces(layer: Primitive, shape: Shape) -> bool:
    """Return whether `layer` is a pool or dense layer that reduces a map of `shape` to one value per channel."""
    if shape[1:] == (1, 1) or layer.output_shape(shape)[1:] != (1, 1):
        return False
    return _reduced_by(layer, shape) is not None


@dataclass(slots=True)
class _Count:
    """State after some layers: how many downsample, and how the feature map became one value per channel."""

    strided: int = 0
    dilated: int = 0
    either: int = 0
    conv: Leaf | None = None
    """The last convolution."""
    head: HeadKind | None = None
    """None if the feature map is larger than one value, or if strides reduced it."""
    pooled: tuple[Trait, ...] = ()
    """The traits of the pool that is the head, unless a later layer makes it an ordinary pool."""


class _Reader:
    """Collects the traits of layers in `found`."""

    def __init__(self) -> None:
        self.found: set[Trait] = set()

    def through(self, layers: Iterable[Layer], shape: Shape, before: _Count | None = None) -> tuple[_Count, Shape]:
        """Return `before` with `layers` added, and the shape of their output."""
        count = before or _Count()
        for layer in layers:
            if isinstance(layer, _WITHOUT_TRAITS):
                continue
            if isinstance(layer, Sequence):
                count, shape = self.through(layer.layers, shape, count)
            elif isinstance(layer, Parallel):
                shape = self._across(layer, shape, count)
            else:
                after = layer.shape_after(shape)
                if after[1] == 1 == after[2]:
                    self._add_at_one_value(layer, shape, count)
                else:
                    if count.head is not None:
                        self._reopen(count)
                    if traits := layer.traits(count.conv):
                        self._add(traits, count)
                    if layer.is_convolution:
                        count.conv = layer
                shape = after
        return count, shape

    def _add(self, traits: tuple[Trait, ...], count: _Count) -> None:
        self.found.update(traits)
        is_strided, is_dilated = "strided" in traits, "dilated" in traits
        count.strided += is_strided
        count.dilated += is_dilated
        count.either += is_strided or is_dilated

    def _add_at_one_value(self, layer: Primitive, shape: Shape, count: _Count) -> None:
        """Add `layer`, which reduces a feature map of `shape` to one value per channel."""
        plain = layer.simplified(shape)
        if plain is None:
            return
        traits = plain.traits(count.conv)
        if shape[1:] != (1, 1):
            count.head = _reduced_by(plain, shape)
            if isinstance(plain, Pool | GlobalPool):
                count.pooled, traits = traits, ()
        elif isinstance(plain, Conv) and plain.longest > 1:
            self._reopen(count)
        self._add(traits, count)
        if plain.is_convolution:
            count.conv = plain

    def _reopen(self, count: _Count) -> None:
        """Treat the pool that would have been the head as an ordinary one."""
        self.found.update(count.pooled)
        count.head, count.pooled = None, ()

    def _across(self, parallel: Parallel, shape: Shape, count: _Count) -> Shape:
        """Add `parallel`, with the maximum over its branches for each count, and return the shape of the merge."""
        self.found.update(parallel.traits())
        heads: list[HeadKind | None] = []
        shapes: list[Shape] = []
        conv = before = count.conv
        strided = dilated = either = 0
        for branch in parallel.branches:
            if not branch.layers:
                heads.append(None)
                shapes.append(shape)
                continue
            one, end = self.through(branch.layers, shape, _Count(conv=before))
            heads.append(one.head)
            shapes.append(end)
            if one.pooled:
                self.found.update(one.pooled)
            strided, dilated, either = max(strided, one.strided), max(dilated, one.dilated), max(either, one.either)
            # The branches of a sum have no order, so one that ends in a depthwise convolution takes precedence.
            if one.conv is not before and (conv is before or (_is_depthwise(one.conv) and not _is_depthwise(conv))):
                conv = one.conv
        after = parallel.merged_shape(shapes, parallel.name)
        count.conv = conv
        count.strided += strided
        count.dilated += dilated
        count.either += either
        if after[1] == 1 == after[2] and shape[1:] != (1, 1):
            count.head = heads[0] if all(one == heads[0] for one in heads) else "none"
        elif after[1:] != (1, 1) and count.head is not None:
            self._reopen(count)
        return after


def _reduced_by(layer: Leaf, shape: Shape) -> HeadKind | None:
    """Return the kind of head of `layer`, which reduces a feature map of `shape`; None if strides did it."""
    if isinstance(layer, Pool | GlobalPool):
        return "global_max" if layer.kind == "max" else "global_average"
    return None if isinstance(layer, Conv) and not layer.covers(shape) else "none"


def _is_depthwise(layer: Leaf | None) -> bool:
    return isinstance(layer, Conv) and layer.longest > 1 and layer.groups == layer.in_channels > 1
