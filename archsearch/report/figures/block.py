"""The figure of a block: its layers from top to bottom, its branches side by side, and how these are merged."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Sequence as Listed
from dataclasses import dataclass
from typing import assert_never

from archsearch.design.channels import ChannelPool, Narrow, PadChannels, Shuffle
from archsearch.design.layers import BlurPool, Conv, GlobalPool, Linear, Pool
from archsearch.design.plan import Combine, Layer, Parallel, Sequence
from archsearch.design.pointwise import Activation, Clamp, Dropout, DropPath, Norm, Scale
from archsearch.design.resize import Pad, Upsample
from archsearch.report.figures.charts import moved
from archsearch.report.figures.drawing import Drawing, Line, Mark, Part, Rect, Text, text_width

_SIZE = 9.0
_HIGH, _GAP = 20.0, 9.0  # height of a layer, and the gap below it
_SWATCH = 6.0  # width of the strip in the colour of the layer's kind
_APART = 16.0  # between branches
_NODE = 8.0  # radius of the sign of a merge
_MARGIN = 12.0
_SIGNS: dict[Combine, str] = {"add": "+", "mean": "mean", "multiply": "×", "concat": "concat"}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Piece:
    """A piece of the figure; its wire enters at the top and leaves at the bottom, at x = `axis`."""

    width: float
    height: float
    axis: float
    parts: Listed[Part]


def block_drawing(layers: Iterable[Layer], title: str) -> Drawing:
    """Return the figure of a block: its `layers` between its input and its output."""
    listed = tuple(layers)
    body = _chain(listed)
    ends = max(text_width("input", _SIZE), text_width("output", _SIZE)) / 2
    left = max(ends - body.axis, text_width(title, 11, bold=True) / 2 - body.axis, 0.0)
    right = max(ends, body.width - body.axis, text_width(title, 11, bold=True) / 2)
    axis, top = _MARGIN + left + body.axis, _MARGIN + 32.0
    bottom = top + body.height
    parts: list[Part] = [
        Text(x=axis, y=_MARGIN + 9, text=title, size=11, anchor="middle", is_bold=True),
        Text(x=axis, y=top - 7, text="input", size=_SIZE, anchor="middle", color="muted"),
        Line(points=((axis, top - 4), (axis, top if listed else bottom)), look="join"),
        Line(points=((axis, bottom), (axis, bottom + 4)), look="join"),
        *moved(body.parts, axis - body.axis, top),
        Text(x=axis, y=bottom + 14, text="output", size=_SIZE, anchor="middle", color="muted"),
    ]
    width, height = axis + right + _MARGIN, bottom + 14 + _MARGIN
    return Drawing(width=width, height=height, parts=tuple(parts), label=f"{title}: {_words(listed)}")


def layer_text(layer: Layer) -> str:
    """Return a short description of a layer: `depthwise 3×3, stride 2`."""
    match layer:
        case Conv():
            return _conv_text(layer)
        case Pool() | BlurPool():
            name = "blur" if isinstance(layer, BlurPool) else layer.kind
            return f"{name} pool {layer.kernel}×{layer.kernel}, stride {layer.stride}"
        case GlobalPool():
            return f"global {layer.kind} pool"
        case ChannelPool():
            return f"{layer.kind} of channels"
        case Linear():
            return f"linear to {layer.out_features}"
        case Narrow():
            return f"channels {layer.start} to {layer.start + layer.out_channels - 1}"
        case Shuffle():
            return f"shuffle {layer.groups} groups"
        case PadChannels():
            return f"zeros to {layer.out_channels} ch"
        case Pad():
            return f"border of {layer.mode}"
        case Upsample():
            return f"upsample ×{layer.factor}, {layer.mode}"
        case Norm() | Activation() | Dropout() | DropPath() | Clamp() | Scale():
            return _pointwise_text(layer)
        case Sequence() | Parallel():
            return layer.name
        case _:
            assert_never(layer)


def _conv_text(conv: Conv) -> str:
    kind = "depthwise" if conv.groups == conv.in_channels > 1 else "grouped" if conv.groups > 1 else "conv"
    sizes = "" if conv.in_channels == conv.out_channels else f" to {conv.out_channels} ch"
    stride, dilation = f"stride {conv.stride}", f"dilation {conv.dilation}"
    more = [stride] * (conv.stride > 1) + [dilation] * (conv.dilation > 1)
    kernel = "×".join(map(str, conv.kernels))
    return ", ".join([f"{kind} {kernel}{sizes}", *more])


def _pointwise_text(layer: Norm | Activation | Dropout | DropPath | Clamp | Scale) -> str:
    match layer:
        case Norm():
            return f"{layer.kind} norm"
        case Activation():
            return layer.kind
        case Dropout():
            return f"dropout {layer.rate:g}"
        case DropPath():
            return f"drop path {layer.rate:g}"
        case Clamp():
            return f"clamp {layer.low:g} to {layer.high:g}"
        case Scale():
            return f"learnt factor per {layer.per}"
        case _:
            assert_never(layer)


def _look(layer: Layer) -> str:
    match layer:
        case Conv():
            depthwise = layer.groups == layer.in_channels > 1 and layer.kernel > 1
            return ("depthwise" if depthwise else "grouped" if layer.groups > 1
                    else "convolution" if layer.kernel > 1 else "pointwise")  # fmt: skip
        case Pool() | BlurPool() | GlobalPool() | ChannelPool():
            return "pool"
        case Linear():
            return "linear"
        case _:
            return "image"


def _chain(layers: Listed[Layer]) -> _Piece:
    """Return the layers from top to bottom, on one wire."""
    pieces = [_piece(layer) for layer in _flat(layers)]
    axis = max((piece.axis for piece in pieces), default=0.0)
    parts: list[Part] = []
    y = 0.0
    for piece in pieces:
        if y:
            parts.append(Line(points=((axis, y - _GAP), (axis, y)), look="join"))
        parts += moved(piece.parts, axis - piece.axis, y)
        y += piece.height + _GAP
    width = axis + max((piece.width - piece.axis for piece in pieces), default=0.0)
    return _Piece(width=width, height=max(y - _GAP, 0.0), axis=axis, parts=parts)


def _flat(layers: Iterable[Layer]) -> list[Layer]:
    return [one for layer in layers for one in (_flat(layer.layers) if isinstance(layer, Sequence) else [layer])]


def _piece(layer: Layer) -> _Piece:
    if isinstance(layer, Parallel):
        return _merge(layer)
    text = layer_text(layer)
    width = text_width(text, _SIZE) + _SWATCH + 12
    parts = [
        Rect(x=0, y=0, width=width, height=_HIGH, look="box"),
        Rect(x=0, y=0, width=_SWATCH, height=_HIGH, look=_look(layer)),
        Text(x=_SWATCH + 6, y=_HIGH / 2 + _SIZE / 3, text=text, size=_SIZE),
    ]
    return _Piece(width=width, height=_HIGH, axis=width / 2, parts=parts)


def _merge(layer: Parallel) -> _Piece:
    """Return the branches side by side, between the split of the wire and the sign of the merge."""
    pieces = [_chain(branch.layers) for branch in layer.branches]
    tall = max(piece.height for piece in pieces)
    lefts: list[float] = []
    x = 0.0
    for piece in pieces:
        lefts.append(x)
        x += max(piece.width, _APART) + _APART
    axes = [left + max(piece.axis, _APART / 2 * (not piece.width)) for left, piece in zip(lefts, pieces, strict=True)]
    axis, width = (axes[0] + axes[-1]) / 2, x - _APART
    sign = _SIGNS[layer.combine]
    y = _GAP + tall + _GAP + _NODE
    parts: list[Part] = []
    for left, place, piece in zip(lefts, axes, pieces, strict=True):
        first = _GAP + (tall - piece.height) / 2
        parts.append(Line(points=((axis, 0), (place, 0), (place, first)), look="join"))
        parts.append(Line(points=((place, first + piece.height), (place, y), (axis, y)), look="join"))
        parts += moved(piece.parts, left, first)
    if len(sign) == 1:
        parts.append(Mark(x=axis, y=y, look="node", size=_NODE))
        parts.append(Text(x=axis, y=y + 4, text=sign, size=12, anchor="middle", is_bold=True))
    else:
        wide = text_width(sign, _SIZE) + 10
        parts.append(Rect(x=axis - wide / 2, y=y - _NODE, width=wide, height=2 * _NODE, look="box"))
        parts.append(Text(x=axis, y=y + _SIZE / 3, text=sign, size=_SIZE, anchor="middle", is_bold=True))
    return _Piece(width=width, height=y + _NODE, axis=axis, parts=parts)


def _words(layers: Iterable[Layer]) -> str:
    texts: list[str] = []
    for layer in _flat(layers):
        if isinstance(layer, Parallel):
            branches = " | ".join(_words(branch.layers) or "the input" for branch in layer.branches)
            texts.append(f"{layer.combine} of ({branches})")
        else:
            texts.append(layer_text(layer))
    return ", ".join(texts)
