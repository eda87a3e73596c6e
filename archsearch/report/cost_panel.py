"""Where parameters and MACs sit, as bars, and the limits kept and broken. Draws on axes in inches; no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archsearch.analysis.limits import margin_text
from archsearch.report.boxes import stage_costs
from archsearch.report.picture import GREEN, MUTED, RULE, SLATE, VERMILLION, compact, fitted, text_width

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from archsearch.analysis.check import Checked
    from archsearch.analysis.limits import Margin
    from archsearch.design.plan import Plan

KEPT, BROKEN = "✓", "✗"
_COLUMNS = (("parameters", "parameters"), ("macs", "MACs"))


def draw_costs(axes: Axes, plan: Plan) -> None:
    """Draw two bars for the stem, each stage and the head: their parameters and MACs, with the share of the total."""
    from matplotlib.patches import Rectangle

    costs = stage_costs(plan)
    across, up = axes.get_xlim()[1], axes.get_ylim()[1]
    pitch = min(0.3, (up - 0.25) / len(costs))
    size = min(8.5, pitch * 50)
    names = min(1.0, max(text_width(cost.stage, size, bold=True) for cost in costs)) + 0.12
    column = (across - names - 0.2) / 2
    for index, cost in enumerate(costs):
        text, fit = fitted(cost.stage, names - 0.1, size, least=5, bold=True)
        axes.text(0, up - 0.25 - (index + 0.5) * pitch, text, fontsize=fit, fontweight="bold", va="center")
    for place, (what, title) in enumerate(_COLUMNS):
        values = [getattr(cost, what) for cost in costs]
        total, most = sum(values), max(1, *values)
        labels = [f"{compact(value)} · {_share(value, total)}" for value in values]
        left = names + place * (column + 0.2)
        longest = column - max(text_width(label, size) for label in labels) - 0.12
        axes.text(left, up - 0.02, f"{title}, {compact(total)}", fontsize=8.5, color=MUTED, va="top")
        axes.plot([left, left], [up - 0.25, up - 0.25 - len(costs) * pitch], color=RULE, linewidth=0.8)
        for index, (value, label) in enumerate(zip(values, labels, strict=True)):
            middle = up - 0.25 - (index + 0.5) * pitch
            length, high = longest * value / most, 0.62 * pitch
            axes.add_patch(Rectangle((left, middle - high / 2), length, high, facecolor=SLATE, linewidth=0))
            axes.text(left + length + 0.06, middle, label, fontsize=size, va="center")


def draw_limits(axes: Axes, checked: Checked) -> None:
    """Write every limit: whether it is kept, what was found and what it must be."""
    across, up = axes.get_xlim()[1], axes.get_ylim()[1]
    if not checked.margins:
        axes.text(0, up - 0.05, "no limits are set", fontsize=9, color=MUTED, va="top")
        return
    pitch = min(0.42, up / len(checked.margins))
    size = min(8.5, pitch * 28)
    for index, margin in enumerate(checked.margins):
        y = up - 0.03 - index * pitch
        colour, sign = (GREEN, KEPT) if margin.kept else (VERMILLION, BROKEN)
        axes.text(0, y, sign, fontsize=size + 2.5, color=colour, fontweight="bold", va="top")
        title = margin.limit.replace("_", " ") + ("" if margin.kept else ": broken")
        axes.text(0.24, y, title, fontsize=size + 0.5, fontweight="bold", va="top")
        text, fit = fitted(_said(margin), across - 0.24, size, least=6.5)
        axes.text(0.24, y - size * 1.35 / 72, text, fontsize=fit, color=MUTED, va="top")


def _said(margin: Margin) -> str:
    """Return `margin_text(margin)`, and what was asked where that leaves some of it out."""
    partly = margin.limit in {"contains", "forbids"} and 0 < len(margin.found) < len(margin.bound)
    if margin.kept or not partly:
        return margin_text(margin)
    asked = "must have" if margin.limit == "contains" else "must not have"
    return f"{margin_text(margin)}; {asked} {', '.join(margin.bound)}"


def _share(value: int, total: int) -> str:
    """Return the share in percent; `<1 %` for what is there and rounds to nothing."""
    percent = 100 * value / total if total else 0.0
    return "<1 %" if 0 < percent < 0.5 else f"{percent:.0f} %"
