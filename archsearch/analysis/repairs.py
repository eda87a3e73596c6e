"""Repairs of a design that misses a lower limit: a larger dilation of one stage, which adds no parameters.

Imports the design and its analysis; no torch, no hydra.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from operator import itemgetter

from archsearch.analysis.check import Checked
from archsearch.analysis.limits import Margin
from archsearch.analysis.measure import Field, Widths, field_of, joined
from archsearch.decode import is_mapping
from archsearch.design.geometry import ONE_PIXEL
from archsearch.design.lower import FixedBlock, blocks_of, stages_of, with_options
from archsearch.design.spec import DesignSpec, StageSpec

REPAIRABLE = frozenset({"receptive_field", "contains", "downsampling"})
DILATIONS = (2, 3, 4, 6, 8)


def may_repair(checked: Checked) -> bool:
    """Return whether a larger dilation may be enough to keep all limits."""
    return all(
        margin.limit in REPAIRABLE and (not _is_field(margin) or margin.found < next(iter(margin.bound.values())))
        for margin in checked.margins
        if not margin.kept
    )


def changes(checked: Checked) -> Iterator[dict[str, int]]:
    """Yield changes of the dilation of one stage; smaller dilations come first, then later stages.

    Changes whose receptive field is known to be too small are left out.
    """
    design = checked.design
    bound = next((margin.bound["above"] for margin in checked.margins if not margin.kept and _is_field(margin)), None)
    context = [] if bound is None else _context(design)
    offered: list[tuple[int, str]] = []
    for place, stage in reversed(list(enumerate(design.stages))):
        present = stage.use.options.get("dilation", stage.use.block.defaults.get("dilation"))
        if not isinstance(present, int) or present >= DILATIONS[-1] or stage.repeats == 0:
            continue
        inner = (
            [None] * len(DILATIONS) if bound is None else _dilated(blocks_of(stage), _first_to_change(design, stage))
        )
        for dilation, field in zip(DILATIONS, inner, strict=True):
            size = None if bound is None or dilation <= present else _size(context[place][0], field, context[place][1])
            if dilation > present and (bound is None or size is None or size > bound):
                offered.append((dilation, stage.name))
    for dilation, name in sorted(offered, key=itemgetter(0)):  # stable: later stages stay first
        yield {f"arch.stages.{name}.dilation": dilation}


def _context(design: DesignSpec) -> list[tuple[Field | None, Field | None]]:
    """Return the receptive fields of the parts before and after each stage; None if unknown."""
    if not design.is_chain:
        return [(None, None)] * len(design.stages)
    fields = [_field(blocks_of(stage)) for stage in stages_of(design)]
    before, after = [joined([])], [_head_field(design)]
    for field in fields[:-1]:
        before.append(joined([before[-1], field]))
    for field in reversed(fields[1:]):
        after.append(joined([field, after[-1]]))
    first = len(fields) - len(design.stages)  # without the stem
    return list(zip(before[first:], reversed(after[: len(design.stages)]), strict=True))


def _head_field(design: DesignSpec) -> Field | None:
    """Return the receptive field of the head; its own layers may depend on the size of their input."""
    if not design.head.layers and not design.head.classifier:
        return Field(end=ONE_PIXEL, at_last_conv=None, is_global=False)  # no layer after the stages counts
    assert design.width != "fit", "a checked design has a width"
    widths = Widths(design)
    *_, head = widths.parts(widths.channels(design.width))
    return joined([head])


def _size(before: Field | None, field: Field | None, after: Field | None) -> int | None:
    """Return the receptive field at the last convolution of three parts in sequence; None if it is unknown.

    The result equals that of `joined`, which takes ten times as long.
    """
    if before is None or field is None or after is None or before.is_global or field.is_global:
        return None
    if after.at_last_conv is not None:
        within = field.end.size + (after.at_last_conv.size - 1) * field.end.jump
    elif field.at_last_conv is not None:
        within = field.at_last_conv.size
    else:
        return None if before.at_last_conv is None else before.at_last_conv.size
    return before.end.size + (within - 1) * before.end.jump


def _is_field(margin: Margin) -> bool:
    return margin.limit == "receptive_field" and "above" in margin.bound


def _first_to_change(design: DesignSpec, stage: StageSpec) -> int:
    """Return the index of the first block with the dilation of the stage: 1 if the entry sets its own, otherwise 0."""
    entry: object = design.source["stages"][stage.name].get("entry")
    return int(stage.entry is not None and is_mapping(entry) and entry.get("dilation") is not None)


@lru_cache(maxsize=512)
def _field(blocks: tuple[FixedBlock, ...]) -> Field | None:
    """Return the receptive field of the blocks of a stage."""
    return joined(map(field_of, blocks))


@lru_cache(maxsize=512)
def _dilated(blocks: tuple[FixedBlock, ...], first: int) -> tuple[Field | None, ...]:
    """Return the receptive field of the blocks with each of `DILATIONS` in the blocks from index `first` on."""
    return tuple(
        joined(
            field_of(
                with_options(block.block, tuple({**block.options, "dilation": dilation}.items()))
                if place >= first and "dilation" in block.options
                else block
            )
            for place, block in enumerate(blocks)
        )
        for dilation in DILATIONS
    )
