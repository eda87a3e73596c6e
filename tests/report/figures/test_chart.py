"""Axes of charts: round ticks, whole counts, and values beyond the axis."""

from __future__ import annotations

import pytest

from archsearch.report.figures.charts import count_axis, linear_ticks, log_ticks, share_axis, stair, value_axis


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0, 10, [0, 2, 4, 6, 8, 10]),
        (0.71, 0.89, [0.75, 0.8, 0.85]),
        (-3, 3, [-2, 0, 2]),
        (5, 5, []),
        (0, float("inf"), []),
    ],
)
def test_ticks_are_round(low: float, high: float, ticks: list[float]) -> None:
    assert linear_ticks(low, high) == pytest.approx(ticks)


def test_logarithmic_ticks_are_few_and_inside() -> None:
    assert log_ticks(15_000, 250_000) == [30_000, 100_000] or len(log_ticks(15_000, 250_000)) >= 3
    for low, high in ((1, 10), (2, 5), (1e-9, 1e12), (90, 110)):
        found = log_ticks(low, high)
        assert 2 <= len(found) <= 10
        assert all(low <= tick <= high for tick in found)


def test_an_axis_goes_from_end_to_end_and_clamps_values_beyond_it() -> None:
    axis = value_axis("accuracy", 0.5, 0.9, room=0)
    assert [axis.share(value) for value in (0.5, 0.7, 0.9, -5, 5)] == pytest.approx([0, 0.5, 1, 0, 1])
    assert not axis.holds(0.1)
    assert [text for _, text in axis.ticks] == ["50 %", "60 %", "70 %", "80 %", "90 %"]
    assert axis.label == "Validation accuracy"


def test_ticks_between_tenths_of_a_percent_are_not_rounded() -> None:
    texts = [text for _, text in value_axis("accuracy", 0.848, 0.858, room=0).ticks]
    assert texts == ["84.8 %", "85.0 %", "85.2 %", "85.4 %", "85.6 %", "85.8 %"]
    assert [text for _, text in value_axis("accuracy", 0.8475, 0.8585, room=0).ticks] == [
        "84.75 %", "85.00 %", "85.25 %", "85.50 %", "85.75 %"
    ]  # fmt: skip


def test_a_logarithmic_axis_gives_each_decade_the_same_room() -> None:
    axis = value_axis("macs", 10, 1000, is_log=True)
    assert axis.share(100) == pytest.approx(0.5)
    assert axis.label == "MACs, logarithmic"
    assert not value_axis("macs", 0, 1000, is_log=True).is_log


@pytest.mark.parametrize("value", [0.0, -2.5, 1e299, 1e-300])
def test_a_single_value_has_an_axis(value: float) -> None:
    assert 0 < value_axis("value", value, value).share(value) < 1


def test_counts_have_whole_ticks() -> None:
    assert [text for _, text in count_axis("Epoch", 0, 3).ticks] == ["0", "1", "2", "3"]
    assert [text for _, text in count_axis("Epoch", 7, 7).ticks] == ["7"]


def test_an_axis_of_shares_ends_at_100_percent() -> None:
    axis = share_axis("Confidence")
    assert (axis.low, axis.high, axis.ticks[-1]) == (0, 1, (1.0, "100 %"))


def test_close_percentages_have_enough_digits() -> None:
    assert [text for _, text in value_axis("accuracy", 0.861, 0.863).ticks][:2] == ["86.10 %", "86.15 %"]
    assert [text for _, text in value_axis("accuracy", 60.0, 90.0).ticks][:2] == ["60", "70"], "not a share"


def test_a_stair_goes_to_either_side() -> None:
    assert stair([(0, 5), (2, 6)], 9) == ((0, 5), (2, 5), (2, 6), (9, 6))
    assert stair([(3, 5), (4, 6)], 0) == ((4, 6), (3, 6), (3, 5), (0, 5))
    assert stair([], 9) == ()
