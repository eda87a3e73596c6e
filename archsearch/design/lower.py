"""Lowering: a design spec becomes a plan of primitive layers, with all expressions evaluated.

Names given here form the layer paths of the analysis and of the state dict. Values that depend only on the options of a
block are evaluated once for all channels, and lowered blocks are cached, because a search needs the same ones
thousands of times.
Imports the standard library, `errors`, `decode` and this package only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from collections.abc import Sequence as Listed
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import count
from typing import Literal, assert_never

from archsearch.decode import suggest
from archsearch.design.block import SHORTCUTS, option_value
from archsearch.design.expression import MAX_VALUE, Value, compute, condition, integer, multiple_of
from archsearch.design.geometry import nearest_multiple
from archsearch.design.items import (
    BlockSpec,
    ItemSpec,
    ParallelSpec,
    ResidualSpec,
    UseSpec,
    count_layers,
    settle_items,
)
from archsearch.design.kinds import KINDS, MAX_SPAN, FieldValues, LayerSpec, choice_of
from archsearch.design.layers import Conv, Dropout, GlobalPool, Linear, MapKind, Narrow, Norm, Pad, Pool
from archsearch.design.plan import Layer, Parallel, Plan, Sequence, shape_behind, tie_layers
from archsearch.design.spec import DesignSpec, HeadSpec, StageSpec
from archsearch.errors import ChannelsError, SpecError

MAX_LAYERS = 4096
"""Maximum number of layers, and of blocks, of a design; catches a misplaced digit."""
JOINED, BETWEEN = "concat", "main"
"""Names of the merge at the start of a stage with `from`, and of its branch with the stages after the origin."""
Options = tuple[tuple[str, Value], ...]
"""Options of a block with their values, hashable."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FixedBlock:
    """A block with fixed options: all of them by name, and its items with the values computed from them."""

    block: BlockSpec
    options: Mapping[str, Value]
    items: tuple[ItemSpec, ...]
    layers: int
    """The maximum number of layers that it makes."""


def lower(design: DesignSpec) -> Plan:
    """Return the plan of `design`; raises `SpecError` if its expressions give no valid network.

    `width: fit` must have been resolved before (see `archsearch.analysis.fit`).
    """
    if design.width == "fit":
        raise SpecError("arch.width", "'fit' needs limits", "Set a number, or use limits.")
    _require_size(design)
    channels, kind = design.input_shape[0], first_map(design.symmetry)
    top: list[Sequence] = []
    if design.stem is not None:
        width = scaled(design.stem.width, design)
        for block in blocks_of(design.stem):
            stem, kind = _lower_at("arch.stem", "stem", block, channels, width, kind)
            channels = stem.channels_after(channels)
            top.append(stem)
    stages: list[Sequence] = []
    ends: dict[str, tuple[int, MapKind]] = {}  # output channels and kind of each stage so far
    for stage in design.stages:
        joined: tuple[Layer, ...] = ()
        if stage.origin is not None:
            joined, kind = _joined(stage, stages, ends)
            channels = joined[0].channels_after(ends[stage.origin][0])
        sequence, channels, kind = _lower_stage(stage, channels, scaled(stage.width, design), kind)
        stages.append(replace(sequence, layers=(*joined, *sequence.layers)) if joined else sequence)
        ends[stage.name] = channels, kind
    top.append(Sequence(name="stages", layers=tuple(stages)))
    top.append(Sequence(name="head", layers=lower_head(design.head, channels, kind)))
    return Plan(input_shape=design.input_shape, layers=tuple(top))


def _require_size(design: DesignSpec) -> None:
    """Raise `SpecError` for more blocks or layers than `MAX_LAYERS`."""
    if sum(stage.repeats for stage in design.stages) > MAX_LAYERS:
        raise SpecError("arch.stages", f"has more than {MAX_LAYERS} blocks")
    if sum(_layers_of_stage(blocks_of(stage)) for stage in stages_of(design)) > MAX_LAYERS:
        raise SpecError("arch.stages", f"has more than {MAX_LAYERS} layers")


@lru_cache(maxsize=64)
def _layers_of_stage(blocks: tuple[FixedBlock, ...]) -> int:
    return sum(block.layers for block in blocks)


def scaled(width: int | None, design: DesignSpec) -> int:
    """Return `width` scaled by the design's multiplier and rounded to its step; for None 1, which is never read."""
    if width is None:
        return 1
    if design.width == 1 or design.width == "fit":
        return width
    return multiple_of(width * design.width, design.step)


def stages_of(design: DesignSpec) -> tuple[StageSpec, ...]:
    """Return the stem, if any, and the stages."""
    return design.stages if design.stem is None else (design.stem, *design.stages)


