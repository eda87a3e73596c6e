"""Changes of a design that may keep a lower limit it misses: a larger dilation of one stage, which costs no parameter.

Imports the design and its analysis; no torch, no hydra.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache

from archsearch.analysis.check import Checked
from archsearch.analysis.limits import Margin
from archsearch.analysis.totals import Field, Widths, field_of, joined
from archsearch.design.lower import blocks_of, stages_of
from archsearch.design.lower_block import FixedBlock, with_options
from archsearch.design.spec import DesignSpec, StageSpec
from archsearch.search.candidates import Value

REPAIRABLE = frozenset({"receptive_field", "contains", "downsampling"})
DILATIONS = (2, 3, 4, 6, 8)


def may_repair(checked: Checked) -> bool:
    """Return whether a larger dilation may keep the limits that are broken."""
    broken = [margin for margin in checked.margins if not margin.kept]
    small = all(margin.found < next(iter(margin.bound.values())) for margin in broken if _is_field(margin))
    return {margin.limit for margin in broken} <= REPAIRABLE and small


def changes(checked: Checked) -> Iterator[dict[str, Value]]:
    """Yield changes of one stage's dilation, the smallest and the latest stage first.

    Those are left out whose receptive field is known to stay too small.
    """
    design = checked.design
    asked = next((margin.bound["above"] for margin in checked.margins if not margin.kept and _is_field(margin)), None)
    around = [] if asked is None else _around(design)
    for dilation in DILATIONS:
        for place, stage in reversed(list(enumerate(design.stages))):
            there = stage.use.options.get("dilation", stage.use.block.defaults.get("dilation"))
            if not isinstance(there, int) or there >= dilation or stage.repeats == 0:
                continue
            if asked is not None:
                before, behind = around[place]
                field = joined(
                    [before, _dilated(tuple(blocks_of(stage)), dilation, _first_to_change(design, stage)), behind]
                )
                if field is not None and field.at_last_conv is not None and field.at_last_conv.size <= asked:
                    continue
            yield {f"arch.stages.{stage.name}.dilation": dilation}


def _around(design: DesignSpec) -> list[tuple[Field | None, Field | None]]:
    """Return for each stage what is before it and what is behind it, as far as receptive fields go."""
    assert design.width != "fit", "a checked design has a width"
    widths = Widths(design)
    *_, head = widths.parts(widths.channels(design.width))
    fields = [joined(map(field_of, blocks_of(stage))) for stage in stages_of(design)]
    first = len(fields) - len(design.stages)  # behind the stem
    places = range(first, len(fields))
    return [(joined(fields[:place]), joined([*fields[place + 1 :], head])) for place in places]


def _is_field(margin: Margin) -> bool:
    return margin.limit == "receptive_field" and "above" in margin.bound


def _first_to_change(design: DesignSpec, stage: StageSpec) -> int:
    """Return the number of the first block that the stage's dilation reaches: 1 where its entry says another."""
    said = design.source["stages"][stage.name].get("entry")
    return int(stage.entry is not None and isinstance(said, Mapping) and said.get("dilation") is not None)


@lru_cache(maxsize=2048)
def _dilated(blocks: tuple[FixedBlock, ...], dilation: int, first: int) -> Field | None:
    """Return what the blocks of a stage do to a receptive field when those from `first` on have that dilation."""
    return joined(
        field_of(
            with_options(block.block, tuple({**block.options, "dilation": dilation}.items()))
            if place >= first and "dilation" in block.options
            else block
        )
        for place, block in enumerate(blocks)
    )
