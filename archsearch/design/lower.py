"""Lowering: a design spec, all arithmetic worked out, becomes a plan of primitive layers.

Names given here are the layer paths of the analysis and of the state dict.
Imports the standard library, `errors` and this room only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import lru_cache
from itertools import count

from archsearch.decode import suggest
from archsearch.design.block import ACTIVATIONS, NORMS, POOLS, SHORTCUTS, BlockSpec, ItemSpec, LayerSpec, ParallelSpec
from archsearch.design.expression import Expression, Value, compute, multiple_of, whole
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
from archsearch.design.spec import DesignSpec, HeadSpec, StageSpec
from archsearch.errors import SpecError

Options = tuple[tuple[str, Value], ...]
"""Options of a block with their values, as something that can be looked up."""
MAX_LAYERS = 4096
"""Blocks that one design may have: a bound against a misplaced digit."""


def lower(design: DesignSpec) -> Plan:
    """Return the plan of `design`; raises `SpecError` for arithmetic that gives no network.

    `width: fit` must have been resolved before (see `archsearch.analysis.fit`).
    """
    if design.width == "fit":
        raise SpecError("arch.width", "'fit' has no limits to fit to", "Give a number, or check against limits.")
    if sum(stage.repeats for stage in design.stages) > MAX_LAYERS:
        raise SpecError("arch.stages", f"has more than {MAX_LAYERS} blocks")
    channels = design.input_shape[0]
    top: list[Sequence] = []
    if design.stem is not None:
        width = scaled(design.stem.width, design)
        options = tuple(design.stem.use.options.items())
        layers = _lower_at("arch.stem", design.stem.use.block, channels, width, options)
        top.append(Sequence(name="stem", layers=layers))
        channels = _channels_after(layers, channels)
    stages: list[Sequence] = []
    for stage in design.stages:
        sequence, channels = _lower_stage(stage, channels, scaled(stage.width, design))
        stages.append(sequence)
    top.append(Sequence(name="stages", layers=tuple(stages)))
    top.append(Sequence(name="head", layers=lower_head(design.head, channels)))
    return Plan(input_shape=design.input_shape, layers=tuple(top))


def scaled(width: int, design: DesignSpec) -> int:
    """Return the channels that `width` comes to under the design's multiplier and divisor."""
    if design.width == 1 or design.width == "fit":
        return width
    return multiple_of(width * design.width, design.divisor)


def blocks_of(stage: StageSpec) -> Iterator[tuple[BlockSpec, Options]]:
    """Yield the blocks of `stage` in order, each with the options that it is lowered with."""
    for index in range(stage.repeats):
        use = stage.entry if index == 0 and stage.entry is not None else stage.use
        options = use.options
        if index > 0 and "stride" in use.block.defaults:
            options = {**options, "stride": 1}
        yield use.block, tuple(options.items())


def _lower_stage(stage: StageSpec, channels: int, width: int) -> tuple[Sequence, int]:
    blocks: list[Sequence] = []
    for index, (block, options) in enumerate(blocks_of(stage)):
        layers = _lower_at(f"arch.stages.{stage.name}", block, channels, width, options)
        blocks.append(Sequence(name=str(index), layers=layers))
        channels = _channels_after(layers, channels)
    return Sequence(name=stage.name, layers=tuple(blocks)), channels


def _lower_at(where: str, block: BlockSpec, channels: int, width: int, options: Options) -> tuple[Layer, ...]:
    """Return `lower_block`'s layers; what is wrong with them is told with the stage that it is wrong in."""
    try:
        return lower_block(block, channels, width, options)
    except SpecError as error:
        if error.where.startswith(where):  # a block that the stage holds itself
            raise
        raise SpecError(f"{where}, {error.where}", error.what, error.mend) from None


@lru_cache(maxsize=512)
def lower_block(block: BlockSpec, channels: int, width: int, options: Options = ()) -> tuple[Layer, ...]:
    """Return the layers of `block` for `channels` in and `width` out, with `options` over its defaults.

    A pure function of values that recur throughout a search, hence remembered (bounded).
    """
    scope: dict[str, Value] = {**block.defaults, **dict(options)}
    scope["block_in"], scope["in"], scope["out"] = channels, channels, width
    return _lower_items(block.items, scope)