def first_map(symmetry: Literal["none", "flip"]) -> MapKind:
    """Return the kind of the input of a design with `symmetry`."""
    return "plain" if symmetry == "none" else "image"


@lru_cache(maxsize=64)  # everything that reads a design needs its blocks
def blocks_of(stage: StageSpec) -> tuple[FixedBlock, ...]:
    """Return the blocks of `stage` in order, each with the options that it is lowered with."""
    blocks: list[FixedBlock] = []
    for index in range(min(stage.repeats, 2)):
        use = stage.entry if index == 0 and stage.entry is not None else stage.use
        options = use.options
        if index > 0 and "stride" in use.block.defaults:
            options = {**options, "stride": 1}
        block = with_options(use.block, tuple(options.items()))
        blocks += [block] * (stage.repeats - 1 if index else 1)
    return tuple(blocks)


@lru_cache(maxsize=1024)
def with_options(block: BlockSpec, options: Options = ()) -> FixedBlock:
    """Return `block` with `options` over its defaults; cached (bounded): the same object for the same arguments."""
    known = {**block.defaults, **dict(options)}
    items = settle_items(block.items, known)
    return FixedBlock(block=block, options=known, items=items, layers=count_layers(items))


@lru_cache(maxsize=1024)
def lower_block(block: FixedBlock, channels: int, width: int) -> tuple[Layer, ...]:
    """Return the layers of `block` for `channels` in and `width` out; cached (bounded), since they recur."""
    return layers_of(block, channels, width)


def layers_of(block: FixedBlock, channels: int, width: int) -> tuple[Layer, ...]:
    """Return the same as `lower_block`, without its cache."""
    return lower_items(block.items, {**block.options, "block_in": channels, "in": channels, "out": width})


def lower_items(items: Iterable[ItemSpec], scope: dict[str, Value], before: Iterable[Layer] = ()) -> tuple[Layer, ...]:
    """Return the layers of `items` in order, and update `scope['in']` to the number of output channels.

    They do not take names of the layers `before` them. If possible, a border directly before a convolution becomes its
    padding.
    """
    layers: list[Layer] = []
    taken = {layer.name for layer in before}
    for item in items:
        if item.when is not None and not condition(item.when, scope, f"{item.where}.when"):
            continue
        for layer in _lower_item(item, scope, taken):
            if layer.name in taken:
                if item.name == layer.name:
                    raise SpecError(item.where, f"duplicate name '{layer.name}' in one list of layers")
                # The layers of a residual without a shortcut, or of a single branch, get their own numbers.
                layer = replace(layer, name=_numbered(layer.name, taken))
            taken.add(layer.name)
            last = layers[-1] if layers else None
            if isinstance(last, Pad) and isinstance(layer, Conv) and (whole := layer.behind(last)) is not None:
                layers[-1] = whole
            else:
                layers.append(layer)
    return tuple(layers)


def lower_head(head: HeadSpec, channels: int, kind: MapKind = "plain") -> tuple[Layer, ...]:
    """Return the layers of `head` for an input of `channels` of `kind`; raises `SpecError` if they cannot fit."""
    scope: dict[str, Value] = {"in": channels, "out": channels, "block_in": channels, "classes": head.classes}
    layers = list(lower_items(head.layers, scope))
    if head.pool == "average":
        layers.append(Pool(name="pool", kind="average", kernel=head.kernel, stride=head.kernel))
    elif head.pool != "none":
        layers.append(GlobalPool(name="pool", kind="max" if head.pool == "global_max" else "average"))
    if head.classifier is not None:
        layers += lower_items(head.classifier, scope, before=layers)
    elif head.linear:
        if head.dropout:
            layers.append(Dropout(name="dropout", rate=head.dropout))
        features, scope["in"] = _channels(scope), head.classes
        layers.append(Linear(name="linear", in_features=features, out_features=head.classes, bias=head.bias))
    _require_logits(head, _channels(scope))
    names = [layer.name for layer in layers]
    for name in ("pool", "dropout", "linear"):
        if names.count(name) > 1:
            fix = f"Give the layer another name: {{{name}: ..., name: before}}."
            raise SpecError("arch.head.layers", f"the name '{name}' is already used by a layer of the head", fix)
    return _tie_head(tuple(layers), kind)


def _require_logits(head: HeadSpec, channels: int) -> None:
    """Raise `ChannelsError` if the output `channels` of `head` are not one per class."""
    if channels == head.classes:
        return
    if head.classifier:
        what = f"the last layer must give {head.classes} values, one per class, got {channels}"
        raise ChannelsError("arch.head.classifier", what, "End it with `linear: classes`.")
    raise ChannelsError(
        "arch.head",
        f"without a linear layer the last layer needs {head.classes} channels, one per class, got {channels}",
        "Set arch.head.linear=true, or give the last layer as many channels as classes.",
    )


