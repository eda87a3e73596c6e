"""The check: a design against its limits, before anything is trained, and the message when it breaks some.

Imports the design and this room; no torch.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from archsearch.analysis.fit import lowered
from archsearch.analysis.fixes import find_fixes
from archsearch.analysis.footprint import Footprint, LayerFootprint, rows
from archsearch.analysis.limits import NUMBERS, UNITS, Limits, Margin, margins
from archsearch.design.canonical import design_id
from archsearch.design.plan import Plan
from archsearch.design.spec import BlockLookup, DesignSpec
from archsearch.errors import LimitError
from archsearch.formatting import html_table, number


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """A design with its width resolved, its plan, footprint, and one margin for every limit that is set."""

    design: DesignSpec
    plan: Plan
    footprint: Footprint
    margins: tuple[Margin, ...]

    @property
    def kept(self) -> bool:
        """Whether every limit is kept."""
        return all(margin.kept for margin in self.margins)

    @property
    def design_id(self) -> str:
        """The identity of the network: equal networks share it, whatever they are called."""
        return design_id(self.plan)

    def _repr_html_(self) -> str:
        """Return what a notebook shows: a row for every limit, with its fixes."""
        broken = sum(not margin.kept for margin in self.margins)
        told = f"breaks {broken} of {len(self.margins)} limits" if broken else f"keeps all {len(self.margins)} limits"
        cells = [[one.limit, one.kept, say(one), "; ".join(one.fixes)] for one in self.margins]
        return html_table(f"{self.design.name}: {told}", ["limit", "kept", "found", "fixes"], cells)


def check_design(design: DesignSpec, limits: Limits, blocks: BlockLookup | None = None) -> Checked:
    """Return `design` measured against `limits`; with `blocks` given, broken limits carry their fixes.

    Raises `SpecError` for a design that is no network at all.
    """
    resolved, plan, footprint = lowered(design, limits)
    found = margins(plan, footprint, limits)
    if blocks is not None and not all(margin.kept for margin in found):
        fixes = find_fixes(design, limits, found, footprint, blocks)
        found = tuple(replace(margin, fixes=fixes.get(margin.limit, ())) for margin in found)
    return Checked(design=resolved, plan=plan, footprint=footprint, margins=found)


def require(checked: Checked) -> None:
    """Raise `LimitError`, with every broken limit in its message, unless all limits are kept."""
    if not checked.kept:
        raise LimitError(refusal(checked))


def refusal(checked: Checked) -> str:
    """Return the message that lists the broken limits: what was found, the bound, and the fixes."""
    broken = [margin for margin in checked.margins if not margin.kept]
    lines = [f"arch '{checked.design.name}' breaks {len(broken)} of {len(checked.margins)} limits"]
    column = max(len(margin.limit) for margin in broken)
    for margin in broken:
        line = f"  {margin.limit:<{column}}  {say(margin)}"
        if margin.limit == "receptive_field":
            line += f"   ({growth(checked)})"
        lines.append(line)
        for index, fix in enumerate(margin.fixes):
            lines.append(f"  {'':<{column}}  {'fix:' if index == 0 else '  or:'} {fix}")
        if not margin.fixes:
            lines.append(f"  {'':<{column}}  no single change of a stage keeps it")
    return "\n".join(lines)


def say(margin: Margin) -> str:
    """Return one margin in words: `31 px, must be above 44`."""
    if margin.limit in NUMBERS:
        unit = f" {UNITS[margin.limit]}" if margin.limit in UNITS else ""
        return f"{number(margin.found)}{unit}, must be {say_bound(margin.limit, margin.bound)}"
    if margin.limit == "contains":
        missing = [trait for trait in margin.bound if trait not in margin.found]
        return f"lacks {', '.join(missing)}" if missing else f"has {', '.join(margin.bound) or 'nothing asked'}"
    if margin.limit == "forbids":
        return f"has {', '.join(margin.found)}" if margin.found else f"has no {', no '.join(margin.bound)}"
    if margin.limit == "downsampling":
        ways = " or ".join(margin.bound["by"])
        return f"{margin.found} layers are {ways}, must be at least {margin.bound['layers']}"
    return f"pools by {margin.found}, must be {margin.bound}"


def say_bound(limit: str, bound: Any) -> str:
    """Return what a limit asks for, in words: `above 44`, `depthwise_separable, dilated`, `3 layers by strided`."""
    if limit in NUMBERS:
        return " and ".join(
            f"{name.replace('_', ' ')} {number(int(value) if float(value).is_integer() else value)}"
            for name, value in bound.items()
        )
    if limit == "downsampling":
        return f"{bound['layers']} layers by {' or '.join(bound['by'])}"
    return str(bound) if isinstance(bound, str) else ", ".join(bound)


def growth(checked: Checked) -> str:
    """Return how the receptive field grows: `grows 3 > 7 > 15 > 31 over c1 c2 c3 c4`."""
    names: list[str] = []
    sizes: list[str] = []
    for name, row in stage_ends(rows(checked.plan)):
        if name != "head":
            names.append(name)
            sizes.append(str(row.receptive_field))
    return f"grows {' > '.join(sizes)} over {' '.join(names)}"


def stage_ends(layers: tuple[LayerFootprint, ...]) -> list[tuple[str, LayerFootprint]]:
    """Return the last row of the stem, of each stage and of the head, by name, in order."""
    ends: dict[str, LayerFootprint] = {}
    for row in layers:
        parts = row.name.split(".")
        ends[parts[1] if parts[0] == "stages" else parts[0]] = row
    return list(ends.items())
