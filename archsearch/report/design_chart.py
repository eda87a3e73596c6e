"""A design as inline SVG for a page: its blocks to scale, and how its receptive field grows. No torch.

Reads the design's YAML as a trial records it; what is no design of ours is none, and no error.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from archsearch.analysis.footprint import Footprint, measure
from archsearch.design.lower import lower
from archsearch.design.plan import Plan
from archsearch.design.spec import decode_design
from archsearch.errors import ArchsearchError, SpecError
from archsearch.report import chart
from archsearch.report.boxes import Box, StageCost, boxes, stage_costs, stage_fields
from archsearch.report.chart import WIDTH
from archsearch.report.markup import Markup, el
from archsearch.search.storage.read import TrialRead

KINDS = {
    "convolution": "convolution",
    "depthwise": "depthwise separable",
    "grouped": "grouped convolution",
    "pointwise": "1×1 convolution",
    "pool": "pool",
    "linear": "linear",
    "identity": "identity",
}
_TEXTURES = {
    "depthwise": "M-1 7 7-1M-1 1 1-1M5 7 7 5",
    "grouped": "M-1 7 7-1M-1-1 7 7",
    "pointwise": "M3 1.8v2.4M1.8 3h2.4",
    "pool": "M0 3h6",
    "linear": "M3 0v6",
}
_CAPTION, _APART, _TALL = 48.0, 8.0, 96.0  # units for a stage's caption, between stages, for the image's height
_INSIDE = 1.5  # units between the boxes of a stage
_LONGEST = 400_000  # letters of a design's YAML


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawable:
    """A design that could be read: its plan and what it comes to."""

    name: str
    plan: Plan
    footprint: Footprint

    @property
    def fields(self) -> dict[str, int]:
        """The receptive field (px) at the end of each stage, and of the head where that sees more than the last."""
        return {stage: field.size for field in stage_fields(self.plan, self.footprint) for stage in field.stages}


@dataclass(frozen=True, slots=True, kw_only=True)
class StageLine:
    """One line of a design's table: what a stage is made of, what leaves it, sees and costs."""

    name: str
    blocks: str
    shape: tuple[int, int, int]
    receptive_field: int
    cost: StageCost


def read_design(trial: TrialRead) -> Drawable | None:
    """Return the trial's design, from its own words or from its folder; None where there is none to be read."""
    import yaml

    text = trial.attrs.get("design")
    if not isinstance(text, str):
        text = _from_folder(trial.attrs.get("run_dir"))
    if not isinstance(text, str) or len(text) > _LONGEST:
        return None
    try:
        design = decode_design(yaml.safe_load(text), _no_block)
        plan = lower(design)
        return Drawable(name=design.name, plan=plan, footprint=measure(plan))
    except (ArchsearchError, yaml.YAMLError, ValueError, TypeError, RecursionError, OverflowError):
        return None


def stage_lines(drawable: Drawable) -> list[StageLine]:
    """Return one line for the stem, every stage and the head."""
    found: list[StageLine] = []
    made = {stage: list(members) for stage, members in groupby(boxes(drawable.plan), key=lambda box: box.stage)}
    fields, sees = drawable.fields, 1
    costs = {cost.stage: cost for cost in stage_costs(drawable.plan)}
    for stage, members in made.items():
        counts: dict[str, int] = {}
        for box in members:
            text = ", ".join([box.label, *box.marks])
            counts[text] = counts.get(text, 0) + 1
        said = "; ".join(f"{count} × {text}" if count > 1 else text for text, count in counts.items())
        sees = fields.get(stage, sees)
        found.append(
            StageLine(
                name=stage,
                blocks=said,
                shape=members[-1].shape,
                receptive_field=sees,
                cost=costs.get(stage, StageCost(stage=stage, parameters=0, macs=0)),
            )
        )
    return found


def patterns() -> Markup:
    """Return the textures of the kinds of blocks, which a page holds once."""
    tiles = [
        el(
            "pattern",
            el("rect", width=6, height=6, class_=f"k-{kind}"),
            el("path", d=lines, class_="texture"),
            id=f"t-{kind}",
            width=6,
            height=6,
            patternUnits="userSpaceOnUse",
        )
        for kind, lines in _TEXTURES.items()
    ]
    return el("svg", el("defs", tiles), width=0, height=0, class_="patterns", aria_hidden="true", focusable="false")


def blocks_drawing(drawable: Drawable, title: str) -> Markup:
    """Draw the blocks to scale: as high as the map behind them, as wide as its channels."""
    drawn = boxes(drawable.plan)
    channels, height, width = drawable.plan.input_shape
    image = Box(stage="image", kind="identity", label="", marks=(), shape=(channels, height, width))
    slots = [[image], *(list(members) for _, members in groupby(drawn, key=lambda box: box.stage))]
    across = max(WIDTH, sum(_taken(slot, 0.0) + _APART for slot in slots))
    unit = _unit(slots, across)
    pixel = _TALL / max(height, *(box.shape[1] for box in drawn), 1)
    middle = 14 + _TALL / 2
    wide = [_boxes_wide(slot, unit) for slot in slots]
    free = (across - sum(_taken(slot, unit) for slot in slots)) / len(slots)
    parts: list[Markup] = [el("line", x1=0, x2=across, y1=middle, y2=middle, class_="wire")]
    left = 0.0
    for slot, taken in zip(slots, wide, strict=True):
        column = _taken(slot, unit) + free
        x = left + (column - taken) / 2
        for box in slot:
            each, high = _wide(box, unit), max(2.5, pixel * box.shape[1])
            parts.append(_box(box, x, middle - high / 2, each, high, is_image=box is image))
            x += each + _INSIDE
        _, rows_, columns_ = slot[-1].shape
        texts = (
            (slot[0].stage[:9], "name mid"),
            (f"{slot[-1].shape[0]} ch", "mid"),
            (f"{rows_}×{columns_}", "mid"),
        )
        for place, (text, kind) in enumerate(texts):
            parts.append(el("text", text, x=left + column / 2, y=_TALL + 31 + 12 * place, class_=kind))
        left += column
    label = f"{title}: " + "; ".join(
        f"{line.name}: {line.blocks}, {line.shape[0]} channels" for line in stage_lines(drawable)
    )
    return chart.svg(_TALL + 62, label, parts, width=across, class_="blocks")