def _lower_stage(stage: StageSpec, channels: int, width: int, kind: MapKind) -> tuple[Sequence, int, MapKind]:
    blocks: list[Sequence] = []
    for index, block in enumerate(blocks_of(stage)):
        sequence, kind = _lower_at(f"arch.stages.{stage.name}", str(index), block, channels, width, kind)
        channels = sequence.channels_after(channels)
        blocks.append(sequence)
    return Sequence(name=stage.name, layers=tuple(blocks)), channels, kind


def _joined(
    stage: StageSpec, stages: list[Sequence], ends: Mapping[str, tuple[int, MapKind]]
) -> tuple[tuple[Parallel], MapKind]:
    """Return the concatenation that `stage` starts with, and its kind; moves its branch `BETWEEN` out of `stages`.

    These are the stages after the origin, so the plan stays a tree. Raises `SpecError` if they cannot be a branch.
    """
    where, names = f"arch.stages.{stage.name}.from", [one.name for one in stages]
    assert stage.origin is not None, "the stage has an origin"
    if stage.origin not in ends:
        what = f"there is no stage '{stage.origin}' before '{stage.name}'"
        raise SpecError(where, what, suggest(stage.origin, [*ends]))
    if stage.origin not in names:
        what = f"'{stage.origin}' lies between a later stage and the stage that this one concatenates"
        raise SpecError(where, what, "Concatenate in reverse order: the last stage with the earliest.")
    inner = stages[names.index(stage.origin) + 1 :]
    if not inner:
        raise SpecError(where, f"'{stage.origin}' is the stage before it", "Name an earlier one, or leave it out.")
    del stages[names.index(stage.origin) + 1 :]
    branches = Sequence(name=BETWEEN, layers=tuple(inner)), Sequence(name="skip", layers=())
    parallel, kind = Parallel(name=JOINED, branches=branches, combine="concat").tied(ends[stage.origin][1])
    return (parallel,), kind


def _lower_at(
    where: str, name: str, block: FixedBlock, channels: int, width: int, kind: MapKind
) -> tuple[Sequence, MapKind]:
    """Return the layers of `lower_block` as one tied sequence, and its kind; errors name the stage of the block."""
    try:
        layers, kind = tie_layers(lower_block(block, channels, width), kind)
    except SpecError as error:
        if error.where.startswith(where):  # the block is defined inline in the stage
            raise
        raise type(error)(f"{where}, {error.where}", error.what, error.fix) from None
    return Sequence(name=name, layers=layers), kind


def _tie_head(layers: tuple[Layer, ...], kind: MapKind) -> tuple[Layer, ...]:
    """Return the layers of a head, tied: the last convolution or dense layer maps pairs to plain values.

    Raises `SpecError` if pairs reach the output because there is none.
    """
    if kind == "plain":
        return layers
    for index in reversed(range(len(layers))):
        layer = layers[index]
        if isinstance(layer, Conv | Linear):
            before, after = tie_layers(layers[:index], kind)
            last = replace(layer, symmetry="project") if after == "pairs" else layer
            return (*before, last, *layers[index + 1 :])
        if isinstance(layer, Sequence | Parallel):
            break
    made, after = tie_layers(layers, kind)
    if after == "image":
        return made
    raise SpecError(
        "arch.head",
        "arch.symmetry=flip: the head ends with pairs of channels, and no layer maps them to classes",
        "Set arch.head.linear=true, or end the head with a linear layer or a 1x1 convolution to the classes.",
    )


def _lower_item(item: ItemSpec, scope: dict[str, Value], taken: set[str]) -> tuple[Layer, ...]:
    """Return the layers of one item, whose names may still be `taken`, and update `scope['in']`."""
    match item:
        case LayerSpec():
            name = item.name or _free(item.kind, taken)
            channels = _channels(scope)
            layer = KINDS[item.kind].make(FieldValues(item, scope, channels), name)
            if layer is None:
                return ()
            scope["in"] = layer.channels_after(channels)
            return (layer,)
        case ParallelSpec():
            return _lower_parallel(item, scope)
        case ResidualSpec():
            return _lower_residual(item, scope)
        case UseSpec():
            layers = _lower_use(item, scope)
            return (Sequence(name=item.name or _free("use", taken), layers=layers),) if layers else ()
        case _:
            assert_never(item)


