"""The receptive field of each stage as nested squares over the image. Draws on axes in inches; no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archsearch.report.boxes import StageField, stage_fields
from archsearch.report.picture import INK, MUTED, RULE, SHADE, fitted, text_width

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from archsearch.analysis.check import Checked

WIDEST_VIEW = 4
"""Fields up to so many times the image's size are to scale; around larger ones the image would be a dot."""
_FRAME = 0.085  # inches between frames that are not to scale
_STEPS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)  # px between the lines of the grid
_APART = 0.035  # inches between them, at least


def draw_fields(axes: Axes, checked: Checked) -> None:
    """Draw what the centre unit of each stage sees, over the image and beyond its border, named at the right.

    Fields above `WIDEST_VIEW` times the image are dashed frames around the rest, not to scale.
    """
    from matplotlib import colormaps
    from matplotlib.patches import Rectangle

    _, height, width = checked.plan.input_shape
    fields = stage_fields(checked.plan, checked.footprint)
    image = max(height, width)
    inside = [field for field in fields if field.size <= WIDEST_VIEW * image]
    beyond = [field for field in fields if field.size > WIDEST_VIEW * image]
    side = axes.get_ylim()[1]
    frame = min(_FRAME, 0.2 * side / max(len(beyond), 1))
    edges = [0, image, *(edge for field in inside for edge in (*field.rows, *field.columns))]
    reach = 1.04 * max(max(edges) - image / 2, image / 2 - min(edges))  # px from the middle to the view's edge
    view = side - 2 * frame * len(beyond)
    inch = view / (2 * reach)  # inches per px
    middle = side / 2

    def place(column: float, row: float) -> tuple[float, float]:
        return middle + (column - width / 2) * inch, middle - (row - height / 2) * inch

    axes.add_patch(Rectangle((middle - view / 2, middle - view / 2), view, view, facecolor=SHADE, zorder=0))
    axes.add_patch(Rectangle(place(0, height), width * inch, height * inch, facecolor="white", zorder=1))
    step = next((step for step in _STEPS if step * inch >= _APART), _STEPS[-1])
    for edge in range(0, width + 1, step):
        axes.plot(*zip(place(edge, 0), place(edge, height), strict=True), color=RULE, linewidth=0.4, zorder=2)
    for edge in range(0, height + 1, step):
        axes.plot(*zip(place(0, edge), place(width, edge), strict=True), color=RULE, linewidth=0.4, zorder=2)
    axes.add_patch(Rectangle(place(0, height), width * inch, height * inch, fill=False, edgecolor=INK, zorder=4.5))

    corners: list[tuple[float, float]] = []
    colours = colormaps["viridis"]
    for index, field in enumerate(fields):
        colour = colours(0.85 * index / max(len(fields) - 1, 1))
        if field in beyond:
            half = view / 2 + frame * (beyond.index(field) + 0.8)
            corner, sides = (middle - half, middle - half), (2 * half, 2 * half)
        else:
            corner = place(field.columns[0], field.rows[1])
            sides = (field.size * inch, field.size * inch)
            axes.add_patch(Rectangle(corner, *sides, facecolor=colour, alpha=0.08, zorder=4))
        line = "--" if field in beyond else "-"
        axes.add_patch(Rectangle(corner, *sides, fill=False, edgecolor=colour, linewidth=1.6, linestyle=line, zorder=5))
        corners.append((corner[0] + sides[0], corner[1] + sides[1]))
    _name(axes, fields, corners, [colours(0.85 * i / max(len(fields) - 1, 1)) for i in range(len(fields))])
    notes = [f"black: the {width}×{height} px image; grid of {step} px"]
    if beyond:
        notes.append("dashed: not to scale")
    for index, note in enumerate(notes):
        axes.text(0, -0.08 - 0.14 * index, note, fontsize=7.5, color=MUTED, va="top")


def _name(axes: Axes, fields: list[StageField], corners: list[tuple[float, float]], colours: list[object]) -> None:
    """Write stage and px of every field in a column at the right, led there from its upper right corner."""
    side, across = axes.get_ylim()[1], axes.get_xlim()[1]
    pitch = min(0.24, (side - 0.1) / max(len(fields), 1))
    left, size = side + 0.3, min(9.0, pitch * 60)
    room = across - left - 0.1 - max(text_width(f"{field.size} px", size) for field in fields)
    column = min(room, max(text_width(_named(field), size, bold=True) for field in fields))
    for index, (field, corner, colour) in enumerate(zip(fields[::-1], corners[::-1], colours[::-1], strict=True)):
        y = side - 0.08 - index * pitch
        axes.plot([corner[0], left - 0.1, left - 0.03], [corner[1], y, y], color=MUTED, linewidth=0.6, zorder=6)
        axes.plot(*corner, marker="o", markersize=3, color=colour, zorder=7)
        name, fit = fitted(_named(field), column, size, least=5, bold=True)
        axes.text(left, y, name, fontsize=fit, fontweight="bold", va="center")
        axes.text(left + column + 0.1, y, f"{field.size} px", fontsize=size, va="center")


def _named(field: StageField) -> str:
    return field.stages[0] if len(field.stages) == 1 else f"{field.stages[0]}–{field.stages[-1]}"
