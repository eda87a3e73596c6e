"""Lowering of one block: for channels in and out its items become primitive layers.

Whatever the options of a block settle is worked out once, for all channels: a search lowers the same block thousands
of times. Imports the standard library, `errors` and this room only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import count
from typing import assert_never

from archsearch.decode import suggest
from archsearch.design.block import (
    ACTIVATIONS,
    NORMS,
    POOLS,
    SHORTCUTS,
    BlockSpec,
    ItemSpec,
    LayerSpec,
    ParallelSpec,
    ResidualSpec,
    settled,
)
from archsearch.design.expression import Expression, Value, compute, whole
from archsearch.design.plan import Activation, Conv, Dropout, GlobalPool, Layer, Linear, Norm, Parallel, Pool, Sequence
from archsearch.errors import SpecError

WINDOW = ("kernel", "stride", "dilation", "padding")
"""Fields of a layer that shapes and receptive fields come from."""
Options = tuple[tuple[str, Value], ...]
"""Options of a block with their values, as something that can be looked up."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FixedBlock:
    """A block whose options are fixed: all of them by name, and its items with what they settle worked out."""

    block: BlockSpec
    options: Mapping[str, Value]
    items: tuple[ItemSpec, ...]

    @property
    def is_shape_settled(self) -> bool:
        """Whether its layers, and their windows, are the same for all channels, but for the shortcut of a residual."""
        return _is_shape_settled(self.items)


def _is_shape_settled(items: Iterable[ItemSpec]) -> bool:
    for item in items:
        match item:
            case LayerSpec(fields=fields):
                inner = all(fields[name].value is not None for name in WINDOW if name in fields)
            case ResidualSpec(layers=layers):
                inner = _is_shape_settled(layers)
            case ParallelSpec(branches=branches):
                inner = all(_is_shape_settled(branch) for branch in branches.values())
            case _:
                assert_never(item)
        if item.when is not None or not inner:
            return False
    return True


@lru_cache(maxsize=1024)
def with_options(block: BlockSpec, options: Options = ()) -> FixedBlock:
    """Return `block` with `options` over its defaults; the same value for the same ones (remembered, bounded)."""
    known = {**block.defaults, **dict(options)}
    return FixedBlock(block=block, options=known, items=settled(block.items, known))


@lru_cache(maxsize=1024)
def lower_block(block: FixedBlock, channels: int, width: int) -> tuple[Layer, ...]:
    """Return the layers of `block` for `channels` in and `width` out.

    A pure function of values that recur throughout a search, hence remembered (bounded).
    """
    return layers_of(block, channels, width)


def layers_of(block: FixedBlock, channels: int, width: int) -> tuple[Layer, ...]:
    """Return what `lower_block` does, for whoever has no use for the same layers again."""
    return lower_items(block.items, {**block.options, "block_in": channels, "in": channels, "out": width})


def lower_items(items: Iterable[ItemSpec], scope: dict[str, Value]) -> tuple[Layer, ...]:
    """Lower `items` in order; `scope['in']` follows the channels and is left at those of the end."""
    layers: list[Layer] = []
    taken: set[str] = set()
    for item in items:
        if item.when is not None and not compute(item.when, scope, f"{item.where}.when"):
            continue
        if isinstance(item, LayerSpec):
            name = item.name or item.kind
            if name in taken and item.name is None:
                name = _numbered(name, taken)
            layer = _lower_layer(item, scope, name)
            made = () if layer is None else (layer,)
        else:
            made = _lower_item(item, scope)
        for layer in made:
            if layer.name in taken:
                if item.name is not None:
                    raise SpecError(item.where, f"the name '{layer.name}' is taken twice in one list of layers")
                # Layers of a residual without a shortcut stand in this list too, with numbers of their own.
                layer = replace(layer, name=_numbered(layer.name, taken))
            taken.add(layer.name)
            layers.append(layer)
    return tuple(layers)


def _numbered(name: str, taken: set[str]) -> str:
    return next(one for number in count(2) if (one := f"{name}_{number}") not in taken)


def _lower_item(item: ParallelSpec | ResidualSpec, scope: dict[str, Value]) -> tuple[Layer, ...]:
    if isinstance(item, ParallelSpec):
        ends: list[int] = []
        branches: list[Sequence] = []
        for name, branch in item.branches.items():
            inner = dict(scope)
            branches.append(Sequence(name=name, layers=lower_items(branch, inner)))
            ends.append(whole_channels(inner))
        scope["in"] = sum(ends) if item.combine == "concat" else max(ends)
        return (Parallel(name=item.name or "parallel", branches=tuple(branches), combine=item.combine),)
    inner = dict(scope)
    channels = whole_channels(scope)
    layers = lower_items(item.layers, inner)
    scope["in"] = inner["in"]
    stride = _stride(layers)
    same = inner["in"] == channels and stride == 1
    mode = _text(item.shortcut, scope, item.where, SHORTCUTS)
    if not layers or mode == "none" or (mode == "if_same_shape" and not same):
        return layers
    shortcut: tuple[Layer, ...] = () if same else _projection(channels, whole_channels(inner), stride)
    branches = [Sequence(name="main", layers=layers), Sequence(name="shortcut", layers=shortcut)]
    return (Parallel(name=item.name or "residual", branches=tuple(branches), combine="add"),)


