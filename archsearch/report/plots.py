"""A design as a picture for a slide: its layers to scale, what they see, what they cost, and the limits.

Arranges the panels of this room. Imports matplotlib lazily; no torch.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from archsearch.formatting import number
from archsearch.report.cost_panel import BROKEN, KEPT, draw_costs, draw_limits
from archsearch.report.field_panel import draw_fields
from archsearch.report.network_panel import draw_network
from archsearch.report.picture import (
    GREEN,
    MUTED,
    VERMILLION,
    blank,
    fitted,
    panel,
    picture_format,
    style,
    text_width,
    write_picture,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from archsearch.analysis.check import Checked

WIDTH, HEIGHT = 13.333, 7.5
"""Inches: a slide of 16:9."""
DPI = 150
_MARGIN = 0.5


def draw_design(checked: Checked, file: Path) -> None:
    """Draw the design to `file`, a PNG, SVG or PDF as its ending says; missing folders are made.

    Raises `SpecError` at `plot` for another ending, `StorageError` where the file cannot be written.
    """
    picture_format(file)
    with style():
        write_picture(design_figure(checked), file, dpi=DPI)


def design_figure(checked: Checked) -> Figure:
    """Return the drawing of the design; to be called, and saved, within `style()`."""
    figure = blank(WIDTH, HEIGHT)
    _header(figure, checked)
    usable = WIDTH - 2 * _MARGIN
    draw_network(panel(figure, _MARGIN, 3.62, usable, 2.55, "Layers"), checked.plan)
    draw_fields(panel(figure, _MARGIN, 0.55, 4.1, 2.5, "Receptive field of the centre unit"), checked)
    draw_costs(panel(figure, 4.95, 0.35, 4.15, 2.7, "Parameters and MACs"), checked.plan)
    kept = sum(margin.kept for margin in checked.margins)
    title = f"Limits: {kept} of {len(checked.margins)} kept" if checked.margins else "Limits"
    draw_limits(panel(figure, 9.5, 0.35, WIDTH - _MARGIN - 9.5, 2.7, title), checked)
    return figure


def totals(checked: Checked) -> str:
    """Return the totals in one line, each with its unit."""
    found = checked.footprint
    channels, height, width = checked.plan.input_shape
    parts = [
        f"{number(found.parameters)} parameters",
        f"{number(found.macs)} MACs",
        f"receptive field {number(found.receptive_field)} px",
        f"{number(found.activations)} activations",
        "" if checked.design.symmetry == "none" else "mirrored pairs",
        f"image {channels}×{height}×{width}",
        f"{found.output_shape[0]} classes" if found.output_shape[1:] == (1, 1) else "",
    ]
    return "   ·   ".join(part for part in parts if part)


def verdict(checked: Checked) -> tuple[str, str]:
    """Return what there is to say of the limits in a few words, and its colour."""
    broken = sum(not margin.kept for margin in checked.margins)
    if not checked.margins:
        return "", MUTED
    if broken:
        return f"{BROKEN} breaks {broken} of {len(checked.margins)} limits", VERMILLION
    return f"{KEPT} keeps all {len(checked.margins)} limits", GREEN


def _header(figure: Figure, checked: Checked) -> None:
    said, colour = verdict(checked)
    right, top = 1 - _MARGIN / WIDTH, 1 - 0.56 / HEIGHT
    room = WIDTH - 2 * _MARGIN - text_width(said, 13, bold=True) - 0.3
    name, size = fitted(checked.design.name, room, 22, least=10, bold=True)
    figure.text(_MARGIN / WIDTH, top, name, fontsize=size, fontweight="bold", va="baseline")
    figure.text(right, top, said, fontsize=13, fontweight="bold", color=colour, ha="right", va="baseline")
    below = 1 - 0.86 / HEIGHT
    text, size = fitted(totals(checked), WIDTH - 2 * _MARGIN - 1.6, 11)
    figure.text(_MARGIN / WIDTH, below, text, fontsize=size, color=MUTED, va="baseline")
    figure.text(right, below, checked.design_id, fontsize=8, color=MUTED, ha="right", va="baseline", family="monospace")
