"""Fixes: for each broken limit, changes of the design after which the analysis says that it is kept.

Every fix is found by trying it; none is guessed. Imports the design and this room; no torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from archsearch.analysis.fit import lowered
from archsearch.analysis.footprint import Footprint
from archsearch.analysis.limits import NUMBERS, UNITS, Limits, Margin, margins
from archsearch.design.spec import BlockLookup, DesignSpec, StageSpec, decode_design
from archsearch.errors import SpecError
from archsearch.formatting import number

MOST = 3
"""Fixes that are given for one limit."""
_BLOCKS = {"depthwise_separable": "depthwise", "depthwise": "depthwise", "dilated": "dilated", "strided": "strided"}
_TRIES = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class _Trial:
    change: str
    footprint: Footprint
    margins: Mapping[str, Margin]


def find_fixes(
    design: DesignSpec, limits: Limits, found: tuple[Margin, ...], footprint: Footprint, blocks: BlockLookup
) -> dict[str, tuple[str, ...]]:
    """Return, for each broken limit, up to `MOST` sentences `change gives result`, the gentlest first.

    A change that keeps every limit that was kept comes before one that breaks another; among equals
    the one that costs fewer parameters comes first.
    """
    fixes: dict[str, tuple[str, ...]] = {}
    kept = {margin.limit for margin in found if margin.kept}
    for margin in found:
        if margin.kept:
            continue
        working: list[tuple[tuple[int, int, int], str]] = []
        results: set[object] = set()
        for order, (change, source) in enumerate(_changes(design, margin)):
            trial = _attempt(design, limits, change, source, blocks)
            if trial is None or not trial.margins[margin.limit].kept:
                continue
            if margin.limit in NUMBERS[1:]:
                result = trial.margins[margin.limit].found
                if result in results:
                    continue
                results.add(result)
            harm = sum(not trial.margins[name].kept for name in kept)
            cost = abs(trial.footprint.parameters - footprint.parameters) if margin.limit not in NUMBERS[1:] else 0
            working.append(((harm, cost, order), _sentence(margin, trial, footprint)))
        fixes[margin.limit] = tuple(sentence for _, sentence in sorted(working)[:MOST])
    return fixes


def _attempt(
    design: DesignSpec, limits: Limits, change: str, source: Mapping[str, Any], blocks: BlockLookup
) -> _Trial | None:
    try:
        changed = decode_design(source, blocks)
        if design.width != "fit" and "width" not in change.partition("=")[0].rpartition(".")[2]:
            changed = changed.at_width(design.width)
        _, plan, footprint = lowered(changed, limits)
        return _Trial(
            change=change,
            footprint=footprint,
            margins={margin.limit: margin for margin in margins(plan, footprint, limits)},
        )
    except SpecError:
        return None


def _sentence(margin: Margin, trial: _Trial, before: Footprint) -> str:
    result = trial.margins[margin.limit].found
    if margin.limit not in NUMBERS:
        return trial.change
    text = f"{trial.change} gives {number(result)}"
    if unit := UNITS.get(margin.limit):
        text += f" {unit}"
    if margin.limit == "receptive_field":
        more = trial.footprint.parameters - before.parameters
        text += (
            " at no parameter" if more == 0 else f" at {number(abs(more))} {'more' if more > 0 else 'fewer'} parameters"
        )
    return text


def _changes(design: DesignSpec, margin: Margin) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield changes that may help `margin`, as the override that a user types and the changed source."""
    match margin.limit:
        case "receptive_field":
            if "below" in margin.bound or "at_most" in margin.bound:
                yield from _stage_changes(design, (("dilation", (1,)), ("kernel", (1, 3))))
            yield from _stage_changes(design, (("dilation", (2, 3, 4)), ("kernel", (5, 7))))
            yield from _repeats(design, (1, 2, 3))
            if "below" in margin.bound or "at_most" in margin.bound:
                yield from _repeats(design, (-1, -2))
        case "contains":
            yield from _additions(design, [trait for trait in margin.bound if trait not in margin.found])
        case "downsampling":
            for way, option in (("dilated", "dilation"), ("strided", "stride")):
                if way in margin.bound["by"]:
                    yield from _stage_changes(design, ((option, (2,)),))
        case "head":
            yield f"arch.head.pool={margin.bound}", _with(design.source, ("head", "pool"), margin.bound)
        case "forbids":
            if "dropout" in margin.found:
                yield from _stage_changes(design, (("dropout", (0.0,)),))
            for block in ("normal", "strided"):
                yield from _block_changes(design, block)
        case _:
            if margin.limit == "parameters" and design.symmetry == "none":
                yield "arch.symmetry=flip", _with(design.source, ("symmetry",), "flip")
            yield from _narrower(design)
            yield from _repeats(design, (-1, -2))


def _additions(design: DesignSpec, missing: list[str]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield changes that bring in the `missing` traits, one by one and, for a dilated one, two at once."""
    if "dilated" in missing:
        yield from _stage_changes(design, (("dilation", (2,)),))
    blocks = [_BLOCKS[trait] for trait in missing if trait in _BLOCKS]
    for block in blocks:
        yield from _block_changes(design, block)
    if "dilated" in missing and len(missing) > 1:
        for block in blocks:
            yield from _block_changes(design, block, ("dilation", 2))


def _stage_changes(
    design: DesignSpec, tries: tuple[tuple[str, tuple[Any, ...]], ...]
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for option, values in tries:
        for value in values:
            for stage in reversed(design.stages):
                if _has(stage, option):
                    path = ("stages", stage.name, option)
                    yield f"arch.stages.{stage.name}.{option}={value}", _with(design.source, path, value)


def _block_changes(
    design: DesignSpec, block: str, option: tuple[str, Any] | None = None
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for stage in reversed(design.stages):
        where = f"arch.stages.{stage.name}"
        change, source = f"{where}.block={block}", _with(design.source, ("stages", stage.name, "block"), block)
        if option is not None:
            change += f" {where}.{option[0]}={option[1]}"
            source = _with(source, ("stages", stage.name, option[0]), option[1])
        yield change, source


def _repeats(design: DesignSpec, steps: tuple[int, ...]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for step in steps:
        for stage in reversed(design.stages):
            repeats = stage.repeats + step
            if repeats >= 1:
                path = ("stages", stage.name, "repeats")
                yield f"arch.stages.{stage.name}.repeats={repeats}", _with(design.source, path, repeats)


def _narrower(design: DesignSpec) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the multipliers below the design's own, in hundredths, largest first; bisected by the caller's limit."""
    if design.width == "fit":
        return
    top = round(design.width * 100)
    steps = sorted({max(1, top - step) for step in (*range(1, 60), *range(60, top, 5))}, reverse=True)
    for step in steps[:_TRIES]:
        yield f"arch.width={step / 100:g}", _with(design.source, ("width",), step / 100)


def _has(stage: StageSpec, option: str) -> bool:
    return stage.repeats > 0 and option in stage.use.block.defaults


def _with(source: Mapping[str, Any], path: tuple[str, ...], value: Any) -> Mapping[str, Any]:
    """Return a copy of `source` in which the item at `path` is `value`."""
    head, *rest = path
    inner: Mapping[str, Any] = source.get(head) or {}
    return {**source, head: _with(inner, tuple(rest), value) if rest else value}
