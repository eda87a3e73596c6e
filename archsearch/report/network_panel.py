"""The network as boxes to scale: height is the map's, width the channels'. Draws on axes in inches; no torch."""

from __future__ import annotations

from collections import Counter
from itertools import groupby
from typing import TYPE_CHECKING

from archsearch.report.boxes import Box, BoxKind, boxes
from archsearch.report.picture import BLUE, GREEN, MUTED, ORANGE, PURPLE, SKY, VERMILLION, fitted, text_width

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from archsearch.design.plan import Plan

LOOKS: dict[BoxKind, tuple[str, str, str]] = {
    "convolution": (BLUE, "", "convolution"),
    "depthwise": (ORANGE, "////", "depthwise (separable)"),
    "grouped": (PURPLE, "xxxx", "grouped convolution"),
    "pointwise": (SKY, "....", "1×1 convolution"),
    "pool": (GREEN, "----", "pool"),
    "linear": (VERMILLION, "||||", "linear"),
    "identity": ("#FFFFFF", "", "identity"),
}
"""Colour, texture and name in the legend of every kind."""

DILATED = "oo"
"""Texture that dilation adds to any kind."""
SIZE = 8.5  # points of the captions where there is room
LINE = 1.32  # line height over font size
_SMALLEST = 6.0  # points; where captions would have to be smaller, they are turned by 90 degrees
_TURNED = 1.15  # inches that turned captions may be long
GROUND = "#9AA3AE"  # the image, and what is of no kind
_INSIDE, _BETWEEN = 0.035, 0.16  # inches between boxes of a stage; at least, between stages
_WIDEST = 1.1  # inches of the widest box
_THINNEST, _FLATTEST = 0.03, 0.03
_TEXTURED = 0.09  # inches; a smaller box shows its colour, and its caption says what it is


class _Slot:
    """One stage's boxes with its caption; widths in inches."""

    def __init__(self, boxes: list[Box], title: str, channels: str, lines: list[str]) -> None:
        self.boxes, self.title, self.channels, self.lines = boxes, title, channels, lines

    def label(self, size: float, *, turned: bool = False) -> float:
        if turned:
            return size * LINE / 72
        texts = [text_width(line, size) for line in self.lines]
        return max([text_width(self.title, size + 1, bold=True), text_width(self.channels, size), *texts])

    def across(self, scale: float) -> float:
        return sum(max(_THINNEST, scale * box.shape[0]) for box in self.boxes) + _INSIDE * (len(self.boxes) - 1)


def draw_network(axes: Axes, plan: Plan) -> None:
    """Draw the boxes of `plan`, from the image to the head, over the whole of `axes`."""
    drawn = boxes(plan)
    slots = _slots(plan, drawn)
    across, up = axes.get_xlim()[1], axes.get_ylim()[1]
    size, scale, turned = _sizes(slots, across)
    floor = _TURNED + 0.1 if turned else (max(len(slot.lines) for slot in slots) + 1) * size * LINE / 72 + 0.16
    ceiling = up - (0.5 if turned else 0.28)  # the channel numbers stand above
    tallest = max(plan.input_shape[1], *(box.shape[1] for box in drawn))
    pixel = (ceiling - floor) / tallest
    middle = (ceiling + floor) / 2
    widths = [max(slot.across(scale), slot.label(size, turned=turned)) for slot in slots]
    gap = (across - sum(widths)) / max(len(slots) - 1, 1)
    left = 0.0
    axes.plot([0, across], [middle] * 2, color=MUTED, linewidth=1, zorder=0)
    for slot, width in zip(slots, widths, strict=True):
        centre = left + width / 2
        x = centre - slot.across(scale) / 2
        for box in slot.boxes:
            wide, high = max(_THINNEST, scale * box.shape[0]), max(_FLATTEST, pixel * box.shape[1])
            colour, texture, _ = (GROUND, "", "") if slot is slots[0] else LOOKS[box.kind]
            _rectangle(axes, x, middle - high / 2, wide, high, colour, texture + DILATED * box.is_dilated)
            x += wide + _INSIDE
        top = middle + max(pixel * max(box.shape[1] for box in slot.boxes), _FLATTEST) / 2
        rotation = 90 if turned else 0
        axes.text(centre, top + 0.05, slot.channels, ha="center", va="bottom", fontsize=size, rotation=rotation)
        _caption(axes, centre, floor - 0.1, slot, size, turned=turned)
        left += width + gap
    _legend(axes, drawn)


