"""The drawing of a network: its blocks to scale, as high as the map that leaves them and as wide as its channels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from archsearch.design.plan import Plan
from archsearch.report.designs import Box, BoxKind, TrialDesign, boxes, repeated, stage_lines
from archsearch.report.figures.chart import BarChart, Limit
from archsearch.report.figures.drawing import Drawing, Line, Mark, Part, Rect, Text, fitted, text_width
from archsearch.report.figures.layout import WIDTH, Key

KINDS: dict[BoxKind, str] = {
    "convolution": "convolution",
    "depthwise": "depthwise separable",
    "grouped": "grouped convolution",
    "pointwise": "1×1 convolution",
    "pool": "pool",
    "linear": "linear",
    "identity": "identity",
}
"""The label of each kind of block, which has the look of that name."""
SIZE = 8.5  # of the captions of a slide, where there is room
LINE = 1.32  # line height over size
_SMALLEST = 6.0  # where captions would have to be smaller, they are turned by 90 degrees
_TURNED = 83.0  # units that turned captions may be long
_INSIDE, _THINNEST = 2.0, 2.2  # between the boxes of a slot, and of a box at least
_CAPTION, _TALL = 48.0, 96.0  # on a page: room for a caption, and the height of the image


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """Boxes side by side over one caption: its title, the number of channels, and further lines."""

    boxes: tuple[Box, ...]
    title: str
    channels: str
    lines: tuple[str, ...]

    def across(self, scale: float) -> float:
        """Return the width of the boxes at so many units for a channel."""
        return sum(_wide(box, scale) for box in self.boxes) + _INSIDE * (len(self.boxes) - 1)

    def caption(self, size: float, *, turned: bool = False) -> float:
        """Return the width of the caption."""
        if turned:
            return size * LINE
        texts = [text_width(line, size) for line in (self.channels, *self.lines)]
        return max([text_width(self.title, size + 1, bold=True), *texts])


def slots(plan: Plan, *, details: bool) -> list[Slot]:
    """Return the image, every stage and the head, with `details` in the captions every layer of the head alone."""
    image = Box(stage="image", kind="image", label="", marks=(), shape=plan.input_shape)
    found: list[Slot] = []
    for stage, members in groupby([image, *boxes(plan)], key=lambda box: box.stage):
        group = tuple(members)
        for place, part in enumerate([(box,) for box in group] if details and stage == "head" else [group]):
            channels, height, width = part[-1].shape
            marks = dict.fromkeys(mark for box in part for mark in box.marks)
            more = [*repeated(box.label for box in part if box.label), *marks] if details else []
            title = "" if place else stage
            found.append(Slot(boxes=part, title=title, channels=f"{channels} ch", lines=(f"{height}×{width}", *more)))
    return found


def page_drawing(design: TrialDesign, title: str) -> Drawing:
    """Return the drawing for a page: stages, channels and maps; the rest is in the table below it."""
    drawn = slots(design.plan, details=False)
    width = max(WIDTH, sum(max(_CAPTION, slot.across(0)) + 8 for slot in drawn))
    parts, columns = placed(drawn, [_CAPTION] * len(drawn), width=width, gap=8, widest=3 * width / len(drawn),
                            tall=_TALL, middle=14 + _TALL / 2)  # fmt: skip
    for slot, (centre, top) in zip(drawn, columns, strict=True):
        texts = (slot.title[:9], slot.channels, slot.lines[0])
        for place, text in enumerate(texts):
            y = _TALL + 31 + 12 * place
            parts.append(Text(x=centre, y=y, text=text, anchor="middle", is_bold=place == 0))
    lines = "; ".join(f"{line.name}: {line.blocks}, {line.shape[0]} channels" for line in stage_lines(design))
    return Drawing(width=width, height=_TALL + 62, parts=tuple(parts), label=f"{title}: {lines}", kind="blocks")


def slide_parts(plan: Plan, *, width: float, height: float) -> list[Part]:
    """Return the drawing for a slide, with what every stage is made of."""
    drawn = slots(plan, details=True)
    size, turned = _caption_size(drawn, width)
    gap = 12.0 if not turned else _INSIDE
    captions = [slot.caption(size, turned=turned) for slot in drawn]
    below = _TURNED + 7 if turned else (max(len(slot.lines) for slot in drawn) + 1) * size * LINE + 12
    above = 36.0 if turned else 20.0  # the numbers of channels
    tall = height - below - above
    parts, columns = placed(drawn, captions, width=width, gap=gap, widest=79, tall=tall, middle=above + tall / 2)
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

    Every slot has room for its caption and is at least `gap` from the next; the highest map is `tall`, and no box
    wider than `widest`.
    """
    every = [box for slot in drawn for box in slot.boxes]
    low, high = 0.0, widest / max(box.shape[0] for box in every)
    for _ in range(40):  # units for a channel
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


def field_chart(design: TrialDesign, title: str, required: float | None = None) -> BarChart:
    """Return the receptive field at the end of each stage, with the image's size and the size that is `required`."""
    fields = design.fields
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
    text = ", ".join([box.label, *box.marks])
    hover = f"{box.stage}: {text}; {box.shape[0]} channels" if text else box.stage
    rect = Rect(x=x, y=middle - high / 2, width=wide, height=high, look=box.kind, hover=hover)
    if not box.is_dilated:
        return [rect]
    radius = max(min(3.0, wide / 2 - 0.3, high / 2 - 0.3), 0.8)
    return [rect, Mark(x=x + wide / 2, y=middle, look="ring", size=radius)]


def _caption_size(drawn: Sequence[Slot], width: float) -> tuple[float, bool]:
    """Return the size of the captions of a slide, and whether they are turned to fit."""
    room = 0.97 * (width - 12 * (len(drawn) - 1))
    size = SIZE
    while size >= _SMALLEST:
        if sum(max(slot.caption(size), slot.across(0)) for slot in drawn) <= room:
            return size, False
        size -= 0.25
    return _SMALLEST + 1, True
