"""Charts as data, and their layout: axes, points, curves, bars, limits and heat maps, with titles and legends.

A chart is described once; `layout` turns it into the drawing that all formats show. All charts are `WIDTH` units
wide, so that text has the same size in all of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, assert_never

from archsearch.formatting import percent
from archsearch.report.figures.drawing import (
    Drawing,
    Line,
    Mark,
    Part,
    Picture,
    Rect,
    Text,
    fitted,
    text_width,
)
from archsearch.report.vocabulary import capitalised, compact, label

WIDTH, HEIGHT = 400.0, 270.0
LEFT, RIGHT, TOP, BOTTOM = 52.0, 10.0, 15.0, 38.0  # room for the axes around the plot
MOST_NAMES = 24  # rows up to which a heat map has names
MOST_COUNTS = 14  # rows up to which the cells of a heat map have numbers
_LEAST = 1e-200  # an axis that starts at or below this is linear, even with `is_log`
_STRIP = 34.0  # height of the strip of counts
_GAP, _MARGIN = 28.0, 20.0  # between the charts of a sheet, and around them


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """An axis from `low` to `high`, with its ticks as (value, text)."""

    label: str
    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]
    is_log: bool = False

    def share(self, value: float) -> float:
        """Return the position of `value` on the axis, from 0 to 1; values beyond its ends are clipped."""
        inside = min(max(value, self.low), self.high)
        low, high, at = (math.log10(each) if self.is_log else each for each in (self.low, self.high, inside))
        return (at - low) / (high - low)

    def holds(self, value: float) -> bool:
        """Return whether `value` is within the axis."""
        return self.low <= value <= self.high


@dataclass(frozen=True, slots=True, kw_only=True)
class Datum:
    """A point of a chart; without `y` it is on the lower edge. `hover` is its tooltip."""

    x: float
    y: float | None
    hover: str = ""
    trial: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Points:
    """Marks of one look; those with a `label` are in the legend."""

    look: str
    data: tuple[Datum, ...]
    label: str = ""
    size: float = 3.6


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """A line through points; one with a `label` is in the legend. `trial` is the trial that it shows."""

    look: str
    points: tuple[tuple[float, float], ...]
    label: str = ""
    trial: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A vertical bar from `low` to `high` of the x axis."""

    low: float
    high: float
    value: float
    hover: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """A dashed vertical line at a value of the horizontal axis, with its name."""

    value: float
    text: str
    look: str = "limit"


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """Points, curves and bars over two axes, with the first points and curves on top.

    `counts` are a strip of bars below; `description` is the text for a screen reader; `notes` are below the chart.
    """

    title: str
    description: str
    x: Axis
    y: Axis
    bars: tuple[Bar, ...] = ()
    counts: tuple[Bar, ...] = ()
    curves: tuple[Curve, ...] = ()
    points: tuple[Points, ...] = ()
    limits: tuple[Limit, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class BarChart:
    """Horizontal bars, each with its name, value and text, on an axis from 0 to `most`."""

    title: str
    description: str
    bars: tuple[tuple[str, float, str], ...]
    most: float
    look: str = "bar"
    names: Literal["above", "left"] = "left"
    limits: tuple[Limit, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class HeatMap:
    """Counts of rows by columns with the same names; the opacity of a cell is its share of the row."""

    title: str
    description: str
    names: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]
    verb: str
    """The words between the names of row and column in a tooltip: `classified as`."""
    notes: tuple[str, ...] = ()


Panel = Chart | BarChart | HeatMap


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """Charts side by side below a title."""

    title: str
    panels: tuple[Panel, ...]
    subtitle: str = ""


def value_axis(name: str, low: float, high: float, *, is_log: bool = False, room: float = 0.06) -> Axis:
    """Return an axis of the quantity `name` from `low` to `high`, with some room at both ends."""
    is_share = "accuracy" in name and -1 <= low <= high <= 1
    if is_log and low > _LEAST:
        margin = min(max(0.04, room * (math.log10(high) - math.log10(low))), 1)
        low, high = low / 10**margin, high * 10**margin
        ticks = log_ticks(low, high)
    else:
        is_log = False
        margin = room * (high - low) if high > low else max(abs(high) * 0.05, 1e-9)
        low, high = low - margin, high + margin
        ticks = linear_ticks(low, high)
    digits = _digits(ticks)
    labels = tuple((tick, percent(tick, digits) if is_share else compact(tick, trim=True)) for tick in ticks)
    text = f"{capitalised(label(name))}{', logarithmic' if is_log else ''}"
    return Axis(label=text, low=low, high=high, ticks=labels, is_log=is_log)


def count_axis(text: str, low: int, high: int) -> Axis:
    """Return an axis of whole numbers, such as trials or epochs."""
    room = max(0.5, 0.03 * (high - low))
    ticks = sorted({tick for each in linear_ticks(low, max(high, low + 1)) if low <= (tick := round(each)) <= high})
    return Axis(label=text, low=low - room, high=high + room, ticks=tuple((tick, str(tick)) for tick in ticks))


def share_axis(text: str) -> Axis:
    """Return an axis from 0 to 100 %."""
    return Axis(label=text, low=0, high=1, ticks=tuple((fifth / 5, f"{20 * fifth} %") for fifth in range(6)))


def linear_ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Return round numbers from `low` to `high`, roughly `about` of them."""
    raw = (high - low) / about
    if not (math.isfinite(raw) and raw > 0):
        return []
    unit = 10 ** math.floor(math.log10(raw))
    step = next(unit * each for each in (1, 2, 2.5, 5, 10) if raw <= unit * each * 1.0001)
    first = math.ceil(low / step - 1e-9)
    found = [round((first + index) * step, 12) for index in range(2 * about + 2)]
    return [tick for tick in found if tick <= high + 1e-9 * step]


def log_ticks(low: float, high: float) -> list[float]:
    """Return round numbers for a logarithmic axis: as few per decade as give three; many decades are thinned."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    every = max(1, len(decades) // 6)
    for steps in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 6, 8)):
        ticks = [step * 10.0**decade for decade in decades if decade % every == 0 for step in steps]
        ticks = [tick for tick in ticks if low <= tick <= high]
        if len(ticks) >= 3:
            return ticks
    return ticks if len(ticks) > 1 else linear_ticks(low, high)


