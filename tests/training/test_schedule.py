from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archsearch.settings.training import ScheduleSettings
from archsearch.training.optimizers import learning_rate_ratio, no_step_learns

NAMES = ("onecycle", "triangular", "cosine", "constant")
ratios = st.floats(0.0, 1.0)


@given(
    name=st.sampled_from(NAMES),
    warmup=st.floats(0.01, 0.99),
    initial=ratios,
    final=ratios,
    one=ratios,
    other=ratios,
)
def test_it_starts_at_the_first_ratio_peaks_at_the_warmup_and_only_rises_before_and_falls_after(
    name, warmup, initial, final, one, other
):
    schedule = ScheduleSettings(name=name, warmup=warmup, initial_ratio=initial, final_ratio=final)
    assert learning_rate_ratio(schedule, 0.0) == pytest.approx(initial)
    assert learning_rate_ratio(schedule, warmup) == pytest.approx(1.0)
    assert learning_rate_ratio(schedule, 1.0) == pytest.approx(1.0 if name == "constant" else final)
    low, high = sorted((one, other))
    early, late = learning_rate_ratio(schedule, low), learning_rate_ratio(schedule, high)
    assert 0.0 <= early <= 1.0
    if high < warmup:
        assert early <= late + 1e-12
    elif low >= warmup:
        assert early >= late - 1e-12


@pytest.mark.parametrize(
    ("name", "rising", "falling"),
    [
        ("onecycle", 0.6, 0.55),
        ("triangular", 0.6, 0.55),
        ("cosine", 0.6, 0.55),
        ("constant", 0.6, 1.0),
    ],
)
def test_half_way_up_and_half_way_down(name, rising, falling):
    schedule = ScheduleSettings(name=name, warmup=0.4, initial_ratio=0.2, final_ratio=0.1)
    assert learning_rate_ratio(schedule, 0.2) == pytest.approx(rising)
    assert learning_rate_ratio(schedule, 0.7) == pytest.approx(falling)


def test_shapes_differ_off_the_middle():
    at = {name: learning_rate_ratio(ScheduleSettings(name=name, warmup=0.4, initial_ratio=0.0), 0.1) for name in NAMES}
    assert at["onecycle"] == pytest.approx(0.146447, abs=1e-6)  # (1 - cos(pi / 4)) / 2
    assert at["triangular"] == at["cosine"] == at["constant"] == pytest.approx(0.25)
    down = ScheduleSettings(name="cosine", warmup=0.0, final_ratio=0.0)
    assert learning_rate_ratio(down, 0.25) == pytest.approx(0.853553, abs=1e-6)


def test_no_warmup_starts_at_the_top():
    assert learning_rate_ratio(ScheduleSettings(warmup=0.0), 0.0) == 1.0


@pytest.mark.parametrize("progress", [-0.1, 1.1])
def test_progress_outside_the_run_is_an_error(progress):
    with pytest.raises(ValueError, match="progress must be from 0 to 1"):
        learning_rate_ratio(ScheduleSettings(), progress)


def test_a_run_whose_only_step_has_no_rate_is_noticed():
    triangular = ScheduleSettings(name="triangular", warmup=0.2, initial_ratio=0.0)
    notice = no_step_learns(triangular, 1, 90)
    assert notice.startswith("the only step of this run has learning rate 0")
    assert "train.batch_size=22" in notice
    assert no_step_learns(triangular, 2, 90) == ""
    assert no_step_learns(ScheduleSettings(name="constant", warmup=0.0), 1, 90) == ""
