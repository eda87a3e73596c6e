"""A chart's frame as inline SVG: scales, ticks, grid, marks and lines; colours and type come from `page.css`.

All charts are drawn `WIDTH` units wide, so that letters have the same size on a phone and beside each other on a desk.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from archsearch.report.markup import Child, Markup, el

WIDTH = 400.0
LEFT, RIGHT, TOP, BOTTOM = 48.0, 10.0, 12.0, 38.0  # room for the axes around the plot
Shape = Literal["circle", "diamond", "triangle", "cross", "plus"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """An axis: from `low` to `high` over the units `start` to `end` of the drawing, with the ticks' (value, label)."""

    low: float
    high: float
    start: float
    end: float
    ticks: tuple[tuple[float, str], ...]
    is_log: bool = False

    def __call__(self, value: float) -> float:
        """Return where `value` lies; what is beyond the axis lies at its end."""
        low, high, at = (math.log10(each) if self.is_log else each for each in (self.low, self.high, self._held(value)))
        return self.start + (self.end - self.start) * (at - low) / (high - low)

    def holds(self, value: float) -> bool:
        """Return whether `value` is not beyond the axis."""
        return self.low <= value <= self.high

    def _held(self, value: float) -> float:
        return min(max(value, self.low), self.high)


def scale(
    low: float, high: float, start: float, end: float, name: str, *, is_log: bool = False, room: float = 0.06
) -> Scale:
    """Return an axis that shows `low` to `high` of the quantity `name` with some room at either end."""
    if is_log and low > 0:
        margin = max(0.04, room * math.log10(high / low))
        low, high = low / 10**margin, high * 10**margin
        ticks = log_ticks(low, high)
    else:
        is_log = False
        margin = room * (high - low) if high > low else max(abs(high) * 0.05, 1e-9)
        low, high = low - margin, high + margin
        ticks = linear_ticks(low, high)
    digits = _digits(ticks, name)
    labels = tuple((tick, axis_label(name, tick, digits)) for tick in ticks)
    return Scale(low=low, high=high, start=start, end=end, ticks=labels, is_log=is_log)


def count_scale(low: int, high: int, start: float, end: float) -> Scale:
    """Return an axis of whole numbers, such as trials or epochs."""
    room = max(0.5, 0.03 * (high - low))
    ticks = sorted({round(tick) for tick in linear_ticks(low, max(high, low + 1))} & set(range(low, high + 1)))
    labels = tuple((float(tick), str(tick)) for tick in ticks)
    return Scale(low=low - room, high=high + room, start=start, end=end, ticks=labels)


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


def axis_label(name: str, value: float, digits: int = 0) -> str:
    """Return a tick's label: accuracies in percent, large numbers with k, M or G."""
    if "accuracy" in name:
        return f"{100 * value:.{digits}f} %"
    size = abs(value)
    for unit, letter in ((1e12, " T"), (1e9, " G"), (1e6, " M"), (1e3, " k")):
        if size >= unit * 0.9995:
            return f"{value / unit:.4g}{letter}"
    return f"{value:.4g}"


def frame(x: Scale, y: Scale, x_name: str, y_name: str, floor: float | None = None) -> list[Markup]:
    """Return grid, tick labels and the names of both axes; `floor` is where the lower axis lies, if below the plot."""
    floor = y.start if floor is None else floor
    rows = [
        joined
        for value, label in y.ticks
        for joined in (
            el("line", x1=x.start, x2=x.end, y1=y(value), y2=y(value)),
            el("text", label, x=x.start - 6, y=y(value) + 3.5, class_="end"),
        )
    ]
    columns = [
        joined
        for value, label in x.ticks
        for joined in (
            el("line", y1=floor, y2=floor + 4, x1=x(value), x2=x(value)),
            el("text", label, x=x(value), y=floor + 15, class_="mid"),
        )
    ]
    base = el("line", x1=x.start, x2=x.end, y1=floor, y2=floor, class_="base")
    names = [
        el("text", x_name, x=x.end, y=floor + 30, class_="end name"),
        el("text", y_name, x=2.0, y=TOP - 3, class_="name"),
    ]
    return [el("g", *rows, *columns, base, *names, class_="axes", aria_hidden="true")]


def mark(shape: Shape, x: float, y: float, *children: Child, size: float = 3.6, **attributes: object) -> Markup:
    """Return a point of a chart: every kind has a shape of its own, to be told from the others without colour."""
    if shape == "circle":
        return el("circle", *children, cx=x, cy=y, r=size, **attributes)
    far = size * {"diamond": 1.5, "triangle": 1.25, "cross": 0.95, "plus": 1.2}[shape]
    steps = {
        "diamond": f"m0-{far:.1f} {far:.1f} {far:.1f}-{far:.1f} {far:.1f}-{far:.1f}-{far:.1f}z",
        "triangle": f"m-{far:.1f}-{0.8 * far:.1f}h{2 * far:.1f}l-{far:.1f} {1.8 * far:.1f}z",
        "cross": f"m-{far:.1f}-{far:.1f} {2 * far:.1f} {2 * far:.1f}m0-{2 * far:.1f}-{2 * far:.1f} {2 * far:.1f}",
        "plus": f"m-{far:.1f} 0h{2 * far:.1f}m-{far:.1f}-{far:.1f}v{2 * far:.1f}",
    }[shape]
    return el("path", *children, d=f"M{_unit(x)} {_unit(y)}{steps}", **attributes)


def line(points: Iterable[tuple[float, float]], **attributes: object) -> Markup:
    """Return a line through `points`."""
    text = "L".join(f"{_unit(x)} {_unit(y)}" for x, y in points)
    return el("path", d=f"M{text}", **attributes)


def steps(points: Sequence[tuple[float, float]], end: float) -> list[tuple[float, float]]:
    """Return the corners of a stair that keeps each height until the next point, and the last until `end`."""
    found: list[tuple[float, float]] = []
    for (x, y), after in zip(points, [*points[1:], (end, 0.0)], strict=False):
        found += [(x, y), (after[0], y)]
    return found


def svg(height: float, label: str, *children: Child, width: float = WIDTH, class_: str | None = None) -> Markup:
    """Return the drawing; `label` says to those who do not see it what it shows."""
    box = f"0 0 {width:g} {height:g}"
    return el("svg", *children, viewBox=box, role="group", aria_label=label, class_=class_, data_wide=width > WIDTH)


def _digits(ticks: Sequence[float], name: str) -> int:
    """Return how many digits after the point tell percentages of neighbouring ticks apart."""
    if "accuracy" not in name or len(ticks) < 2:
        return 0 if "accuracy" not in name else 1
    gap = 100 * min(abs(b - a) for a, b in pairwise(ticks))
    return 0 if gap >= 0.999 else 1 if gap >= 0.0999 else 2


def _unit(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
