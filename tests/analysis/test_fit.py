"""`width: fit` gives the widest network that keeps every upper limit."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from archsearch.analysis.fit import STEP, WIDEST, lowered, resolve
from archsearch.analysis.footprint import measure
from archsearch.analysis.limits import Limits, decode_limits
from archsearch.design.lower import lower
from archsearch.design.spec import DesignSpec
from archsearch.errors import SpecError

Make = Callable[..., DesignSpec]


def parameters(design: DesignSpec) -> int:
    return measure(lower(design)).parameters


@pytest.mark.parametrize("bound", [5_000, 50_000, 200_000, 1_000_000])
def test_one_step_wider_breaks_the_limit(make_design: Make, bound: int) -> None:
    limits = decode_limits({"parameters": {"below": bound}})
    design = resolve(make_design(width="fit"), limits)
    assert isinstance(design.width, float)
    assert parameters(design) < bound <= parameters(design.at_width(design.width + STEP))


def test_all_upper_limits_hold_at_once(make_design: Make) -> None:
    limits = decode_limits({"parameters": {"below": 200_000}, "macs": {"at_most": 5_000_000}})
    _, _, footprint = lowered(make_design(width="fit"), limits)
    assert footprint.parameters < 200_000
    assert footprint.macs <= 5_000_000
    alone = lowered(make_design(width="fit"), decode_limits({"parameters": {"below": 200_000}}))[2]
    assert footprint.parameters < alone.parameters


def test_channels_come_in_multiples_of_the_divisor(make_design: Make) -> None:
    limits = decode_limits({"parameters": {"below": 100_000}})
    plan = lowered(make_design(width="fit", divisor=12), limits)[1]
    names = str(plan).split("out_channels=")[1:]
    assert {int(name.partition(",")[0]) % 12 for name in names} == {0}


def test_it_is_the_same_every_time(make_design: Make) -> None:
    limits = decode_limits({"parameters": {"below": 100_000}})
    assert len({resolve(make_design(width="fit"), limits).width for _ in range(3)}) == 1


def test_a_number_is_left_alone(make_design: Make) -> None:
    design = make_design(width=1.5)
    assert resolve(design, Limits()) is design


def test_what_cannot_be_kept_gives_the_narrowest(make_design: Make) -> None:
    design = resolve(make_design(width="fit"), decode_limits({"parameters": {"below": 10}}))
    assert design.width == STEP


def test_what_is_always_kept_gives_the_widest(make_design: Make) -> None:
    design = resolve(make_design(width="fit"), decode_limits({"parameters": {"below": 10**12}}))
    assert design.width == WIDEST


def test_without_an_upper_limit_there_is_nothing_to_fit(make_design: Make) -> None:
    with pytest.raises(SpecError, match="'fit' needs an upper limit on parameters, macs, activations or peak_bytes"):
        resolve(make_design(width="fit"), decode_limits({"receptive_field": {"above": 3, "below": 99}}))