def blocks_legend(drawables: list[Drawable]) -> list[Markup]:
    """Return a key to the kinds of blocks that occur."""
    there = {box.kind for one in drawables for box in boxes(one.plan)}
    dilated = any(box.is_dilated for one in drawables for box in boxes(one.plan))
    keys = [
        el("li", _swatch(el("rect", x=0.5, y=0.5, width=20, height=13, **_look(kind))), name)
        for kind, name in KINDS.items()
        if kind in there
    ]
    if dilated:
        ring = el("circle", cx=10.5, cy=7, r=3, class_="ring")
        keys.append(el("li", _swatch(el("rect", x=0.5, y=0.5, width=20, height=13, class_="k-plain"), ring), "dilated"))
    return keys


def field_drawing(drawable: Drawable, asked: float | None = None) -> Markup:
    """Draw the receptive field at the end of each stage as a bar, beside the image's size and what is `asked`."""
    fields = list(drawable.fields.items())
    image = float(drawable.plan.input_shape[2])
    most = max([image, asked or 0.0, *(size for _, size in fields)])
    left, pitch = 52.0, 21.0
    room = WIDTH - left - 52
    height = pitch * len(fields) + 30
    parts: list[Markup] = []
    lines = [(image, f"image {image:g} px", "edge")]
    lines += [(asked, f"asked {asked:g} px", "limit")] if asked is not None else []
    # The left line's name stands to its left and above the other's, so that no line runs through a name.
    for place, (value, text, kind) in enumerate(sorted(lines)):
        x, foot = left + room * value / most, height - (13 if place == 0 else 2)
        to_left = place == 0 or x > WIDTH - 90
        parts.append(el("line", x1=x, x2=x, y1=0, y2=foot, class_=kind))
        parts.append(el("text", text, x=x + (-4 if to_left else 4), y=foot, class_=f"{'end ' * to_left}note"))
    for place, (name, size) in enumerate(fields):
        top = pitch * place + 2
        long = room * size / most
        parts.append(el("text", name[:8], x=left - 6, y=top + 11.5, class_="end name"))
        parts.append(el("rect", x=left, y=top + 2, width=max(long, 1.0), height=12, class_="bar field"))
        parts.append(el("text", f"{size} px", x=left + max(long, 1.0) + 5, y=top + 11.5, class_="value"))
    grown = ", ".join(f"{name} {size} px" for name, size in fields)
    return chart.svg(height, f"Bar chart: growth of the receptive field: {grown}", parts)


def _from_folder(folder: Any) -> str | None:
    if not isinstance(folder, str) or "\0" in folder:
        return None
    try:
        file = Path(folder, "design.yaml")
        return file.read_text(encoding="utf-8") if file.stat().st_size <= _LONGEST else None
    except (OSError, ValueError):
        return None


def _no_block(name: str) -> Any:
    raise SpecError("design", f"names the block '{name}', which a self-contained design does not")


def _unit(slots: list[list[Box]], across: float) -> float:
    """Return the units that a channel is wide, so that all stages fit and none takes more than three fair shares."""
    least, most = 0.0, 3 * across / len(slots) / max(box.shape[0] for slot in slots for box in slot)
    for _ in range(30):
        tried = (least + most) / 2
        fits = sum(_taken(slot, tried) + _APART for slot in slots) <= across
        least, most = (tried, most) if fits else (least, tried)
    return least


def _taken(slot: list[Box], unit: float) -> float:
    return max(_CAPTION, _boxes_wide(slot, unit))


def _boxes_wide(slot: list[Box], unit: float) -> float:
    return sum(_wide(box, unit) for box in slot) + _INSIDE * (len(slot) - 1)


def _wide(box: Box, unit: float) -> float:
    return max(2.0, unit * box.shape[0])


def _box(box: Box, x: float, y: float, wide: float, high: float, *, is_image: bool) -> Markup:
    text = "image" if is_image else f"{box.stage}: {', '.join([box.label, *box.marks])}; {box.shape[0]} channels"
    look = {"class_": "k-image"} if is_image else _look(box.kind)
    shape = el("rect", el("title", text), x=x, y=y, width=wide, height=high, **look)
    if not box.is_dilated or is_image:
        return shape
    radius = min(3.0, wide / 2 - 0.3, high / 2 - 0.3)
    ring = el("circle", cx=x + wide / 2, cy=y + high / 2, r=max(radius, 0.8), class_="ring")
    return el("g", shape, ring)


def _look(kind: str) -> dict[str, str]:
    if kind in _TEXTURES:
        return {"fill": f"url(#t-{kind})", "class_": "k"}
    return {"class_": f"k k-{kind}"}


def _swatch(*parts: Markup) -> Markup:
    return el("svg", *parts, viewBox="0 0 21 14", width=21, height=14, aria_hidden="true", focusable="false")