def _projection(channels: int, width: int, stride: int) -> tuple[Layer, ...]:
    return (
        Conv(name="conv", in_channels=channels, out_channels=width, kernel=1, stride=stride),
        Norm(name="norm", kind="batch", channels=width),
    )


def _lower_layer(spec: LayerSpec, scope: dict[str, Value], name: str) -> Layer | None:
    fields, where = spec.fields, spec.where
    channels = whole_channels(scope)
    match spec.kind:
        case "conv":
            kernel = _whole(spec, "kernel", scope)
            dilation = _whole(spec, "dilation", scope)
            width = _whole(spec, "out", scope)
            layer = Conv(
                name=name,
                in_channels=channels,
                out_channels=width,
                kernel=kernel,
                stride=_whole(spec, "stride", scope),
                dilation=dilation,
                groups=_whole(spec, "groups", scope),
                padding=_padding(fields["padding"], scope, where, dilation * (kernel - 1)),
                bias=bool(compute(fields["bias"], scope, f"{where}.bias")),
            )
            scope["in"] = width
            return layer
        case "norm":
            kind = _text(fields["kind"], scope, f"{where}.kind", NORMS)
            if kind == "none":
                return None
            groups = _whole(spec, "groups", scope) if kind == "group" else 1
            if channels % groups:
                fix = f"Use groups={_nearest_divisor(channels, groups)}."
                raise SpecError(f"{where}.groups", f"{groups} groups do not divide {channels} channels", fix)
            return Norm(name=name, kind=kind, channels=channels, groups=groups)  # type: ignore[arg-type]
        case "act":
            kind = _text(fields["kind"], scope, f"{where}.kind", ACTIVATIONS)
            return None if kind == "none" else Activation(name=name, kind=kind)  # type: ignore[arg-type]
        case "dropout":
            rate = compute(fields["rate"], scope, f"{where}.rate")
            if isinstance(rate, str) or not 0 <= rate < 1:
                raise SpecError(f"{where}.rate", f"must be at least 0 and below 1, is {rate}")
            channelwise = bool(compute(fields["channelwise"], scope, f"{where}.channelwise"))
            return Dropout(name=name, rate=float(rate), channelwise=channelwise) if rate else None
        case "pool":
            return _lower_pool(spec, scope, name)
        case _:
            assert spec.kind == "linear", spec.kind
            width = _whole(spec, "out", scope)
            scope["in"] = width
            bias = bool(compute(fields["bias"], scope, f"{where}.bias"))
            return Linear(name=name, in_features=channels, out_features=width, bias=bias)


def _lower_pool(spec: LayerSpec, scope: dict[str, Value], name: str) -> Layer:
    kind = _text(spec.fields["kind"], scope, f"{spec.where}.kind", POOLS)
    if kind.startswith("global_"):
        return GlobalPool(name=name, kind="max" if kind == "global_max" else "average")
    kernel = _whole(spec, "kernel", scope)
    return Pool(
        name=name,
        kind="max" if kind == "max" else "average",
        kernel=kernel,
        stride=_whole(spec, "stride", scope),
        padding=_padding(spec.fields["padding"], scope, spec.where, kernel - 1),
    )


def _whole(spec: LayerSpec, field: str, scope: dict[str, Value]) -> int:
    """Return a field that is a whole number of at least 1; raises `SpecError` where it is not."""
    value = spec.fields[field].value
    if type(value) is int and value >= 1:
        return value
    return whole(spec.fields[field], scope, f"{spec.where}.{field}", 1)


def _padding(raw: Expression, scope: dict[str, Value], where: str, reach: int) -> tuple[int, int]:
    """Return (before, after): 'same' spreads `reach` = dilation * (kernel - 1), the odd one after."""
    value = compute(raw, scope, f"{where}.padding")
    if value == "same":
        return reach // 2, reach - reach // 2
    if value == "valid":
        return 0, 0
    if isinstance(value, str):
        raise SpecError(f"{where}.padding", f"'{value}' is not a choice", suggest(value, ("same", "valid")))
    amount = whole(raw, scope, f"{where}.padding", 0)
    return amount, amount


def _text(raw: Expression, scope: dict[str, Value], where: str, choices: tuple[str, ...]) -> str:
    value = compute(raw, scope, where)
    if value not in choices:
        raise SpecError(where, f"'{value}' is not a choice", suggest(str(value), choices))
    return str(value)


def _stride(layers: tuple[Layer, ...]) -> int:
    """Return the product of the strides on the way through `layers`."""
    product = 1
    for layer in layers:
        match layer:
            case Conv(stride=stride) | Pool(stride=stride):
                product *= stride
            case Sequence(layers=inner):
                product *= _stride(inner)
            case Parallel(branches=branches):
                product *= max(_stride(branch.layers) for branch in branches)
            case _:
                pass
    return product


def _nearest_divisor(number: int, near: int) -> int:
    return min((d for d in range(1, number + 1) if number % d == 0), key=lambda d: abs(d - near))


def whole_channels(scope: Mapping[str, Value]) -> int:
    """Return the channels that enter the next layer."""
    channels = scope["in"]
    assert isinstance(channels, int), "channels are whole numbers"
    return channels
