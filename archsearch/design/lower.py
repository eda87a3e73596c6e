"""Lowering: a design spec, all arithmetic worked out, becomes a plan of primitive layers.

Names given here are the layer paths of the analysis and of the state dict.
Imports the standard library, `errors` and this room only.
"""

from __future__ import annotations

from functools import lru_cache

from archsearch.design.expression import Value, multiple_of
from archsearch.design.lower_block import FixedBlock, lower_block, lower_items, whole_channels, with_options
from archsearch.design.plan import Conv, Dropout, GlobalPool, Layer, Linear, Parallel, Plan, Pool, Sequence
from archsearch.design.spec import DesignSpec, HeadSpec, StageSpec
from archsearch.design.symmetry import MapKind, first_map, tied, tied_head
from archsearch.errors import SpecError

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
    channels, kind = design.input_shape[0], first_map(design.symmetry)
    top: list[Sequence] = []
    if design.stem is not None:
        width = scaled(design.stem.width, design)
        for block in blocks_of(design.stem):
            layers, kind = _lower_at("arch.stem", block, channels, width, kind)
            top.append(Sequence(name="stem", layers=layers))
            channels = _channels_after(layers, channels)
    stages: list[Sequence] = []
    for stage in design.stages:
        sequence, channels, kind = _lower_stage(stage, channels, scaled(stage.width, design), kind)
        stages.append(sequence)
    top.append(Sequence(name="stages", layers=tuple(stages)))
    top.append(Sequence(name="head", layers=lower_head(design.head, channels, kind)))
    return Plan(input_shape=design.input_shape, layers=tuple(top))


def scaled(width: int, design: DesignSpec) -> int:
    """Return the channels that `width` comes to under the design's multiplier and divisor."""
    if design.width == 1 or design.width == "fit":
        return width
    return multiple_of(width * design.width, design.step)


def stages_of(design: DesignSpec) -> tuple[StageSpec, ...]:
    """Return the stem, where there is one, and the stages."""
    return design.stages if design.stem is None else (design.stem, *design.stages)


@lru_cache(maxsize=64)  # a design's stages are asked for their blocks by everything that looks at it
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


def _lower_stage(stage: StageSpec, channels: int, width: int, kind: MapKind) -> tuple[Sequence, int, MapKind]:
    blocks: list[Sequence] = []
    for index, block in enumerate(blocks_of(stage)):
        layers, kind = _lower_at(f"arch.stages.{stage.name}", block, channels, width, kind)
        blocks.append(Sequence(name=str(index), layers=layers))
        channels = _channels_after(layers, channels)
    return Sequence(name=stage.name, layers=tuple(blocks)), channels, kind


def _lower_at(
    where: str, block: FixedBlock, channels: int, width: int, kind: MapKind
) -> tuple[tuple[Layer, ...], MapKind]:
    """Return `lower_block`'s layers; what is wrong with them is told with the stage that it is wrong in."""
    try:
        return tied(lower_block(block, channels, width), kind)
    except SpecError as error:
        if error.where.startswith(where):  # a block that the stage holds itself
            raise
        raise SpecError(f"{where}, {error.where}", error.what, error.fix) from None


def lower_head(head: HeadSpec, channels: int, kind: MapKind = "plain") -> tuple[Layer, ...]:
    """Return the layers of `head` for `channels` in, of a map of `kind`.

    Raises `SpecError` where they cannot end in its classes.
    """
    scope: dict[str, Value] = {"in": channels, "out": channels, "block_in": channels, "classes": head.classes}
    layers = list(lower_items(head.layers, scope))
    channels = whole_channels(scope)
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
            fix = f"Give the layer a name of its own: {{{name}: ..., name: before}}."
            raise SpecError("arch.head.layers", f"the name '{name}' is taken by the head's own layer", fix)
    return tied_head(tuple(layers), kind)


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
