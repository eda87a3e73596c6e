"""The pictures of a study for slides and papers: course, trade-offs, importance, learning curves.

Imports matplotlib lazily. They show the same values as the page's charts, from `archsearch.report.study_series`.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING

from archsearch.report.chart import axis_label
from archsearch.report.markup import shown
from archsearch.report.page_parts import cost_bounds
from archsearch.report.picture import (
    BLUE,
    GREEN,
    INK,
    MUTED,
    ORANGE,
    PURPLE,
    RULE,
    VERMILLION,
    blank,
    picture_format,
    style,
    write_picture,
)
from archsearch.report.study_series import (
    Course,
    Curves,
    Point,
    TradeOff,
    course,
    curves,
    short_key,
    trade_offs,
    window,
)
from archsearch.report.study_words import named

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from archsearch.search.storage.read import StudyRead

LOOKS = {
    "complete": (BLUE, "o", 18, "complete"),
    "pruned": (ORANGE, "v", 18, "pruned, as last seen"),
    "best": (VERMILLION, "D", 30, ""),
}
ENDS = {"infeasible": ("#8A94A0", "|", 22), "diverged": (PURPLE, "x", 26), "failed": (INK, "+", 34)}
CURVE_LOOKS = (VERMILLION, BLUE, GREEN, PURPLE, ORANGE)
DASHES = ("-", "--", ":", "-.", (0, (3, 1, 1, 1, 1, 1)))
MOST_BARS = 15
_WIDE, _HIGH, _DPI = 6.4, 4.4, 150
_LETTER = 0.0092  # inches that a letter takes for each point of its size
_FIRST_WIDE = 0x2E80  # letters from here on are about twice as wide


def draw_study(
    study: StudyRead,
    folder: Path,
    formats: Sequence[str] = ("png", "svg"),
    *,
    importances: Mapping[str, float] | None = None,
) -> list[Path]:
    """Draw what there is to draw of `study` into `folder`, in each of `formats`, and return the files.

    `importances` are computed where they are not given. Raises `SpecError` for a format that is no picture's,
    `StorageError` where a file cannot be written.
    """
    for each in formats:
        picture_format(Path(f"study.{each}"))
    if importances is None:
        from archsearch.search.explain import importances as computed

        importances = computed(study)
    files: list[Path] = []
    with style(), warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", "Glyph .* missing"
        )  # a name in letters that the font lacks has boxes for them
        for name, figure in _figures(study, importances):
            for each in formats:
                files.append(folder / f"{name}.{each}")
                write_picture(figure, files[-1], dpi=_DPI)
    return files


def _figures(study: StudyRead, shares: Mapping[str, float]) -> list[tuple[str, Figure]]:
    """Return each picture with its name; a study without anything for one of them has none of it."""
    found: list[tuple[str, Figure]] = []
    courses = [each for place in range(len(study.objectives)) if (each := course(study, place)).points]
    if courses:
        figure, panels = _panels(study.name, "course", len(courses))
        for axes, each in zip(panels, courses, strict=True):
            _course(axes, each)
        found.append(("history", figure))
    if offs := trade_offs(study):
        figure, panels = _panels(study.name, "accuracy and cost", len(offs))
        for axes, each in zip(panels, offs, strict=True):
            _trade_off(axes, each, cost_bounds(study, each.cost))
        found.append(("pareto", figure))
    known = {name: share for name, share in shares.items() if share >= 0}
    if known:
        figure, [axes] = _panels(study.name, "what matters", 1)
        _importance(axes, known)
        found.append(("importance", figure))
    if (learning := curves(study)).drawn:
        figure, [axes] = _panels(study.name, "learning curves", 1)
        _curves(axes, learning)
        found.append(("curves", figure))
    return found


def _panels(name: str, what: str, count: int) -> tuple[Figure, list[Axes]]:
    """Return a figure with `count` panels side by side, three in a row, below the study's name."""
    columns, rows = min(count, 3), -(-count // 3)
    width, height = _WIDE * columns, _HIGH * rows + 0.5
    figure = blank(width, height)
    grid = figure.subplots(rows, columns, squeeze=False)
    figure.subplots_adjust(
        left=0.8 / width,
        right=1 - 0.25 / width,
        bottom=0.65 / height,
        top=1 - 0.95 / height,
        wspace=1.0 / (_WIDE - 1),
        hspace=0.9 / (_HIGH - 1),
    )
    title = f"{_cut(name, width - 1.2 - _LETTER * 14 * len(what), 14)}: {what}"
    figure.text(0.25 / width, 1 - 0.4 / height, title, fontsize=14, fontweight="bold")
    axes = list(grid.flat)
    for empty in axes[count:]:
        empty.remove()
    return figure, axes[:count]


def _course(axes: Axes, found: Course) -> None:
    _scatter(axes, found.points, "best so far")
    numbers = [point.trial for point in found.points]
    if found.record:
        steps = [*found.record, (float(max(numbers)), found.record[-1][1])]
        axes.step([x for x, _ in steps], [y for _, y in steps], where="post", color=VERMILLION, linewidth=1.4, zorder=2)
    _heights(axes, found.points, [value for _, value in found.record])
    for state, (colour, marker, size) in ENDS.items():
        there = [number for number, each in found.ends if each == state]
        if there:
            label = "refused before training" if state == "infeasible" else state
            axes.scatter(
                there,
                [0.02] * len(there),
                transform=axes.get_xaxis_transform(),
                s=size,
                color=colour,
                marker=marker,
                linewidth=1.1,
                label=label,
                clip_on=False,
            )
    _finish(axes, "trial", _name(found.objective), found.objective)


def _trade_off(axes: Axes, found: TradeOff, bounds: Mapping[str, float]) -> None:
    _scatter(axes, found.points, "on the front")
    xs = [point.x for point in found.points]
    if min(xs) > 0 and max(xs) / min(xs) > 6:
        axes.set_xscale("log")
    where = "post" if found.is_less_better else "pre"
    axes.step(
        [p.x for p in found.front], [p.y for p in found.front], where=where, color=VERMILLION, linewidth=1.4, zorder=2
    )
    _heights(axes, found.points, [point.y for point in found.front])
    low, high = axes.get_xlim()
    for name, value in bounds.items():
        if low <= value <= high * 1.5:
            axes.axvline(value, color=INK, linewidth=1, linestyle="--", zorder=1)
            axes.annotate(
                name,
                (value, 1),
                xycoords=("data", "axes fraction"),
                xytext=(-4, -9),
                textcoords="offset points",
                ha="right",
                fontsize=8.5,
                color=MUTED,
            )
    _finish(axes, _name(found.cost), _name(found.objective), found.objective)
    _label_ticks(axes.xaxis, found.cost)


def _importance(axes: Axes, shares: Mapping[str, float]) -> None:
    ordered = sorted(shares.items(), key=lambda item: (-item[1], item[0]))
    bars = ordered[:MOST_BARS][::-1]
    left_out = len(ordered) - len(bars)
    places = list(range(len(bars)))
    axes.barh(places, [share for _, share in bars], color=BLUE, height=0.62)
    for place, (name, share) in zip(places, bars, strict=True):
        text = _cut(short_key(name), 1.7, 8.5)
        axes.text(-0.01, place, text, transform=axes.get_yaxis_transform(), ha="right", va="center", fontsize=8.5)
        axes.annotate(
            f"{100 * share:.1f} %", (share, place), xytext=(4, 0), textcoords="offset points", va="center", fontsize=8.5
        )
    box = axes.get_position()
    axes.set_position((0.33, box.y0, box.x1 - 0.37, box.height + 0.06))
    axes.set_yticks([])
    axes.set_xlabel(f"share of the importance{f'; {left_out} smaller ones left out' if left_out else ''}")
    axes.xaxis.set_major_formatter(lambda value, _: axis_label("accuracy", value))
    axes.spines[["top", "right", "left"]].set_visible(False)


def _curves(axes: Axes, found: Curves) -> None:
    shares = all(0 <= value <= 1 for curve in found.drawn for _, value in curve.points)
    for curve in found.drawn:
        epochs, values = [epoch for epoch, _ in curve.points], [value for _, value in curve.points]
        if curve.place is None:
            axes.plot(
                epochs, values, color="#B6BDC6", linewidth=0.8, marker="." if len(epochs) == 1 else None, zorder=1
            )
            continue
        look = (curve.place - 1) % len(DASHES)
        axes.plot(
            epochs,
            values,
            color=CURVE_LOOKS[look],
            linestyle=DASHES[look],
            linewidth=1.8,
            zorder=3,
            marker="o" if len(epochs) == 1 else None,
            label=f"trial {curve.trial}",
        )
    handles, labels = axes.get_legend_handles_labels()
    _finish(axes, "epoch", "Held-out accuracy" if shares else "Reported value", "accuracy" if shares else "value")
    if handles:
        axes.legend(handles[::-1], labels[::-1], frameon=False, fontsize=9, loc="lower right")
    if len(found.drawn) < found.total:
        axes.set_title(f"{len(found.drawn)} of {found.total} curves", fontsize=9, color=MUTED, loc="right")


def _name(objective: str) -> str:
    return _cut(named(objective), 3.2, 10)


def _cut(text: str, width: float, size: float) -> str:
    """Return `text` cut to about `width` inches at `size` points.

    It is estimated: to measure letters that the font lacks takes seconds.
    """
    text, room = shown(" ".join(text.split())), width / (_LETTER * size)
    wide = [2 if ord(letter) >= _FIRST_WIDE else 1 for letter in text]
    if sum(wide) <= room:
        return text
    kept = sum(taken <= room - 1 for taken in accumulate(wide))
    return f"{text[:kept]}…"


def _scatter(axes: Axes, points: Sequence[Point], best: str) -> None:
    for kind, (colour, marker, size, name) in LOOKS.items():
        there = [point for point in points if point.kind == kind]
        if there:
            hollow = kind == "pruned"
            axes.scatter(
                [point.x for point in there],
                [point.y for point in there],
                s=size,
                marker=marker,
                zorder=3,
                facecolors="none" if hollow else colour,
                edgecolors=colour if hollow else "white",
                linewidths=0.9 if hollow else 0.5,
                alpha=1 if kind != "complete" else 0.85,
                label=name or best,
            )


def _heights(axes: Axes, points: Sequence[Point], best: Sequence[float]) -> None:
    """Let the upright axis show the complete trials; what was stopped early stands far below them."""
    complete = [point.y for point in points if point.kind != "pruned"]
    if len(complete) < 5:
        return
    low, high = window(complete)
    low, high = min([low, *best]), max([high, *best])
    room = 0.1 * (high - low) or 0.05 * abs(high) or 1.0
    axes.set_ylim(low - room, high + room)
    beyond = sum(not low - room <= point.y <= high + room for point in points)
    if beyond:
        axes.annotate(
            f"{beyond} beyond the axis",
            (1, 0),
            xycoords="axes fraction",
            xytext=(0, -34),
            textcoords="offset points",
            ha="right",
            fontsize=9,
            color=MUTED,
        )


def _finish(axes: Axes, x_name: str, y_name: str, y_key: str) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set(xlabel=x_name, ylabel=y_name)
    axes.grid(color=RULE, alpha=0.5, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    if x_name in ("trial", "epoch"):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    _label_ticks(axes.yaxis, y_key)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(
            frameon=False,
            fontsize=9,
            loc="lower left",
            bbox_to_anchor=(0, 1.0),
            ncols=3,
            borderpad=0,
            columnspacing=1.2,
        )


def _label_ticks(axis: object, key: str) -> None:
    from matplotlib.axis import Axis
    from matplotlib.ticker import LogLocator, NullFormatter

    assert isinstance(axis, Axis), "an axis of a figure"
    axis.set_major_formatter(lambda value, _: axis_label(key, value))
    if axis.get_scale() == "log":
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_minor_formatter(NullFormatter())