def _caption(axes: Axes, centre: float, top: float, slot: _Slot, size: float, *, turned: bool) -> None:
    if turned:
        text, fit = fitted(", ".join([slot.title, *slot.lines] if slot.title else slot.lines), _TURNED, size, least=5)
        axes.text(centre, top, text, ha="center", va="top", fontsize=fit, rotation=90)
        return
    axes.text(centre, top, slot.title, ha="center", va="top", fontsize=size + 1, fontweight="bold")
    for index, text in enumerate(slot.lines, start=1):
        y = top - 0.03 - index * size * LINE / 72
        axes.text(centre, y, text, ha="center", va="top", fontsize=size, color=MUTED)


def _slots(plan: Plan, drawn: list[Box]) -> list[_Slot]:
    channels, height, width = plan.input_shape
    image = Box(stage="image", kind="identity", label="", marks=(), shape=plan.input_shape)
    slots = [_Slot([image], "image", f"{channels} ch", [f"{height}×{width}"])]
    for stage, found in groupby(drawn, key=lambda box: box.stage):
        members = list(found)
        # Every layer of the head stands alone: it has few, of very different sizes.
        for group in [[box] for box in members] if stage == "head" else [members]:
            channels, height, width = group[-1].shape
            labels = Counter(box.label for box in group)
            lines = [f"{count} × {label}" if count > 1 else label for label, count in labels.items()]
            marks = list(dict.fromkeys(mark for box in group for mark in box.marks))
            title = stage if stage != "head" or group[0] is members[0] else ""
            slots.append(_Slot(group, title, f"{channels} ch", [f"{height}×{width}", *lines, *marks]))
    return slots


def _sizes(slots: list[_Slot], across: float) -> tuple[float, float, bool]:
    """Return how all slots fit into `across` inches: font size in points, inches per channel, are captions turned."""
    room = across - _BETWEEN * (len(slots) - 1)
    size, turned = SIZE, False
    while sum(max(slot.label(size), slot.across(0)) for slot in slots) > room * 0.97:
        size -= 0.25
        if size < _SMALLEST:
            size, turned = _SMALLEST + 1, True
            room = across - _INSIDE * (len(slots) - 1)
            break
    most = _WIDEST / max(box.shape[0] for slot in slots for box in slot.boxes)
    labels = [slot.label(size, turned=turned) for slot in slots]
    low, high = 0.0, most
    for _ in range(40):
        scale = (low + high) / 2
        fits = sum(max(slot.across(scale), label) for slot, label in zip(slots, labels, strict=True)) <= room
        low, high = (scale, high) if fits else (low, scale)
    return size, low, turned


def _rectangle(axes: Axes, x: float, y: float, wide: float, high: float, colour: str, texture: str) -> None:
    from matplotlib.patches import Rectangle

    blank = colour == LOOKS["identity"][0]
    axes.add_patch(
        Rectangle(
            (x, y),
            wide,
            high,
            facecolor=colour,
            edgecolor=MUTED if blank else "white",
            linestyle="--" if blank else "-",
            hatch=texture if min(wide, high) >= _TEXTURED else None,
            linewidth=0.8 if blank else 0,
        )
    )


def _legend(axes: Axes, drawn: list[Box]) -> None:
    """Draw a swatch and a name for each kind that occurs, from the right edge above the panel's rule."""
    right, top = axes.get_xlim()[1], axes.get_ylim()[1]
    looks = [look for kind, look in LOOKS.items() if any(box.kind == kind for box in drawn)]
    if any(box.is_dilated for box in drawn):
        looks.append((GROUND, DILATED, "dilated"))
    for colour, texture, name in reversed(looks):
        axes.text(right, top + 0.16, name, ha="right", va="baseline", fontsize=SIZE, color=MUTED)
        right -= text_width(name, SIZE) + 0.08
        _rectangle(axes, right - 0.24, top + 0.155, 0.24, 0.12, colour, texture)
        axes.patches[-1].set_clip_on(False)
        right -= 0.24 + 0.2
