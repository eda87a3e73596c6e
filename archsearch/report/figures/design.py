"""The drawing of a network: for a page, and for a slide with receptive fields, costs and limits.

Blocks are to scale: as high as their output feature map and as wide as its number of channels.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from archsearch.analysis.check import Checked, margin_text
from archsearch.analysis.limits import Margin, margins_text
from archsearch.analysis.measure import Footprint
from archsearch.design.plan import Plan
from archsearch.formatting import number, percent, pluralize
from archsearch.report.designs import (
    Box,
    BoxKind,
    StageField,
    StageLine,
    boxes,
    field_sizes,
    joins,
    repeated,
    stage_costs,
    stage_fields,
    stage_lines,
)
from archsearch.report.figures.charts import WIDTH, BarChart, Key, Limit, key_row, moved
from archsearch.report.figures.drawing import (
    VIRIDIS,
    Drawing,
    Line,
    Look,
    Mark,
    Part,
    Rect,
    Text,
    blend,
    fitted,
    text_width,
)
from archsearch.report.figures.render import write_drawing
from archsearch.report.vocabulary import compact, label

KINDS: dict[BoxKind, str] = {
    "convolution": "convolution",
    "depthwise": "depthwise separable",
    "grouped": "grouped convolution",
    "pointwise": "1×1 convolution",
    "pool": "pool",
    "linear": "linear",
    "identity": "identity",
}
"""The label of each kind of block; its look has the name of the kind."""
SIZE = 8.5  # of the captions of a slide, if there is room
LINE = 1.32  # line height over size
_SMALLEST = 6.0  # if captions would have to be smaller, they are rotated by 90 degrees
_TURNED = 83.0  # greatest length of a rotated caption
_LINES = 7  # most lines that describe the blocks in a caption
_JOIN = 13.0  # distance between the arrows of stages with `from`
_INSIDE, _THINNEST = 2.0, 2.2  # gap between the boxes of a slot, and least side of a box
_CAPTION, _TALL = 48.0, 96.0  # on a page: least width of a caption, and height of the tallest box
SLIDE_WIDTH, SLIDE_HEIGHT = 960.0, 540.0
"""The size of a 16:9 slide in points."""
DPI = 150
KEPT, BROKEN = "✓", "✗"
WIDEST_VIEW = 4
"""Receptive fields up to this multiple of the image size are to scale; in larger ones the image would be a dot."""
_MARGIN = 36.0
_FRAME = 6.0  # distance between frames that are not to scale
_STEPS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)  # px between the grid lines
_APART = 2.5  # least distance between them, in units


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """Boxes side by side over one caption: its title, the number of channels, and further lines."""

    boxes: tuple[Box, ...]
    title: str
    channels: str
    lines: tuple[str, ...]

    def across(self, scale: float) -> float:
        """Return the width of the boxes at `scale` units per channel."""
        return sum(_wide(box, scale) for box in self.boxes) + _INSIDE * (len(self.boxes) - 1)

    def caption(self, size: float, *, turned: bool = False) -> float:
        """Return the width of the caption."""
        if turned:
            return size * LINE
        texts = [text_width(line, size) for line in (self.channels, *self.lines)]
        return max([text_width(self.title, size + 1, bold=True), *texts])


def slots(plan: Plan, *, details: bool) -> list[Slot]:
    """Return slots for image, stem, stages and head; with `details`, one per layer of the head, and longer captions."""
    image = Box(stage="image", kind="image", label="", marks=(), shape=plan.input_shape)
    found: list[Slot] = []
    for stage, members in groupby([image, *boxes(plan)], key=lambda box: box.stage):
        group = tuple(members)
        for place, part in enumerate([(box,) for box in group] if details and stage == "head" else [group]):
            channels, height, width = part[-1].shape
            more = _contents(part) if details else []
            title = "" if place else stage
            found.append(Slot(boxes=part, title=title, channels=f"{channels} ch", lines=(f"{height}×{width}", *more)))
    return found


def _contents(part: Sequence[Box]) -> list[str]:
    """Return the caption lines of the boxes, each label with its marks below it; at most `_LINES` lines."""
    found: list[str] = []
    for text in repeated(box.text for box in part if box.label):
        name, *marks = text.split(", ")
        found += [name, *([", ".join(marks)] if text_width(", ".join(marks), SIZE) <= _TURNED else marks)]
    found = [line for line in found if line]
    return found if len(found) <= _LINES else [*found[: _LINES - 1], "…"]


def page_drawing(design: Footprint, title: str) -> Drawing:
    """Return the drawing for a page: stages, channels and feature map sizes; the table below it has the rest."""
    drawn = slots(design.plan, details=False)
    width = max(WIDTH, sum(max(_CAPTION, slot.across(0)) + 8 for slot in drawn))
    above = 14 + _JOIN * len(joins(design.plan))
    parts, columns = placed(drawn, [_CAPTION] * len(drawn), width=width, gap=8, widest=3 * width / len(drawn),
                            tall=_TALL, middle=above + _TALL / 2)  # fmt: skip
    parts += _arrows(design.plan, drawn, columns, above=above, beside=0)
    for slot, (centre, _) in zip(drawn, columns, strict=True):
        texts = (slot.title[:9], slot.channels, slot.lines[0])
        for place, text in enumerate(texts):
            y = _TALL + above + 17 + 12 * place
            parts.append(Text(x=centre, y=y, text=text, anchor="middle", is_bold=place == 0))
    lines = "; ".join(map(_line_text, stage_lines(design)))
    return Drawing(width=width, height=_TALL + above + 48, parts=tuple(parts), label=f"{title}: {lines}")


def slide_parts(plan: Plan, *, width: float, height: float) -> list[Part]:
    """Return the drawing for a slide, with the blocks of every stage in the captions."""
    drawn = slots(plan, details=True)
    size, turned = _caption_size(drawn, width)
    gap = 12.0 if not turned else _INSIDE
    captions = [slot.caption(size, turned=turned) for slot in drawn]
    below = _TURNED + 7 if turned else (max(len(slot.lines) for slot in drawn) + 1) * size * LINE + 12
    above = (36.0 if turned else 20.0) + _JOIN * len(joins(plan))  # room for the numbers of channels and for the arrows
    tall = height - below - above
    parts, columns = placed(drawn, captions, width=width, gap=gap, widest=79, tall=tall, middle=above + tall / 2)
    parts += _arrows(plan, drawn, columns, above=above, beside=12 if turned else 4)
    for slot, (centre, top) in zip(drawn, columns, strict=True):
        if turned:
            text, small = fitted(
                ", ".join([slot.title, *slot.lines] if slot.title else slot.lines), _TURNED, size, least=5
            )
            x = centre + small / 3
            parts.append(Text(x=x, y=height - below + 7, text=text, size=small, anchor="end", rotation=90))
            parts.append(Text(x=x, y=top - 4, text=slot.channels, size=size, rotation=90))
            continue
        parts.append(Text(x=centre, y=top - 4, text=slot.channels, size=size, anchor="middle"))
        y = height - below + 7 + size
        parts.append(Text(x=centre, y=y, text=slot.title, size=size + 1, anchor="middle", is_bold=True))
        for place, text in enumerate(slot.lines, start=1):
            line = y + 2 + place * size * LINE
            parts.append(Text(x=centre, y=line, text=text, size=size, anchor="middle", color="muted"))
    return parts


def _arrows(
    plan: Plan, drawn: Sequence[Slot], columns: Sequence[tuple[float, float]], *, above: float, beside: float
) -> list[Part]:
    """Return an arrow for every stage with `from`, above the slots between, `beside` units from the channel numbers."""
    places = {slot.title: column for slot, column in zip(drawn, columns, strict=True) if slot.title}
    wide = {slot.title: text_width(slot.channels, SIZE) / 2 * bool(beside) + beside for slot in drawn}
    parts: list[Part] = []
    for level, (origin, target) in enumerate(joins(plan), start=1):
        (start, first), (end, last) = places[origin], places[target]
        start, end, y = start + wide[origin], end - wide[target], above - 12 - _JOIN * (level - 0.5)
        parts.append(Line(points=((start, first), (start, y), (end, y), (end, last - 1)), look="join"))
        parts.append(Line(points=((end - 3, last - 6), (end, last - 1), (end + 3, last - 6)), look="join"))
    return parts


def placed(
    drawn: Sequence[Slot],
    captions: Sequence[float],
    *,
    width: float,
    gap: float,
    widest: float,
    tall: float,
    middle: float,
) -> tuple[list[Part], list[tuple[float, float]]]:
    """Return the boxes of all slots around a wire at `middle`, and the centre and upper edge of each slot.

    Every slot has room for its caption and is at least `gap` from the next; the tallest box is `tall` high, and no box
    is wider than `widest`.
    """
    every = [box for slot in drawn for box in slot.boxes]
    low, high = 0.0, widest / max(box.shape[0] for box in every)
    for _ in range(40):  # bisection of the units per channel
        scale = (low + high) / 2
        taken = sum(max(slot.across(scale), caption) + gap for slot, caption in zip(drawn, captions, strict=True)) - gap
        low, high = (scale, high) if taken <= width else (low, scale)
    pixel = tall / max(box.shape[1] for box in every)
    widths = [max(slot.across(low), caption) for slot, caption in zip(drawn, captions, strict=True)]
    spare = (width - sum(widths)) / max(len(drawn) - 1, 1)
    parts: list[Part] = [Line(points=((0, middle), (width, middle)), look="wire")]
    columns: list[tuple[float, float]] = []
    left = 0.0
    for slot, wide in zip(drawn, widths, strict=True):
        x = left + (wide - slot.across(low)) / 2
        for box in slot.boxes:
            parts += _box(box, x, middle, _wide(box, low), max(_THINNEST, pixel * box.shape[1]))
            x += _wide(box, low) + _INSIDE
        highest = max(_THINNEST, pixel * max(box.shape[1] for box in slot.boxes))
        columns.append((left + wide / 2, middle - highest / 2))
        left += wide + spare
    return parts, columns


def network_legend(plans: Iterable[Plan]) -> list[Key]:
    """Return an entry for each kind of block that occurs, and for dilation."""
    drawn = [box for plan in plans for box in boxes(plan)]
    there = {box.kind for box in drawn}
    keys = [Key(sample=(_swatch(kind),), width=21, text=text) for kind, text in KINDS.items() if kind in there]
    if any(box.is_dilated for box in drawn):
        keys.append(Key(sample=(_swatch("image"), Mark(x=10.5, y=7, look="ring", size=3)), width=21, text="dilated"))
    return keys


def field_chart(design: Footprint, title: str, required: float | None = None) -> BarChart:
    """Return the receptive field at the end of each stage, with the image size and the `required` size."""
    fields = field_sizes(design)
    image = float(design.plan.input_shape[2])
    limits = [Limit(value=image, text=f"image {image:g} px", look="edge")]
    if required is not None:
        limits.append(Limit(value=required, text=f"required {required:g} px"))
    return BarChart(
        title=title,
        description="Bar chart: growth of the receptive field",
        bars=tuple((name[:9], size, f"{size} px") for name, size in fields.items()),
        most=max([image, required or 0.0, *fields.values()]),
        look="field",
        limits=tuple(limits),
    )


def _swatch(look: str) -> Rect:
    return Rect(x=0.5, y=0.5, width=20, height=13, look=look)


def _wide(box: Box, scale: float) -> float:
    return max(_THINNEST, scale * box.shape[0])


def _box(box: Box, x: float, middle: float, wide: float, high: float) -> list[Part]:
    hover = f"{box.stage}: {box.text}; {pluralize(box.shape[0], 'channel')}" if box.text else box.stage
    rect = Rect(x=x, y=middle - high / 2, width=wide, height=high, look=box.kind, hover=hover)
    if not box.is_dilated:
        return [rect]
    radius = max(min(3.0, wide / 2 - 0.3, high / 2 - 0.3), 0.8)
    return [rect, Mark(x=x + wide / 2, y=middle, look="ring", size=radius)]


def _caption_size(drawn: Sequence[Slot], width: float) -> tuple[float, bool]:
    """Return the size of the captions of a slide, and whether they are rotated to fit."""
    room = 0.97 * (width - 12 * (len(drawn) - 1))
    size = SIZE
    while size >= _SMALLEST:
        if sum(max(slot.caption(size), slot.across(0)) for slot in drawn) <= room:
            return size, False
        size -= 0.25
    return _SMALLEST + 1, True


def draw_design(checked: Checked, file: Path) -> None:
    """Draw the design to `file` (PNG, SVG or PDF by its extension); missing folders are created.

    Raises `SpecError` at `plot` for any other extension, `StorageError` if the file cannot be written.
    """
    write_drawing(design_drawing(checked), file, inch=1 / 72, dpi=DPI)


def design_drawing(checked: Checked) -> Drawing:
    """Return the slide of the design."""
    kept = sum(margin.kept for margin in checked.margins)
    limits = f"Limits: {kept} of {len(checked.margins)} kept" if checked.margins else "Limits"
    across = SLIDE_WIDTH - 2 * _MARGIN
    keys, _ = key_row(network_legend([checked.plan]), across)
    width = max((part.x + text_width(part.text, part.size) for part in keys if isinstance(part, Text)), default=0.0)
    return Drawing(
        width=SLIDE_WIDTH,
        height=SLIDE_HEIGHT,
        parts=(
            *_header(checked),
            *moved(keys, SLIDE_WIDTH - _MARGIN - width, 74),
            *_panel("Layers", _MARGIN, 96, across, slide_parts(checked.plan, width=across, height=184)),
            *_panel("Receptive field of the centre unit", _MARGIN, 320, 295, field_parts(checked, 295, 180)),
            *_panel("Parameters and MACs", 356, 320, 299, cost_parts(checked.footprint, 299, 194)),
            *_panel(limits, 684, 320, 240, limit_parts(checked, 240, 194)),
        ),
        label=_label(checked),
    )


def _line_text(line: StageLine) -> str:
    return f"{line.name}: {line.blocks}, {pluralize(line.shape[0], 'channel')}"


def _label(checked: Checked) -> str:
    """Return the text of the slide for a screen reader: totals, limits, and every stage."""
    stages = map(_line_text, stage_lines(checked.footprint))
    reads = [f"{target} reads {origin} too" for origin, target in joins(checked.plan)]
    head = f"{checked.design.name}: {totals(checked).replace('   ·   ', ', ')}"
    return "; ".join(part for part in (head, limits_summary(checked)[0][2:], *stages, *reads) if part)


def totals(checked: Checked) -> str:
    """Return the totals in one line, each with its unit."""
    found = checked.footprint
    channels, height, width = checked.plan.input_shape
    parts = [
        f"{number(found.parameters)} parameters",
        f"{number(found.macs)} MACs",
        f"receptive field {number(found.receptive_field)} px",
        f"{number(found.activations)} activations",
        "" if checked.design.symmetry == "none" else f"symmetry {checked.design.symmetry}",
        f"image {channels}×{height}×{width}",
        f"{found.output_shape[0]} classes" if found.output_shape[1:] == (1, 1) else "",
    ]
    return "   ·   ".join(part for part in parts if part)


def limits_summary(checked: Checked) -> tuple[str, str]:
    """Return text on how many limits are kept or broken, and its colour; empty without limits."""
    if not checked.margins:
        return "", "muted"
    text = margins_text(checked.margins)
    return (f"{KEPT} {text}", "green") if checked.kept else (f"{BROKEN} {text}", "vermillion")


def _header(checked: Checked) -> list[Part]:
    summary, color = limits_summary(checked)
    right = SLIDE_WIDTH - _MARGIN
    room = right - _MARGIN - text_width(summary, 13, bold=True) - 22
    name, size = fitted(checked.design.name, room, 22, least=10, bold=True)
    text, small = fitted(totals(checked), right - _MARGIN - 115, 11)
    return [
        Text(x=_MARGIN, y=40, text=name, size=size, is_bold=True),
        Text(x=right, y=40, text=summary, size=13, is_bold=True, color=color, anchor="end"),
        Text(x=_MARGIN, y=62, text=text, size=small, color="muted"),
        Text(x=right, y=62, text=checked.design_id, size=8, color="muted", anchor="end", is_monospace=True),
    ]


def _panel(title: str, x: float, y: float, width: float, parts: list[Part]) -> list[Part]:
    """Return the parts at (`x`, `y`), below a title and a rule."""
    rule = Line(points=((x, y - 6), (x + width, y - 6)), look="grid")
    return [Text(x=x, y=y - 12, text=title, size=11, is_bold=True), rule, *moved(parts, x, y)]


def field_parts(checked: Checked, width: float, side: float) -> list[Part]:
    """Return the receptive field of the centre unit of each stage as a square over the image, with names on the right.

    Fields larger than `WIDEST_VIEW` times the image are dashed frames around the rest, not to scale.
    """
    _, tall, wide = checked.plan.input_shape
    fields = stage_fields(checked.footprint)
    image = max(tall, wide)
    inside = [field for field in fields if field.size <= WIDEST_VIEW * image]
    beyond = [field for field in fields if field.size > WIDEST_VIEW * image]
    frame = min(_FRAME, 0.2 * side / max(len(beyond), 1))
    edges = [0, image, *(edge for field in inside for edge in (*field.rows, *field.columns))]
    reach = 1.04 * max(max(edges) - image / 2, image / 2 - min(edges))  # px from the centre to the edge of the view
    view = side - 2 * frame * len(beyond)
    scale, middle = view / (2 * reach), side / 2  # units per px

    def place(column: float, row: float) -> tuple[float, float]:
        return middle + (column - wide / 2) * scale, middle + (row - tall / 2) * scale

    def box(first: tuple[float, float], size: tuple[float, float], look: Look) -> Rect:
        return Rect(x=first[0], y=first[1], width=size[0], height=size[1], look=look)

    size = (wide * scale, tall * scale)
    corner = middle - view / 2
    parts: list[Part] = []
    parts.append(Rect(x=corner, y=corner, width=view, height=view, look="shade"))
    parts.append(box(place(0, 0), size, Look(fill="ground")))
    step = next((step for step in _STEPS if step * scale >= _APART), _STEPS[-1])
    thin = Look(stroke="rule", width=0.4)
    parts += [Line(points=(place(edge, 0), place(edge, tall)), look=thin) for edge in range(0, wide + 1, step)]
    parts += [Line(points=(place(0, edge), place(wide, edge)), look=thin) for edge in range(0, tall + 1, step)]
    parts.append(box(place(0, 0), size, Look(stroke="ink", width=1)))
    corners: list[tuple[float, float]] = []
    colors = [blend(VIRIDIS, 0.85 * index / max(len(fields) - 1, 1)) for index in range(len(fields))]
    for field, color in zip(fields, colors, strict=True):
        if field in beyond:
            half = view / 2 + frame * (beyond.index(field) + 0.8)
            first, wide_field = (middle - half, middle - half), 2 * half
            look = Look(stroke=color, width=1.6, dash=(5.9, 2.6))
        else:
            first, wide_field = place(field.columns[0], field.rows[0]), field.size * scale
            look = Look(fill=color, stroke=color, width=1.6, opacity=0.08)
        parts.append(box(first, (wide_field, wide_field), look))
        corners.append((first[0] + wide_field, first[1]))
    parts += _field_names(fields, corners, colors, width, side)
    notes = [f"black: the {wide}×{tall} px image; grid of {step} px", *["dashed: not to scale"] * bool(beyond)]
    return [
        *parts,
        *(Text(x=0, y=side + 12 + 10 * line, text=note, size=7.5, color="muted") for line, note in enumerate(notes)),
    ]


def _field_names(
    fields: list[StageField], corners: list[tuple[float, float]], colors: list[str], width: float, side: float
) -> list[Part]:
    """Return the stages and size of every field in a column on the right, each with a line to the field's corner."""
    names = [each.stages[0] if len(each.stages) == 1 else f"{each.stages[0]}–{each.stages[-1]}" for each in fields]
    pitch = min(17.3, (side - 7) / max(len(fields), 1))
    left, size = side + 22, min(9.0, pitch * 0.83)
    room = width - left - 7 - max(text_width(f"{field.size} px", size) for field in fields)
    column = min(room, max(text_width(name, size, bold=True) for name in names))
    parts: list[Part] = []
    for index, (name, field, corner, color) in enumerate(list(zip(names, fields, corners, colors, strict=True))[::-1]):
        y = 6 + index * pitch
        parts.append(Line(points=(corner, (left - 7, y), (left - 2, y)), look=Look(stroke="muted", width=0.6)))
        parts.append(Mark(x=corner[0], y=corner[1], look=Look(fill=color), size=1.6))
        text, small = fitted(name, column, size, least=5, bold=True)
        parts.append(Text(x=left, y=y + size / 3, text=text, size=small, is_bold=True))
        parts.append(Text(x=left + column + 7, y=y + size / 3, text=f"{field.size} px", size=size))
    return parts


