from __future__ import annotations

from collections.abc import Callable

import pytest
from matplotlib.patches import Rectangle

from archsearch.analysis.check import Checked
from archsearch.report.boxes import stage_costs
from archsearch.report.cost_panel import draw_costs, draw_limits
from archsearch.report.picture import blank, panel, style

Find = Callable[[str], Checked]


def test_bars_are_as_long_as_the_costs(shipped: Find) -> None:
    plan = shipped("c1c2c3c4").plan
    with style():
        axes = panel(blank(6, 4), 0.5, 0.5, 4.1, 2.5, "Costs")
        draw_costs(axes, plan)
    bars = [patch.get_width() for patch in axes.patches if isinstance(patch, Rectangle)]
    costs = stage_costs(plan)
    for lengths, values in (
        (bars[: len(costs)], [cost.parameters for cost in costs]),
        (bars[len(costs) :], [cost.macs for cost in costs]),
    ):
        assert [length / max(lengths) for length in lengths] == pytest.approx([value / max(values) for value in values])
    assert any(text.get_text().endswith("<1 %") for text in axes.texts)


def test_limits_say_found_and_bound_kept_or_broken(shipped: Find) -> None:
    with style():
        axes = panel(blank(6, 4), 0.5, 0.5, 4.1, 2.5, "Limits")
        draw_limits(axes, shipped("mobilenet_v2"))
    title, *said = [text.get_text() for text in axes.texts]
    assert title == "Limits"
    assert said[:3] == ["✓", "receptive field", "491 px, must be above 44"]
    assert said[3:6] == ["✗", "parameters: broken", "2 236 682, must be below 200 000"]
    assert "lacks dilated; must have depthwise_separable, dilated" in said
    assert said.count("✗") == 2
    assert said.count("✓") == 4
