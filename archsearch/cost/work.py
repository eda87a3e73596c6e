"""The work of a training step by kind of layer; the time of a step is modelled as a linear function of it. No torch.

A kind groups layers of similar speed. Legend: (C, H, W) shapes of feature maps.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import prod
from typing import NamedTuple, assert_never

from archsearch.design.geometry import Shape
from archsearch.design.layers import (
    Activation,
    BlurPool,
    ChannelPool,
    Clamp,
    Conv,
    Dropout,
    DropPath,
    GeneralConv,
    GlobalPool,
    Linear,
    Narrow,
    Norm,
    Pad,
    PadChannels,
    Pool,
    Primitive,
    Scale,
    Shuffle,
    Upsample,
)
from archsearch.design.plan import Layer, Parallel, Sequence

LANES = 8
"""Channels that processors compute together: 20 channels cost as much as 24."""
_USUAL = ("relu", "relu6", "silu", "hardswish")  # the others are slower
_FEW = 4  # most channels of a convolution that counts as a stem: images have few


class Work(NamedTuple):
    """The layers of one kind together: their number, and per image their MACs and the values that they read and write.

    `weights` are the parameters that a step updates.
    """

    calls: int = 0
    macs: int = 0
    values: int = 0
    weights: int = 0

    def plus(self, other: Work) -> Work:
        """Return the sum of both."""
        return Work(*(one + more for one, more in zip(self, other, strict=True)))

    def of_batch(self, batch: int) -> tuple[int, int, int, int]:
        """Return the four numbers for a step over `batch` images."""
        return self.calls, self.macs * batch, self.values * batch, self.weights


def work_of(layers: Iterable[Layer], shape: Shape) -> tuple[dict[str, Work], Shape]:
    """Return the work of `layers` by kind for an input of `shape`, and the shape of their output."""
    found: dict[str, Work] = {}
    return found, _add(layers, shape, found)


def _add(layers: Iterable[Layer], shape: Shape, found: dict[str, Work]) -> Shape:
    before: Layer | None = None
    for layer in layers:
        if isinstance(layer, Sequence):
            shape = _add(layer.layers, shape, found)
        elif isinstance(layer, Parallel):
            shape = _add_branches(layer, shape, found)
        elif not layer.is_idle:
            after = layer.shape_after(shape)
            kind = kind_of(layer, before)
            work = Work(1, layer.macs(_filled(after)), _values(shape) + _values(after), layer.parameters)
            found[kind] = found.get(kind, Work()).plus(work)
            shape = after
        before = layer
    return shape


def _add_branches(parallel: Parallel, shape: Shape, found: dict[str, Work]) -> Shape:
    shapes = [_add(branch.layers, shape, found) for branch in parallel.branches]
    merged = parallel.merged_shape(shapes, parallel.name)
    if len(shapes) > 1:
        values = _values(merged) + sum(map(_values, shapes))
        kind = "add" if parallel.combine in ("add", "mean") else parallel.combine
        found[kind] = found.get(kind, Work()).plus(Work(len(shapes) - 1, 0, values, 0))
    return merged


def kind_of(layer: Primitive, before: Layer | None = None) -> str:
    """Return the kind of `layer`; `before` is the layer before it in the same sequence."""
    match layer:
        case Conv():
            return _conv_kind(layer)
        case Norm():
            paired = "" if layer.symmetry == "none" else "paired "
            return f"{paired}norm" if layer.kind == "batch" else "other norm"
        case Activation():
            behind = " behind norm" if isinstance(before, Norm) and before.kind == "batch" else ""
            return f"{'' if layer.kind in _USUAL else 'other '}activation{behind}"
        case Pool() | BlurPool():
            return "pool"
        case GlobalPool() | ChannelPool():
            return "mean"
        case Dropout() | DropPath():
            return "dropout"
        case Clamp() | Scale() | Narrow() | Shuffle() | PadChannels() | Pad() | Upsample():
            return "other"
        case Linear():
            return "linear"
        case _:
            assert_never(layer)


def _conv_kind(conv: Conv) -> str:
    paired = "" if conv.symmetry == "none" else "paired "
    if conv.in_channels <= _FEW:
        return "stem"
    if conv.groups == conv.in_channels:
        return f"{'dilated ' if conv.dilation > 1 and conv.kernel > 1 else ''}depthwise"
    if conv.groups > 1:
        return "grouped"
    if conv.stride > 1:
        return f"{paired}strided conv"
    is_usual = conv.kernel in (1, 3, 5) and not isinstance(conv, GeneralConv)
    return f"{paired}conv {conv.kernel}" if is_usual else f"{paired}wide conv"


def _filled(shape: Shape) -> Shape:
    channels = -(-shape[0] // LANES) * LANES if shape[0] > LANES // 2 else shape[0]
    return channels, shape[1], shape[2]


def _values(shape: Shape) -> int:
    return prod(_filled(shape))
