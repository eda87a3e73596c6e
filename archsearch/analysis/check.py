"""Check a design against its limits before training: margins, verified fixes, and the message about broken limits.

Imports the design and this package; no torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import combinations, islice
from typing import Any

from archsearch.analysis.fit import lowered
from archsearch.analysis.fixes import Change
from archsearch.analysis.limits import LIMITS, Limits, Margin, NumberLimit, margin_text, margins, margins_text
from archsearch.analysis.measure import Footprint
from archsearch.analysis.seconds import SECONDS, Estimate, Predictor
from archsearch.analysis.traits import windows_on_one_pixel
from archsearch.design.lower import blocks_of, stages_of
from archsearch.design.plan import Plan, design_id
from archsearch.design.spec import BlockLookup, DesignSpec, decode_design
from archsearch.errors import LimitError, SpecError
from archsearch.formatting import html_table, number

MAX_FIXES = 3
"""The most fixes that are listed for one limit."""
MOST_JOINED = 10
"""The number of changes that are combined in pairs if no single change keeps a limit."""
MOST_WORK = 20_000
"""The most stages and layers in all designs tried for one limit: of a huge design, fewer changes are tried."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """A design with its width resolved, its plan, its footprint, and one margin per limit that is set.

    `training` is the predicted time of its training, if a predictor was given.
    """

    design: DesignSpec
    plan: Plan
    footprint: Footprint
    margins: tuple[Margin, ...]
    training: Estimate | None = None

    @property
    def kept(self) -> bool:
        """Whether every limit is kept."""
        return all(margin.kept for margin in self.margins)

    @property
    def notices(self) -> tuple[str, ...]:
        """Warnings about valid but probably unintended designs: stages whose kernels see a single pixel."""
        return tuple(
            f"stage {stage}: its {kernel} x {kernel} convolutions see a map of 1 x 1 and padding; "
            "use fewer strides before it, or a kernel of 1"
            for stage, kernel in windows_on_one_pixel(self.plan).items()
        )

    @property
    def design_id(self) -> str:
        """The hash of the network; equal networks share it, whatever their names."""
        return design_id(self.plan)

    def _repr_html_(self) -> str:
        """Return the table that a notebook shows: one row per limit, with its fixes."""
        cells = [[one.limit, one.kept, margin_text(one), "; ".join(one.fixes)] for one in self.margins]
        return html_table(
            f"{self.design.name}: {margins_text(self.margins)}", ["limit", "kept", "found", "fixes"], cells
        )


def check_design(
    design: DesignSpec, limits: Limits, blocks: BlockLookup | None = None, predictor: Predictor | None = None
) -> Checked:
    """Return `design` measured against `limits`; if `blocks` is given, margins of broken limits have fixes.

    A limit on the predicted training time needs a `predictor`. Raises `SpecError` for a design that is not a valid
    network.
    """
    checked = _measured(design, limits, predictor)
    if blocks is None or checked.kept:
        return checked
    blocks, parameters = _with_own(design, blocks), checked.footprint.parameters
    kept = {margin.limit for margin in checked.margins if margin.kept}
    found = (
        margin
        if margin.kept
        else replace(margin, fixes=_fixes(design, limits, margin, kept, parameters, blocks, predictor))
        for margin in checked.margins
    )
    return replace(checked, margins=tuple(found))


def _measured(design: DesignSpec, limits: Limits, predictor: Predictor | None) -> Checked:
    """Return `design` with its width resolved, measured against `limits`, without fixes."""
    resolved, plan, footprint = lowered(design, limits, predictor)
    training = None if predictor is None else predictor(resolved)
    found = margins(plan, footprint, limits, training)
    return Checked(design=resolved, plan=plan, footprint=footprint, margins=found, training=training)


def _with_own(design: DesignSpec, blocks: BlockLookup) -> BlockLookup:
    """Return the lookup `blocks`, except that names of blocks in `design` refer to the blocks of `design`."""
    own: dict[str, Mapping[str, Any]] = {}
    raw: list[Any] = list(design.source["stages"].values())
    if design.stem is not None:
        raw.insert(0, design.source["stem"])
    for given, stage in zip(raw, stages_of(design), strict=True):
        for part, use in ((given, stage.use), (given.get("entry"), stage.entry)):
            if use is not None and isinstance(part["block"], str):
                own[part["block"]] = use.block.source

    def find(name: str) -> Mapping[str, Any]:
        return own[name] if name in own else blocks(name)

    return find


def begun(checked: Checked) -> Checked:
    """Return `checked` for a training that is resumed: without a broken limit on the predicted training time.

    The limit was kept when the training started; trainings that finished since may have changed the prediction.
    """
    return replace(checked, margins=tuple(one for one in checked.margins if one.kept or one.limit != SECONDS))


def require(checked: Checked) -> None:
    """Raise `LimitError`, which lists every broken limit, unless all limits are kept."""
    if not checked.kept:
        raise LimitError(broken_limits_text(checked))


def broken_limits_text(checked: Checked) -> str:
    """Return the message that lists the broken limits: the value found, the bound, and the fixes."""
    broken = [margin for margin in checked.margins if not margin.kept]
    lines = [f"arch '{checked.design.name}' {margins_text(checked.margins)}"]
    column = max(len(margin.limit) for margin in broken)
    for margin in broken:
        detail = LIMITS[margin.limit].detail(checked.plan)
        lines.append(f"  {margin.limit:<{column}}  {margin_text(margin)}{f'   ({detail})' if detail else ''}")
        for index, fix in enumerate(margin.fixes):
            lines.append(f"  {'':<{column}}  {'fix:' if index == 0 else '  or:'} {fix}")
        if not margin.fixes:
            lines.append(f"  {'':<{column}}  none of the changes of one or two settings that were tried keeps it")
    return "\n".join(lines)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tried:
    """A change, with the footprint and the margins of the changed design."""

    change: Change
    footprint: Footprint
    margins: Mapping[str, Margin]


def _fixes(
    design: DesignSpec,
    limits: Limits,
    margin: Margin,
    kept: set[str],
    parameters: int,
    blocks: BlockLookup,
    predictor: Predictor | None,
) -> tuple[str, ...]:
    """Return up to `MAX_FIXES` texts `change gives result` for a broken limit; each change is verified.

    If no single change keeps the limit, pairs of changes that come nearer to it are tried. Fixes are sorted by the
    number of limits in `kept` that they break, then by roughness, then by how much they change `parameters`, unless the
    limit grows with the width. A dense block replaces an efficient one only if no change of numbers keeps the limit.
    """
    limit = LIMITS[margin.limit]
    size = sum(1 + sum(block.layers for block in blocks_of(stage)) for stage in stages_of(design))
    most = max(MAX_FIXES, MOST_WORK // size)
    tried = _tried(design, limits, islice(limit.changes(design, margin), most), blocks, predictor)
    working = [one for one in tried if one.margins[margin.limit].kept]
    if not working:
        tried = _tried(design, limits, islice(_pairs(tried, margin), most), blocks, predictor)
        working = [one for one in tried if one.margins[margin.limit].kept]
    if any(one.change.roughness == 0 for one in working):
        working = [one for one in working if one.change.roughness < 2]
    ranked: list[tuple[tuple[int, int, int, int], str]] = []
    results: set[object] = set()
    for order, one in enumerate(working):
        after = one.margins[margin.limit]
        if limit.grows_with_width:
            if after.found in results:
                continue
            results.add(after.found)
        more = one.footprint.parameters - parameters
        text = one.change.override + limit.result_text(after)
        if isinstance(limit, NumberLimit) and not limit.grows_with_width:
            cost = f"{number(abs(more))} {'more' if more > 0 else 'fewer'} parameters" if more else "same parameters"
            text += f", {cost}"
        harm = sum(not one.margins[name].kept for name in kept)
        ranked.append(((harm, one.change.roughness, 0 if limit.grows_with_width else abs(more), order), text))
    return tuple(text for _, text in sorted(ranked)[:MAX_FIXES])


def _pairs(tried: Iterable[_Tried], margin: Margin) -> Iterator[Change]:
    """Yield pairs of the `MOST_JOINED` changes that come nearest to the limit, if they change different keys."""
    nearer = [one for one in tried if one.margins[margin.limit].slack > margin.slack]
    nearer.sort(
        key=lambda one: (one.change.roughness, -one.margins[margin.limit].slack)
    )  # stable: keeps the order of equals
    for one, other in combinations(nearer[:MOST_JOINED], 2):
        if one.change.is_apart_from(other.change):
            yield one.change.joined(other.change)


def _tried(
    design: DesignSpec,
    limits: Limits,
    changes: Iterable[Change],
    blocks: BlockLookup,
    predictor: Predictor | None,
) -> list[_Tried]:
    """Return the changes that give a valid network, with its footprint and margins."""
    found: list[_Tried] = []
    for change in changes:
        try:
            changed = decode_design(change.applied(design.source), blocks)
            if design.width != "fit" and all(path[-1] != "width" for path, _ in change.edits):
                changed = changed.at_width(design.width)
            after = _measured(changed, limits, predictor)
        except SpecError:
            continue
        by_limit = {margin.limit: margin for margin in after.margins}
        found.append(_Tried(change=change, footprint=after.footprint, margins=by_limit))
    return found
