"""The measurement of step times: rates are found again in made-up times, and real steps give a usable model."""

from __future__ import annotations

import math

import pytest
import torch

from archsearch.cost.calibrate import Measured, calibrate, fit, model_of, step_work
from archsearch.cost.model import Correction, Length, StepModel, TrainingTime
from archsearch.cost.probes import checks, probes
from archsearch.library import load_design
from archsearch.settings.training import OptimizerSettings, TrainSettings
from archsearch.training.timing import Timing, _least

CALL = 1e-4
SMALLEST = {one.name for one in probes() if one.name.endswith("x 4 px")} | {"scale x 3, 96 x 8 px"}
SIMPLE = StepModel(
    device="",
    rates=dict.fromkeys({kind for one in (*probes(), *checks()) for kind in step_work(one)}, (CALL, 2e-11, 1e-9, 1e-8)),
    evaluated_image=0.0,
    error=0.0,
)


def made_up(probe_number: int, factor: float = 1.0) -> Measured:
    probe = [*probes(), *checks()][probe_number]
    seconds = factor * SIMPLE.step_seconds(step_work(probe), 128)
    return Measured(probe, 128, Timing(step=seconds, evaluated_image=seconds / 128 / 4))


def test_rates_are_found_again() -> None:
    count = len(list(probes()))
    rates = fit([made_up(number) for number in range(count)])
    assert all(rate >= 0 for one in rates.values() for rate in one)
    assert {one[0] for one in rates.values()} == {next(iter(rates.values()))[0]}  # a call costs the same everywhere
    found = StepModel(device="", rates=rates, evaluated_image=0.0, error=0.0)
    for number in range(count, count + len(list(checks()))):
        one = made_up(number)
        assert found.step_seconds(one.work, 64) == pytest.approx(SIMPLE.step_seconds(one.work, 64), rel=0.1)


def test_the_checks_give_the_factor_and_the_error() -> None:
    count, more = len(list(probes())), len(list(checks()))
    fitted = [made_up(number) for number in range(count)]
    plain = model_of("here", fitted, [made_up(count + number) for number in range(more)])
    slower = model_of("here", fitted, [made_up(count + number, 2.0) for number in range(more)])
    work = made_up(count).work
    assert slower.step_seconds(work, 128) == pytest.approx(2 * plain.step_seconds(work, 128))
    assert slower.error == pytest.approx(plain.error)
    assert plain.evaluated_image == pytest.approx(0.25)
    spread = model_of("here", fitted, [made_up(count + number, 2.0 ** (number % 2)) for number in range(more)])
    assert spread.error == pytest.approx(math.sqrt(2) - 1, abs=0.15)


@pytest.mark.parametrize("compiled", [False, True])
def test_real_steps_give_a_model_that_predicts_any_design(compiled: bool) -> None:
    threads = torch.get_num_threads()
    train = TrainSettings(device="cpu", compile=compiled, epochs=7, ema=0.9)
    model = calibrate(train, OptimizerSettings(), seconds=0.0, chosen=lambda one: one.name in SMALLEST)
    assert torch.get_num_threads() == threads
    assert " thread" in model.device
    assert 0 < model.evaluated_image < 5
    predict = TrainingTime(
        model=model, length=Length(batch=128, steps=1, evaluated=0), correction=Correction(factor=1.0, error=0.1)
    )
    one, wide = load_design("c1c2c3c4"), load_design("c1c2c3c4").at_width(2.0)
    assert 0 < predict(one).seconds < predict(wide).seconds


def test_the_fastest_call_counts() -> None:
    times = iter([0.0, 9.0, 10.0, 19.0, 20.0, 23.0, 30.0, 31.0, 40.0, 45.0])  # calls of 9, 9, 3, 1 and 5 seconds
    seen: list[int] = []
    found = _least(seen.append, 1.0, lambda: next(times), torch.device("cpu"))
    assert found == 1.0
    assert len(seen) == 5