def _lower_parallel(item: ParallelSpec, scope: dict[str, Value]) -> tuple[Layer, ...]:
    names = [
        name
        for name in item.branches
        if (when := item.conditions.get(name)) is None or condition(when, scope, f"{item.where}.branches.{name}.when")
    ]
    if not names:
        fix = "Let the condition of one be true, or give the parallel itself a `when`."
        raise SpecError(f"{item.where}.branches", "the conditions of all branches are false", fix)
    parts = {} if item.split is None else _parts(item, names, scope)
    ends: list[int] = []
    branches: list[Sequence] = []
    for name in names:
        inner, first = dict(scope), ()
        if (part := parts.get(name)) is not None:
            inner["in"], first = part.out_channels, (part,)
        branches.append(Sequence(name=name, layers=(*first, *lower_items(item.branches[name], inner, first))))
        ends.append(_channels(inner))
    scope["in"] = sum(ends) if item.combine == "concat" else max(ends)
    if scope["in"] > MAX_VALUE:
        raise SpecError(item.where, f"gives {scope['in']} channels, at most {MAX_VALUE} are allowed")
    if len(branches) == 1:
        return branches[0].layers
    return (Parallel(name=item.name or "parallel", branches=tuple(branches), combine=item.combine),)


def _parts(item: ParallelSpec, names: Listed[str], scope: Mapping[str, Value]) -> dict[str, Narrow]:
    """Return the layer that selects the channels of each branch; raises `SpecError` if they do not add up."""
    assert item.split is not None, "the item is a split"
    channels, where, count = _channels(scope), f"{item.where}.split", len(names)
    sizes = [item.split[name] for name in names]
    if None in sizes and channels % count:
        fix = f"Use {nearest_multiple(channels, count)} channels, or give each branch its own."
        raise ChannelsError(where, f"{channels} channels cannot be split equally into {count}", fix)
    found: dict[str, Narrow] = {}
    start = 0
    for name, size in zip(names, sizes, strict=True):
        out = channels // count if size is None else integer(size, scope, f"{where}.{name}", 1)
        found[name] = Narrow(name="split", in_channels=channels, start=start, out_channels=out)
        start += out
    if start != channels:
        raise ChannelsError(where, f"gives {start} channels, of {channels}", "Let the branches' channels add up.")
    return found


def _lower_residual(item: ResidualSpec, scope: dict[str, Value]) -> tuple[Layer, ...]:
    inner, before = dict(scope), dict(scope)
    channels = _channels(scope)
    main = Sequence(name="main", layers=lower_items(item.layers, inner))
    scope["in"] = inner["in"]
    stride = main.total_stride
    same = inner["in"] == channels and stride == 1 and _keeps_map(main, channels)
    mode = choice_of(item.shortcut, before, item.where, SHORTCUTS)
    always = item.projection is not None and condition(item.always, before, item.where)
    if mode == "none" or (mode == "if_same_shape" and not same) or (not main.layers and not always):
        return main.layers
    shortcut: tuple[Layer, ...] = ()
    if item.projection is not None:
        shortcut = lower_items(item.projection, before) if always or not same else ()
    elif not same:
        if stride.denominator > 1:
            fix = "Give the shortcut layers of its own: [{upsample: 2}, {conv: {kernel: 1}}]."
            raise SpecError(item.where, "a 1x1 convolution cannot project to a map that is larger", fix)
        width = _channels(inner)
        conv = Conv(name="conv", in_channels=channels, out_channels=width, kernel=1, stride=stride.numerator)
        shortcut = (conv, Norm(name="norm", kind="batch", channels=width))
    branches = (main, Sequence(name="shortcut", layers=shortcut))
    return (Parallel(name=item.name or "residual", branches=branches, combine="add"),)


def _lower_use(item: UseSpec, scope: dict[str, Value]) -> tuple[Layer, ...]:
    defaults, channels = item.block.defaults, _channels(scope)
    inner = {**defaults, "block_in": channels, "in": channels}
    for name, given in item.options.items():
        where = f"{item.where}.{name}"
        inner[name] = option_value(compute(given, scope, where), defaults[name], where)
    inner["out"] = integer(item.width, scope, f"{item.where}.width", 1)
    layers = lower_items(item.items, inner)
    scope["in"] = inner["in"]
    return layers


def _keeps_map(sequence: Sequence, channels: int) -> bool:
    """Return whether `sequence` keeps height and width, or outputs one value per channel, which counts as well."""
    shape = channels, MAX_SPAN, MAX_SPAN
    try:
        after = shape_behind(sequence, shape)
    except SpecError:  # depends on the input size, or does not fit: the analysis reports it
        return True
    return after[1:] in (shape[1:], (1, 1))


def _free(name: str, taken: set[str]) -> str:
    """Return `name`, with a number if it is taken."""
    return _numbered(name, taken) if name in taken else name


def _numbered(name: str, taken: set[str]) -> str:
    return next(one for number in count(2) if (one := f"{name}_{number}") not in taken)


def _channels(scope: Mapping[str, Value]) -> int:
    """Return the number of input channels of the next layer."""
    channels = scope["in"]
    assert isinstance(channels, int), "channels are whole numbers"
    return channels