def _lower_items(items: Iterable[ItemSpec], scope: dict[str, Value]) -> tuple[Layer, ...]:
    """Lower `items` in order; `scope['in']` follows the channels and is left at those of the end."""
    layers: list[Layer] = []
    taken: set[str] = set()
    for item in items:
        if item.when is not None and not compute(item.when, scope, f"{item.where}.when"):
            continue
        for layer in _lower_item(item, scope):
            if layer.name in taken and item.name is not None:
                raise SpecError(item.where, f"the name '{layer.name}' is taken twice in one list of layers")
            # Layers of a residual without a shortcut stand in this list too, with numbers of their own.
            numbered = (f"{layer.name}_{number}" for number in count(2))
            name = layer.name if layer.name not in taken else next(one for one in numbered if one not in taken)
            taken.add(name)
            layers.append(layer if name == layer.name else replace(layer, name=name))
    return tuple(layers)


def _lower_item(item: ItemSpec, scope: dict[str, Value]) -> tuple[Layer, ...]:
    if isinstance(item, LayerSpec):
        layer = _lower_layer(item, scope)
        return () if layer is None else (layer,)
    if isinstance(item, ParallelSpec):
        ends: list[int] = []
        branches: list[Sequence] = []
        for name, branch in item.branches.items():
            inner = dict(scope)
            branches.append(Sequence(name=name, layers=_lower_items(branch, inner)))
            ends.append(_as_int(inner["in"]))
        scope["in"] = sum(ends) if item.combine == "concat" else max(ends)
        return (Parallel(name=item.name or "parallel", branches=tuple(branches), combine=item.combine),)
    inner = dict(scope)
    channels = _as_int(scope["in"])
    layers = _lower_items(item.layers, inner)
    scope["in"] = inner["in"]
    stride = _stride(layers)
    same = inner["in"] == channels and stride == 1
    mode = _text(item.shortcut, scope, item.where, SHORTCUTS)
    if not layers or mode == "none" or (mode == "if_same_shape" and not same):
        return layers
    shortcut: tuple[Layer, ...] = () if same else _projection(channels, _as_int(inner["in"]), stride)
    branches = [Sequence(name="main", layers=layers), Sequence(name="shortcut", layers=shortcut)]
    return (Parallel(name=item.name or "residual", branches=tuple(branches), combine="add"),)


def _projection(channels: int, width: int, stride: int) -> tuple[Layer, ...]:
    return (
        Conv(name="conv", in_channels=channels, out_channels=width, kernel=1, stride=stride),
        Norm(name="norm", kind="batch", channels=width),
    )


def _lower_layer(spec: LayerSpec, scope: dict[str, Value]) -> Layer | None:
    fields, where = spec.fields, spec.where
    channels = _as_int(scope["in"])
    match spec.kind:
        case "conv":
            kernel = whole(fields["kernel"], scope, f"{where}.kernel", 1)
            dilation = whole(fields["dilation"], scope, f"{where}.dilation", 1)
            width = whole(fields["out"], scope, f"{where}.out", 1)
            layer = Conv(
                name=spec.name or "conv",
                in_channels=channels,
                out_channels=width,
                kernel=kernel,
                stride=whole(fields["stride"], scope, f"{where}.stride", 1),
                dilation=dilation,
                groups=whole(fields["groups"], scope, f"{where}.groups", 1),
                padding=_padding(fields["padding"], scope, where, dilation * (kernel - 1)),
                bias=bool(compute(fields["bias"], scope, f"{where}.bias")),
            )
            scope["in"] = width
            return layer
        case "norm":
            kind = _text(fields["kind"], scope, f"{where}.kind", NORMS)
            if kind == "none":
                return None
            groups = whole(fields["groups"], scope, f"{where}.groups", 1) if kind == "group" else 1
            if channels % groups:
                mend = f"Use groups={_nearest_divisor(channels, groups)}."
                raise SpecError(f"{where}.groups", f"{groups} groups do not divide {channels} channels", mend)
            return Norm(name=spec.name or "norm", kind=kind, channels=channels, groups=groups)  # type: ignore[arg-type]
        case "act":
            kind = _text(fields["kind"], scope, f"{where}.kind", ACTIVATIONS)
            return None if kind == "none" else Activation(name=spec.name or "act", kind=kind)  # type: ignore[arg-type]
        case "dropout":
            rate = compute(fields["rate"], scope, f"{where}.rate")
            if isinstance(rate, str) or not 0 <= rate < 1:
                raise SpecError(f"{where}.rate", f"must be at least 0 and below 1, is {rate}")
            channelwise = bool(compute(fields["channelwise"], scope, f"{where}.channelwise"))
            return Dropout(name=spec.name or "dropout", rate=float(rate), channelwise=channelwise) if rate else None
        case "pool":
            return _lower_pool(spec, scope)
        case _:
            assert spec.kind == "linear", spec.kind
            width = whole(fields["out"], scope, f"{where}.out", 1)
            scope["in"] = width
            bias = bool(compute(fields["bias"], scope, f"{where}.bias"))
            return Linear(name=spec.name or "linear", in_features=channels, out_features=width, bias=bias)