def cost_parts(design: Footprint, width: float, height: float) -> list[Part]:
    """Return two bars for the stem, each stage and the head: their parameters and MACs, with the share of the total."""
    costs = stage_costs(design)
    pitch = min(21.6, (height - 18) / len(costs))
    size = min(8.5, pitch * 0.7)
    names = min(72.0, max(text_width(stage, size, bold=True) for stage in costs)) + 9
    column = (width - names - 14) / 2
    parts: list[Part] = []
    for index, stage in enumerate(costs):
        text, small = fitted(stage, names - 7, size, least=5, bold=True)
        parts.append(Text(x=0, y=18 + (index + 0.5) * pitch + size / 3, text=text, size=small, is_bold=True))
    for place, name in enumerate(("parameters", "macs")):
        values = [cost[place] for cost in costs.values()]
        total, most = sum(values), max(1, *values)
        texts = [f"{compact(value)} · {_share(value, total)}" for value in values]
        left = names + place * (column + 14)
        longest = column - max(text_width(text, size) for text in texts) - 9
        parts.append(Text(x=left, y=8, text=f"{label(name)}, {compact(total)}", size=8.5, color="muted"))
        parts.append(Line(points=((left, 18), (left, 18 + len(costs) * pitch)), look="grid"))
        for index, (value, text) in enumerate(zip(values, texts, strict=True)):
            middle, length, high = 18 + (index + 0.5) * pitch, longest * value / most, 0.62 * pitch
            parts.append(Rect(x=left, y=middle - high / 2, width=length, height=high, look="cost"))
            parts.append(Text(x=left + length + 4, y=middle + size / 3, text=text, size=size))
    return parts