def stair(points: Sequence[tuple[float, float]], end: float) -> tuple[tuple[float, float], ...]:
    """Return the corners of a step line that keeps each height until the next point, and the last until `end`.

    If `end` is before the first point, the line runs from the last point back to `end`.
    """
    if points and end < points[0][0]:
        points = points[::-1]
    found: list[tuple[float, float]] = []
    for (x, y), after in zip(points, [*points[1:], (end, 0.0)], strict=False):
        found += [(x, y), (after[0], y)]
    return tuple(found)


def _digits(ticks: Sequence[float]) -> int:
    """Return the number of decimals, at most 2, that show ticks as percentages without rounding."""
    if len(ticks) < 2:
        return 1
    return next((digits for digits in (0, 1) if all(abs(round(100 * t, digits) - 100 * t) < 1e-6 for t in ticks)), 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One entry of a legend: a sample, 14 units high, and its text."""

    sample: tuple[Part, ...]
    width: float
    text: str


def layout(panel: Panel) -> Drawing:
    """Return the drawing of a chart without its title, legend and notes."""
    match panel:
        case Chart():
            return _chart(panel)
        case BarChart():
            return _bar_chart(panel)
        case HeatMap():
            return _heat_map(panel)
        case _:
            assert_never(panel)


def legend(panel: Panel) -> list[Key]:
    """Return the entries of a chart's legend: the points and curves with a label."""
    if not isinstance(panel, Chart):
        return []
    marks = [(Mark(x=7, y=7, look=each.look), 14, each.label) for each in panel.points]
    lines = [(Line(points=((0, 7), (26, 7)), look=each.look), 26, each.label) for each in panel.curves]
    return [Key(sample=(part,), width=width, text=text) for part, width, text in (*marks, *lines) if text]


def sheet(figure: Figure, *, columns: int = 3) -> Drawing:
    """Return one drawing of all charts of a figure, with titles, legends and notes, up to `columns` side by side."""
    columns = min(columns, len(figure.panels))
    width = 2 * _MARGIN + columns * WIDTH + (columns - 1) * _GAP
    text, size = fitted(figure.title, width - 2 * _MARGIN, 16, least=9, bold=True)
    parts: list[Part] = [Text(x=_MARGIN, y=_MARGIN + 12, text=text, size=size, is_bold=True)]
    if figure.subtitle:
        parts.append(Text(x=_MARGIN, y=_MARGIN + 28, text=figure.subtitle, color="muted"))
    y = _MARGIN + (52 if figure.subtitle else 40)
    for start in range(0, len(figure.panels), columns):
        row = figure.panels[start : start + columns]
        headings = [_heading(panel) for panel in row]
        drawings = [layout(panel) for panel in row]
        below = y + max(height for _, height in headings)
        foot = below
        for place, (panel, (heading, _), drawing) in enumerate(zip(row, headings, drawings, strict=True)):
            x = _MARGIN + place * (WIDTH + _GAP)
            notes = [
                Text(x=0, y=drawing.height + 10 + 13 * line, text=text, size=9.5, color="muted")
                for line, text in enumerate(_wrapped(" ".join(panel.notes), WIDTH, 9.5))
            ]
            parts += [*moved(heading, x, y), *moved(drawing.parts, x, below), *moved(notes, x, below)]
            foot = max(foot, below + drawing.height + 13 * len(notes))
        y = foot + 26
    label = ". ".join([figure.title, *(panel.description for panel in figure.panels)])
    return Drawing(width=width, height=y - 26 + _MARGIN, parts=tuple(parts), label=label)


def moved(parts: Iterable[Part], x: float, y: float) -> list[Part]:
    """Return the parts moved right by `x` and down by `y`."""
    found: list[Part] = []
    for part in parts:
        match part:
            case Line():
                found.append(replace(part, points=tuple((each + x, other + y) for each, other in part.points)))
            case Rect() | Mark() | Text() | Picture():
                found.append(replace(part, x=part.x + x, y=part.y + y))
            case _:
                assert_never(part)
    return found


def key_row(keys: Iterable[Key], width: float, *, line: float = 17) -> tuple[list[Part], float]:
    """Return a legend in rows of at most `width`, and its height."""
    parts: list[Part] = []
    x = y = 0.0
    for key in keys:
        wide = key.width + 6 + text_width(key.text, 9.5)
        if x and x + wide > width:
            x, y = 0.0, y + line
        parts += [
            *moved(key.sample, x, y),
            Text(x=x + key.width + 6, y=y + 10.5, text=key.text, size=9.5, color="muted"),
        ]
        x += wide + 16
    return parts, y + line if parts else 0.0


def _heading(panel: Panel) -> tuple[list[Part], float]:
    text, size = fitted(panel.title, WIDTH, 12, least=8, bold=True)
    keys, height = key_row(legend(panel), WIDTH)
    return [Text(x=0, y=11, text=text, size=size, is_bold=True), *moved(keys, 0, 20)], height + 22


def _wrapped(text: str, width: float, size: float) -> list[str]:
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and text_width(longer, size) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def _chart(chart: Chart) -> Drawing:
    right = WIDTH - RIGHT - (10.0 if chart.bars else 0.0)  # room for half of the last tick label
    edge = HEIGHT - BOTTOM
    on_edge = any(datum.y is None for points in chart.points for datum in points.data)
    low = edge - (20.0 if on_edge else _STRIP + 22 if chart.counts else 0.0)

    def across(value: float) -> float:
        return LEFT + (right - LEFT) * chart.x.share(value)

    def up(value: float | None) -> float:
        return edge - 7 if value is None else low - (low - TOP - 4) * chart.y.share(value)

    def rects(bars: Iterable[Bar], floor: float, high: float, most: float, look: str) -> list[Part]:
        return [
            Rect(x=across(bar.low) + 0.75, y=floor - max(high * bar.value / most, 0.5), look=look, hover=bar.hover,
                 width=max(across(bar.high) - across(bar.low) - 1.5, 0.5), height=max(high * bar.value / most, 0.5))
            for bar in bars
        ]  # fmt: skip

    parts = list(_axes(chart.x, chart.y, across, up, right, edge))
    parts += rects(chart.bars, low, low - TOP - 4, 1.0, "bar")
    if chart.counts:
        parts += rects(chart.counts, edge, _STRIP, max(bar.value for bar in chart.counts) or 1, "count")
        parts.append(Text(x=LEFT - 6, y=edge - 3, text="images", size=9.5, anchor="end", color="muted"))
    for limit in chart.limits:
        if chart.x.holds(limit.value):
            x = across(limit.value)
            parts.append(Line(points=((x, TOP), (x, low)), look=limit.look))
            parts.append(Text(x=x - 3, y=TOP + 8, text=limit.text, size=9.5, anchor="end", color="muted"))
    for curve in reversed(chart.curves):
        if curve.points:
            points = tuple((across(x), up(y)) for x, y in curve.points)
            parts.append(Line(points=points, look=curve.look, trial=curve.trial))
    parts += [
        Mark(x=across(datum.x), y=up(datum.y), look=points.look, size=points.size, hover=datum.hover, trial=datum.trial)
        for points in reversed(chart.points)
        for datum in points.data
    ]  # fmt: skip
    return Drawing(width=WIDTH, height=HEIGHT, parts=tuple(parts), label=chart.description)


def _axes(
    x: Axis, y: Axis, across: Callable[[float], float], up: Callable[[float], float], right: float, edge: float
) -> Iterable[Part]:
    for value, text in y.ticks:
        yield Line(points=((LEFT, up(value)), (right, up(value))), look="grid")
        yield Text(x=LEFT - 6, y=up(value) + 3.5, text=text, anchor="end", color="muted")
    for value, text in x.ticks:
        yield Line(points=((across(value), edge), (across(value), edge + 4)), look="grid")
        yield Text(x=across(value), y=edge + 15, text=text, anchor="middle", color="muted")
    yield Line(points=((LEFT, edge), (right, edge)), look="base")
    yield Text(x=right, y=edge + 30, text=x.label, anchor="end", is_bold=True)
    yield Text(x=2, y=TOP - 5, text=y.label, is_bold=True)


def _bar_chart(chart: BarChart) -> Drawing:
    above = chart.names == "above"
    names = [text_width(name, 10.5, bold=True) for name, _, _ in chart.bars]
    left = 4.0 if above else min(max([30.0, *names]), 130.0) + 8
    values = max([text_width(text, 10.5) for _, _, text in chart.bars], default=0.0)
    room, pitch, high = WIDTH - left - values - 10, 28.8 if above else 22.0, 9.0 if above else 13.0
    height = pitch * len(chart.bars) + 6 + 24 * bool(chart.limits)
    parts: list[Part] = []
    # The leftmost line has its name on its left and higher than the others, so that no line runs through a name.
    for place, limit in enumerate(sorted(chart.limits, key=lambda each: each.value)):
        x, foot = left + room * limit.value / chart.most, height - (13 if place == 0 else 2)
        to_left = place == 0 or x > WIDTH - 90
        parts.append(Line(points=((x, 0), (x, foot)), look=limit.look))
        parts.append(Text(x=x - 4 if to_left else x + 4, y=foot, text=limit.text, size=9.5, color="muted",
                          anchor="end" if to_left else "start"))  # fmt: skip
    for place, (name, value, text) in enumerate(chart.bars):
        y = pitch * place + (15 if above else 3)
        long = max(room * max(value, 0) / chart.most, 1.0)
        short, size = fitted(name, WIDTH - 8 if above else left - 8, 10.5, least=8, bold=above)
        if above:
            parts.append(Text(x=left, y=y - 4, text=short, size=size, is_bold=True))
        else:
            parts.append(Text(x=left - 6, y=y + 10, text=short, size=size, anchor="end"))
        parts.append(Rect(x=left, y=y, width=long, height=high, look=chart.look))
        end = left + (room if chart.limits else long)  # right of all limit lines, which would run through a value
        parts.append(Text(x=end + 5, y=y + high / 2 + 3.8, text=text, has_halo=True))
    label = f"{chart.description}. " + "; ".join(f"{name} {text}" for name, _, text in chart.bars)
    return Drawing(width=WIDTH, height=height, parts=tuple(parts), label=label)


def _heat_map(chart: HeatMap) -> Drawing:
    count = len(chart.names)
    few = count <= MOST_NAMES
    left, top = (82.0 if few else 4.0), 4.0
    pitch = (WIDTH - left - 4.0) / count
    low = top + pitch * count
    parts: list[Part] = [Rect(x=left, y=top, width=pitch * count, height=pitch * count, look="matrix")]
    for row, counts in enumerate(chart.counts):
        whole = sum(counts) or 1
        for column, found in enumerate(counts):
            if not found:
                continue
            x, y, size = left + pitch * column, top + pitch * row, pitch - (1 if few else 0)
            hover = f"{chart.names[row]} {chart.verb} {chart.names[column]}: {found} of {whole}" if few else ""
            share = found / whole
            parts.append(Rect(x=x, y=y, width=size, height=size, look="cell", hover=hover, opacity=round(share, 2)))
            if count <= MOST_COUNTS:
                parts.append(Text(x=x + pitch / 2, y=y + pitch / 2 + 3.5, text=str(found), size=9.5, anchor="middle"))
    for place, name in enumerate(chart.names if few else ()):
        middle, (text, size) = pitch * (place + 0.5), fitted(name, left - 8, 10.5, least=9)
        parts.append(Text(x=left - 5, y=top + middle + 3.5, text=text, size=size, anchor="end"))
        parts.append(Text(x=left + middle + 3, y=low + 8, text=text, size=size, anchor="end", rotation=45))
    height = low + (66.0 if few else 4.0)
    return Drawing(width=WIDTH, height=height, parts=tuple(parts), label=chart.description)
