"""The arithmetic of windows."""

from __future__ import annotations

from archsearch.design.geometry import ONE_PIXEL, Extent, slide, union


def test_a_window_grows_the_field_by_its_span_times_the_jump() -> None:
    after_stride = slide(ONE_PIXEL, 3, 2, 1, 1)
    assert after_stride == Extent(start=-1, size=3, jump=2)
    assert slide(after_stride, 3, 1, 2, 2) == Extent(start=-5, size=11, jump=2)


def test_padding_before_moves_the_field_and_an_even_kernel_leaves_it_uneven() -> None:
    assert slide(ONE_PIXEL, 4, 1, 1, 1) == Extent(start=-1, size=4, jump=1)
    assert slide(ONE_PIXEL, 4, 1, 1, 2) == Extent(start=-2, size=4, jump=1)


def test_interval_steps_by_the_jump() -> None:
    assert Extent(start=-3, size=7, jump=4).interval(2) == (5, 12)


def test_union_covers_from_the_first_left_edge_to_the_last_right_edge() -> None:
    assert union([Extent(0, 1, 2), Extent(-4, 5, 2), Extent(-1, 9, 2)]) == Extent(-4, 12, 2)
    assert union([Extent(-1, 3, 1)]) == Extent(-1, 3, 1)
