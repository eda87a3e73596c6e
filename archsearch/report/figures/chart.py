"""Charts as values: axes with their ticks, points, lines, bars, limits and heat maps, with titles, legends and notes.

A chart is described once; `archsearch.report.figures.layout` makes the drawing of it that every format shows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from archsearch.formatting import percent
from archsearch.report.vocabulary import capitalised, compact, label


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """An axis from `low` to `high`, with the (value, text) of its ticks."""

    label: str
    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]
    is_log: bool = False

    def share(self, value: float) -> float:
        """Return where `value` lies, from 0 to 1; a value beyond the axis lies at its end."""
        inside = min(max(value, self.low), self.high)
        low, high, at = (math.log10(each) if self.is_log else each for each in (self.low, self.high, inside))
        return (at - low) / (high - low)

    def holds(self, value: float) -> bool:
        """Return whether `value` is not beyond the axis."""
        return self.low <= value <= self.high


@dataclass(frozen=True, slots=True, kw_only=True)
class Datum:
    """A point of a chart; without `y` it lies on the lower edge. `hover` is shown where the pointer is."""

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
    """A line through points; one with a `label` is in the legend. `trial` is the trial that it stands for."""

    look: str
    points: tuple[tuple[float, float], ...]
    label: str = ""
    trial: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """An upright bar from `low` to `high` of the x axis."""

    low: float
    high: float
    value: float
    hover: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """A dashed line across the chart at a value, with its name."""

    value: float
    text: str
    look: str = "limit"


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """Points, curves and bars over two axes, the first of each on top; `counts` are a strip of bars below them.

    `description` says what a reader who does not see it should know; `notes` stand below it.
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
    """Lying bars from 0 to `most`, each with its name and its value as text."""

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
    """Counts of rows by columns of the same names, each cell the stronger the larger its share of the row."""

    title: str
    description: str
    names: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]
    verb: str
    """What a row's name does to a column's: `classified as`."""
    notes: tuple[str, ...] = ()


Panel = Chart | BarChart | HeatMap


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """Charts side by side below a title."""

    title: str
    panels: tuple[Panel, ...]
    subtitle: str = ""


def value_axis(name: str, low: float, high: float, *, is_log: bool = False, room: float = 0.06) -> Axis:
    """Return an axis that shows `low` to `high` of the quantity `name` with some room at either end."""
    is_share = "accuracy" in name and -1 <= low <= high <= 1
    if is_log and low > 0:
        margin = max(0.04, room * math.log10(high / low))
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
    ticks = sorted({round(tick) for tick in linear_ticks(low, max(high, low + 1))} & set(range(low, high + 1)))
    return Axis(label=text, low=low - room, high=high + room, ticks=tuple((tick, str(tick)) for tick in ticks))


def share_axis(text: str) -> Axis:
    """Return an axis from 0 to 100 %."""
    return Axis(label=text, low=0, high=1, ticks=tuple((fifth / 5, f"{20 * fifth} %") for fifth in range(6)))


def linear_ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Return round numbers from `low` to `high`, about so many."""
    raw = (high - low) / about
    if not (math.isfinite(raw) and raw > 0):
        return []
    unit = 10 ** math.floor(math.log10(raw))
    step = next(unit * each for each in (1, 2, 2.5, 5, 10) if raw <= unit * each * 1.0001)
    first = math.ceil(low / step - 1e-9)
    found = [round((first + index) * step, 12) for index in range(2 * about + 2)]
    return [tick for tick in found if tick <= high + 1e-9 * step]


def log_ticks(low: float, high: float) -> list[float]:
    """Return round numbers for a logarithmic axis: 1, 2 and 5 of each decade, fewer over many decades."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    every = max(1, len(decades) // 6)
    for steps in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 6, 8)):
        ticks = [step * 10.0**decade for decade in decades if decade % every == 0 for step in steps]
        ticks = [tick for tick in ticks if low <= tick <= high]
        if len(ticks) >= 3:
            return ticks
    return ticks if len(ticks) > 1 else linear_ticks(low, high)


def stair(points: Sequence[tuple[float, float]], end: float) -> tuple[tuple[float, float], ...]:
    """Return the corners of a stair that keeps each height until the next point, and the last until `end`.

    With an `end` before the first point the stair goes there from the last one.
    """
    if points and end < points[0][0]:
        points = points[::-1]
    found: list[tuple[float, float]] = []
    for (x, y), after in zip(points, [*points[1:], (end, 0.0)], strict=False):
        found += [(x, y), (after[0], y)]
    return tuple(found)


def _digits(ticks: Sequence[float]) -> int:
    """Return how many digits after the point distinguish percentages of neighbouring ticks."""
    if len(ticks) < 2:
        return 1
    gap = 100 * min(abs(after - before) for before, after in pairwise(ticks))
    return 0 if gap >= 0.999 else 1 if gap >= 0.0999 else 2