def limit_parts(checked: Checked, width: float, height: float) -> list[Part]:
    """Return every limit: whether it is kept, the value found, and the bound."""
    if not checked.margins:
        return [Text(x=0, y=10, text="no limits are set", size=9, color="muted")]
    pitch = min(30.0, height / len(checked.margins))
    size = min(8.5, pitch * 0.39)
    parts: list[Part] = []
    for index, margin in enumerate(checked.margins):
        y = 2 + size + index * pitch
        color, sign = ("green", KEPT) if margin.kept else ("vermillion", BROKEN)
        title = label(margin.limit) + ("" if margin.kept else ": broken")
        text, small = fitted(_margin_text(margin), width - 17, size, least=6.5)
        parts.append(Text(x=0, y=y, text=sign, size=size + 2.5, color=color, is_bold=True))
        parts.append(Text(x=17, y=y, text=title, size=size + 0.5, is_bold=True))
        parts.append(Text(x=17, y=y + size * 1.35, text=text, size=small, color="muted"))
    return parts


def _margin_text(margin: Margin) -> str:
    """Return `margin_text(margin)`, and the whole bound if that text contains only part of it."""
    partly = margin.limit in {"contains", "forbids"} and 0 < len(margin.found) < len(margin.bound)
    if margin.kept or not partly:
        return margin_text(margin)
    bound = "must have" if margin.limit == "contains" else "must not have"
    return f"{margin_text(margin)}; {bound} {', '.join(margin.bound)}"


def _share(value: int, total: int) -> str:
    """Return the share in percent; `<1 %` for a positive one that rounds to 0."""
    share = value / total if total else 0.0
    return "<1 %" if 0 < share < 0.005 else percent(share, 0)
