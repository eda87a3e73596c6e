from __future__ import annotations

import pytest

from archsearch.report.chart import axis_label, count_scale, line, linear_ticks, log_ticks, mark, scale, steps, svg


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


def test_a_scale_goes_from_end_to_end_and_holds_what_is_beyond() -> None:
    axis = scale(0.5, 0.9, 200, 0, "accuracy", room=0)
    assert axis(0.5) == pytest.approx(200)
    assert axis(0.9) == pytest.approx(0)
    assert axis(0.7) == pytest.approx(100)
    assert axis(-5) == pytest.approx(200)
    assert not axis.holds(0.1)
    assert [label for _, label in axis.ticks] == ["50 %", "60 %", "70 %", "80 %", "90 %"]


def test_a_logarithmic_scale_gives_each_decade_the_same_room() -> None:
    axis = scale(10, 1000, 0, 100, "macs", is_log=True)
    assert axis(100) == pytest.approx(50)
    assert not scale(0, 1000, 0, 100, "macs", is_log=True).is_log


@pytest.mark.parametrize("value", [0.0, -2.5, 1e299, 1e-300])
def test_a_single_value_has_an_axis(value: float) -> None:
    axis = scale(value, value, 0, 100, "value")
    assert 0 < axis(value) < 100


def test_counts_have_whole_ticks() -> None:
    assert [label for _, label in count_scale(0, 3, 0, 100).ticks] == ["0", "1", "2", "3"]
    assert [label for _, label in count_scale(7, 7, 0, 100).ticks] == ["7"]


def test_close_percentages_are_told_apart() -> None:
    assert [label for _, label in scale(0.861, 0.863, 0, 100, "accuracy").ticks][:2] == ["86.10 %", "86.15 %"]
    assert axis_label("macs", 12_500_000) == "12.5 M"


def test_every_shape_is_another() -> None:
    found = {mark(shape, 10.0, 20.0) for shape in ("circle", "diamond", "triangle", "cross", "plus")}
    assert len(found) == 5
    assert all("nan" not in each for each in found)


def test_lines_and_stairs() -> None:
    assert line([(1.0, 2.0), (3.04, 4.06)]) == '<path d="M1 2L3 4.1"></path>'
    assert steps([(0, 5), (2, 6)], 9) == [(0, 5), (2, 5), (2, 6), (9, 6)]


def test_a_drawing_says_what_it_shows() -> None:
    assert 'aria-label="a &lt; b"' in svg(10, "a < b")
    assert "data-wide" in svg(10, "", width=900.0)
