"""The charts of a study as inline SVG: trade-offs, course, importance, learning curves, what refused how many.

Each chart is a figure with a heading, a legend of shapes and a sentence that says what is left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from archsearch.report import chart
from archsearch.report.chart import BOTTOM, LEFT, RIGHT, TOP, WIDTH, Scale, Shape
from archsearch.report.markup import Markup, el, joined
from archsearch.report.study_series import Course, Curves, Point, TradeOff, short_key, thinned, window
from archsearch.report.study_words import named, said

HEIGHT = 270.0
MOST_POINTS = 1000
MOST_BARS = 12
MOST_VERTICES = 120
SHAPES: dict[str, Shape] = {
    "best": "diamond",
    "complete": "circle",
    "pruned": "triangle",
    "diverged": "cross",
    "failed": "plus",
}
DASHES = ("", "7 3", "2 2", "9 3 2 3", "4 4")


def trade_off_chart(found: TradeOff, bounds: Mapping[str, float] | None = None) -> Markup:
    """Draw the first objective against a cost; `bounds` are limits on the cost, by what they are called."""
    xs = [point.x for point in found.points]
    is_log = min(xs) > 0 and max(xs) / min(xs) > 6
    x = chart.scale(min(xs), max(xs), LEFT, WIDTH - RIGHT, found.cost, is_log=is_log)
    y = _heights(found.points, [point.y for point in found.front], found.objective)
    drawn = thinned(found.points, MOST_POINTS, lambda point: point.kind == "best")
    limits = [
        joined(
            el("line", x1=x(value), x2=x(value), y1=TOP, y2=y.start, class_="limit"),
            el("text", name, x=x(value) - 3, y=TOP + 8, class_="end note"),
        )
        for name, value in (bounds or {}).items()
        if x.holds(value)
    ]
    stair = chart.steps([(x(point.x), y(point.y)) for point in found.front], x.end if found.is_less_better else x.start)
    front = chart.line(stair if found.is_less_better else [(x(p.x), y(p.y)) for p in found.front], class_="front")
    title = f"{named(found.objective)} against {named(found.cost, lower=True)}"
    label = (
        f"Scatter chart: {title}, {len(found.points)} trials, of which {len(found.front)} form the front, "
        "beaten in both by no other. Arrow keys go from trial to trial."
    )
    points = [_point(point, x, y, found.cost, found.objective) for point in drawn]
    axis = f"{named(found.cost)}{', logarithmic' if x.is_log else ''}"
    inside = [*chart.frame(x, y, axis, named(found.objective)), *limits, front, el("g", *points, class_="points")]
    notes = [_left_out(len(drawn), len(found.points), "points"), _beyond(found.points, y)]
    kinds = {"best": "on the front", "complete": "complete", "pruned": "pruned, as last seen"}
    return figure(title, chart.svg(HEIGHT, label, inside), _legend(found.points, kinds), notes)


def course_chart(found: Course) -> Markup:
    """Draw the objective over the trials, the best so far as a stair, and what has no value on the lower edge."""
    numbers = [*(int(point.x) for point in found.points), *(number for number, _ in found.ends)]
    x = chart.count_scale(min(numbers), max(numbers), LEFT, WIDTH - RIGHT)
    bests = [value for _, value in found.record]
    y = _heights(found.points, bests, found.objective, room_below=20.0)
    drawn = thinned(found.points, MOST_POINTS, lambda point: point.kind == "best")
    ends = thinned(found.ends, MOST_POINTS, lambda end: end[1] != "infeasible")
    stair = [(x(number), y(value)) for number, value in found.record]
    last = x(max(numbers))
    title = f"{named(found.objective)} from trial to trial"
    label = (
        f"Scatter chart: {title}; the best so far was beaten {max(0, len(found.record) - 1)} times. "
        "Arrow keys go from trial to trial."
    )
    edge = HEIGHT - BOTTOM - 7
    rug = [
        el("line", x1=x(number), x2=x(number), y1=edge - 4, y2=edge + 4, class_="refused")
        if state == "infeasible"
        else chart.mark(
            SHAPES[state],
            x(number),
            edge,
            el("title", f"trial {number}: {state}"),
            size=3.4,
            class_=f"p {state}",
            data_t=number,
        )
        for number, state in ends
    ]
    points = [_point(point, x, y, "", found.objective) for point in drawn]
    inside = [
        *chart.frame(x, y, "trial", named(found.objective), HEIGHT - BOTTOM),
        chart.line(chart.steps(stair, last), class_="front") if stair else None,
        el("g", rug, points, class_="points"),
    ]
    kinds = {"best": "best so far", "complete": "complete", "pruned": "pruned, as last seen"}
    legend = _legend(found.points, kinds)
    for state in ("diverged", "failed"):
        if any(each == state for _, each in found.ends):
            legend.append(_key(el_mark(state), state))
    if any(state == "infeasible" for _, state in found.ends):
        tick = el("line", x1=7, x2=7, y1=2, y2=12, class_="refused")
        legend.append(_key(tick, "refused before training"))
    left = _left_out(len(drawn) + len(ends), len(found.points) + len(found.ends), "marks")
    return figure(title, chart.svg(HEIGHT, label, inside), legend, [left, _beyond(found.points, y)])


def curves_chart(found: Curves, best_is: str = "best") -> Markup:
    """Draw the learning curves, the best ones with a line and a dash of their own, the others grey."""
    epochs = [epoch for curve in found.drawn for epoch, _ in curve.points]
    values = [value for curve in found.drawn for _, value in curve.points]
    x = chart.count_scale(min(epochs), max(epochs), LEFT, WIDTH - RIGHT)
    y = chart.scale(*window(values), HEIGHT - BOTTOM, TOP + 4, "accuracy" if _are_shares(values) else "value")
    lines: list[Markup] = []
    ends: list[Markup] = []
    legend: list[Markup] = []
    what = "accuracy" if _are_shares(values) else "value"
    for curve in found.drawn:
        points = thinned(curve.points, MOST_VERTICES, lambda point, last=curve.points[-1]: point == last)
        place = [(x(epoch), y(value)) for epoch, value in points]
        rank = curve.place
        dash = DASHES[(rank - 1) % len(DASHES)] if rank is not None else ""
        kind = f"curve c{rank}" if rank is not None else "curve"
        lines.append(chart.line(place, class_=kind, stroke_dasharray=dash or None, data_t=curve.trial))
        epoch, value = curve.points[-1]
        text = f"trial {curve.trial}, {curve.state}: {said(what, value)} after epoch {epoch}"
        shape = "best" if rank is not None else curve.state if curve.state in SHAPES else "complete"
        mark = chart.mark(
            SHAPES[shape],
            *place[-1],
            el("title", text),
            size=2.2 if rank else 1.7,
            class_=f"p {shape}",
            data_t=curve.trial,
        )
        ends.append(mark)
        if rank is not None:
            sample = el("line", x1=0, x2=26, y1=7, y2=7, class_=kind, stroke_dasharray=dash or None)
            legend.insert(0, _key(sample, f"trial {curve.trial}", width=26))
    title = "Learning curves"
    label = (
        f"Line chart: held-out accuracy by epoch of {len(found.drawn)} trials. "
        "Arrow keys go from the end of one curve to the next."
    )
    grey = len(found.drawn) - len(legend)
    if grey:
        legend.append(_key(el("line", x1=0, x2=26, y1=7, y2=7, class_="curve"), "other trials", width=26))
    inside = [
        *chart.frame(x, y, "epoch", "Held-out accuracy" if what == "accuracy" else "Reported value"),
        el("g", lines),
        el("g", ends, class_="points"),
    ]
    notes = [
        f"Drawn in colour: the {best_is} trials, best first." if len(legend) > bool(grey) else None,
        _left_out(len(found.drawn), found.total, "curves"),
    ]
    return figure(title, chart.svg(HEIGHT, label, inside), legend, notes)


def bars_chart(
    title: str, values: Mapping[str, float], unit: Literal["share", "count"], notes: Sequence[str]
) -> Markup:
    """Draw one bar for each of `values`, the greatest first; bars past the twelfth are added up in a note."""
    ordered = sorted(values.items(), key=lambda item: (-item[1], item[0]))
    shown, rest = ordered[:MOST_BARS], ordered[MOST_BARS:]
    most = max((value for _, value in shown), default=0) or 1
    pitch, left = 24.0, 4.0
    height = pitch * 1.2 * len(shown) + 6
    bars: list[Markup] = []
    for index, (name, value) in enumerate(shown):
        top = index * pitch * 1.2
        text = _amount(value, unit)
        length = (WIDTH - 70) * max(value, 0) / most
        bars += [
            el("text", _cut(short_key(name), 58), x=left, y=top + 11, class_="name"),
            el("rect", x=left, y=top + 15, width=max(length, 1.0), height=9, class_="bar"),
            el("text", text, x=left + max(length, 1.0) + 5, y=top + 23.5, class_="value"),
        ]
    label = f"Bar chart: {title}. " + "; ".join(f"{short_key(name)} {_amount(value, unit)}" for name, value in shown)
    more = f"{len(rest)} more have {_amount(sum(value for _, value in rest), unit)} together." if rest else None
    return figure(title, chart.svg(height, label, bars), [], [*notes, more])


def figure(title: str, drawing: Markup, legend: Sequence[Markup], notes: Sequence[str | None]) -> Markup:
    """Return a drawing with its heading, its legend and its notes."""
    told = " ".join(note for note in notes if note)
    return el(
        "figure",
        el("figcaption", el("h3", title)),
        el("ul", *legend, class_="legend") if legend else None,
        el("div", drawing, class_="canvas"),
        el("p", told, class_="note") if told else None,
        class_="chart",
    )


def el_mark(kind: str) -> Markup:
    """Return the mark of a kind of trial as a legend shows it."""
    return chart.mark(SHAPES[kind], 7.0, 7.0, class_=f"p {kind}")


def _key(sample: Markup, text: str, width: int = 14) -> Markup:
    drawing = el(
        "svg", sample, viewBox=f"0 0 {width} 14", width=width, height=14, aria_hidden="true", focusable="false"
    )
    return el("li", drawing, text)


def _legend(points: Sequence[Point], kinds: Mapping[str, str]) -> list[Markup]:
    there = {point.kind for point in points}
    return [_key(el_mark(kind), text) for kind, text in kinds.items() if kind in there]


def _point(point: Point, x: Scale, y: Scale, x_name: str, y_name: str) -> Markup:
    parts = [said(y_name, point.y), *([f"{said(x_name, point.x)}"] if x_name else [])]
    text = el("title", f"trial {point.trial}: {', '.join(parts)}")
    size = 3.0 if point.kind == "pruned" else 3.6
    return chart.mark(
        SHAPES[point.kind], x(point.x), y(point.y), text, size=size, class_=f"p {point.kind}", data_t=point.trial
    )


def _heights(points: Sequence[Point], best: Sequence[float], name: str, room_below: float = 0.0) -> Scale:
    """Return the upright axis, over the complete trials: those that were stopped early stand far below them."""
    complete = [point.y for point in points if point.kind != "pruned"]
    values = complete if len(complete) >= 5 else [point.y for point in points]
    low, high = window(values)
    low, high = min([low, *best]), max([high, *best])
    return chart.scale(low, high, HEIGHT - BOTTOM - room_below, TOP + 4, name)


def _beyond(points: Sequence[Point], y: Scale) -> str | None:
    count = sum(not y.holds(point.y) for point in points)
    if not count:
        return None
    lie, are = ("trial lies", "is") if count == 1 else ("trials lie", "are")
    return f"{count} {lie} beyond the axis and {are} drawn at its edge."


def _left_out(drawn: int, total: int, what: str) -> str | None:
    return None if drawn >= total else f"Thinned: {drawn} of {total} {what} are drawn."


def _are_shares(values: Sequence[float]) -> bool:
    return all(0 <= value <= 1 for value in values)


def _amount(value: float, unit: str) -> str:
    return f"{100 * value:.1f} %" if unit == "share" else f"{value:,.0f}".replace(",", "\N{NO-BREAK SPACE}")


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