def _lower_pool(spec: LayerSpec, scope: dict[str, Value]) -> Layer:
    kind = _text(spec.fields["kind"], scope, f"{spec.where}.kind", POOLS)
    name = spec.name or "pool"
    if kind.startswith("global_"):
        return GlobalPool(name=name, kind="max" if kind == "global_max" else "average")
    kernel = whole(spec.fields["kernel"], scope, f"{spec.where}.kernel", 1)
    return Pool(
        name=name,
        kind="max" if kind == "max" else "average",
        kernel=kernel,
        stride=whole(spec.fields["stride"], scope, f"{spec.where}.stride", 1),
        padding=_padding(spec.fields["padding"], scope, spec.where, kernel - 1),
    )


def lower_head(head: HeadSpec, channels: int) -> tuple[Layer, ...]:
    """Return the layers of `head` for `channels` in; raises `SpecError` where they cannot end in its classes."""
    scope: dict[str, Value] = {"in": channels, "out": channels, "block_in": channels, "classes": head.classes}
    layers = list(_lower_items(head.layers, scope))
    channels = _as_int(scope["in"])
    if head.pool == "average":
        layers.append(Pool(name="pool", kind="average", kernel=head.kernel, stride=head.kernel))
    elif head.pool != "none":
        layers.append(GlobalPool(name="pool", kind="max" if head.pool == "global_max" else "average"))
    if head.linear:
        if head.dropout:
            layers.append(Dropout(name="dropout", rate=head.dropout))
        layers.append(Linear(name="linear", in_features=channels, out_features=head.classes))
    elif channels != head.classes:
        raise SpecError(
            "arch.head",
            f"without a linear layer the last layer's {channels} channels must be the {head.classes} classes",
            "Set arch.head.linear=true, or give the last layer as many channels as classes.",
        )
    names = [layer.name for layer in layers]
    for name in ("pool", "dropout", "linear"):
        if names.count(name) > 1:
            mend = f"Give the layer a name of its own: {{{name}: ..., name: before}}."
            raise SpecError("arch.head.layers", f"the name '{name}' is taken by the head's own layer", mend)
    return tuple(layers)


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


def _channels_after(layers: tuple[Layer, ...], channels: int) -> int:
    """Return the channels that leave `layers` when `channels` enter."""
    for layer in layers:
        match layer:
            case Conv(out_channels=width) | Linear(out_features=width):
                channels = width
            case Sequence(layers=inner):
                channels = _channels_after(inner, channels)
            case Parallel(branches=branches, combine=combine):
                ends = [_channels_after(branch.layers, channels) for branch in branches]
                channels = sum(ends) if combine == "concat" else max(ends)
            case _:
                pass
    return channels


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


def _as_int(value: Value) -> int:
    assert isinstance(value, int), "channels are whole numbers"
    return value
