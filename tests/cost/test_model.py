"""Predictions: linear in the work, by blocks as by the whole plan, corrected by finished trainings."""

from __future__ import annotations

import math

import pytest

from archsearch.analysis.fit import STEP, lowered
from archsearch.analysis.limits import decode_limits
from archsearch.config_files import config_folder
from archsearch.cost.model import Correction, Length, StepModel, TrainingTime, correction, once_a_step
from archsearch.cost.work import work_of
from archsearch.design.lower import lower
from archsearch.library import check, load_design

SHIPPED = sorted(file.stem for file in (config_folder() / "arch").glob("*.yaml") if file.stem != "file")


def predictor(model: StepModel, *, steps: int = 100, evaluated: int = 0, factor: float = 1.0) -> TrainingTime:
    length = Length(batch=50, steps=steps, evaluated=evaluated)
    return TrainingTime(model=model, length=length, correction=Correction(factor=factor, error=0.1))


def weighted(model: StepModel) -> StepModel:
    """Return a model with another rate for every kind and everything that counts."""
    rates = {kind: (1e-6 * place, 1e-12 * place, 1e-11 * place, 1e-10) for place, kind in enumerate(model.rates, 1)}
    return StepModel(device=model.device, rates=rates, evaluated_image=0.5, error=0.125)


@pytest.mark.parametrize("name", SHIPPED)
def test_blocks_together_cost_what_the_plan_costs(name: str, model: StepModel) -> None:
    design, rated = load_design(name), weighted(model)
    work, _ = work_of(lower(design).layers, design.input_shape)
    step = rated.step_seconds(work, 50) + rated.step_seconds(once_a_step(math.prod(design.input_shape)), 50)
    found = predictor(rated)
    assert found(design).seconds == pytest.approx(100 * step)
    assert found(design) == found(design)  # the second time from what is remembered


def test_seconds_are_those_of_all_steps_and_evaluations(model: StepModel) -> None:
    design = load_design("c1c2c3c4")
    once = predictor(model)(design)
    assert predictor(model, steps=200)(design).seconds == pytest.approx(2 * once.seconds)
    # 5 000 evaluated images, each half as much as one of a step, are 50 steps of 50 images.
    assert predictor(model, evaluated=5_000)(design).seconds == pytest.approx(1.5 * once.seconds)
    assert predictor(model, factor=3.0)(design).seconds == pytest.approx(3 * once.seconds)
    assert predictor(model, factor=3.0)(design).uncorrected == pytest.approx(once.seconds)


def test_a_kind_that_was_not_measured_costs_what_the_nearest_does(model: StepModel) -> None:
    rates = {"norm": (1.0, 0.0, 0.0, 0.0), "other": (2.0, 0.0, 0.0, 0.0)}
    found = StepModel(device="", rates=rates, evaluated_image=0.5, error=0.1)
    work, _ = work_of(lower(load_design("brisk")).layers, (3, 32, 32))
    assert found.step_seconds({"paired norm": work["paired norm"]}, 1) == work["paired norm"].calls
    assert found.step_seconds({"stem": work["stem"]}, 1) == 2.0


def test_finished_trainings_correct_the_model_and_then_give_its_error() -> None:
    assert correction([], 0.2) == Correction(factor=1.0, error=0.2)
    few = correction([2.0, 2.0], 0.2)
    assert few.factor == pytest.approx(math.sqrt(2.0))  # the model's own 1 counts like two
    assert few.error == 0.2
    many = correction([1.5] * 10, 0.2)
    assert 1.3 < many.factor < 1.5
    assert many.error == pytest.approx(abs(many.factor / 1.5 - 1))
    assert correction([9.0] * 5 + [1.0] * 30, 0.2).factor == pytest.approx(1.0)  # the oldest no longer count


def test_width_fit_keeps_the_limit_on_seconds(model: StepModel) -> None:
    found = predictor(model)
    design = load_design({**_small(), "width": "fit"})
    limits = decode_limits({"train_seconds": {"below": 20}})
    resolved, _, _ = lowered(design, limits, found)
    assert isinstance(resolved.width, float)
    assert 0.7 * 20 < found(resolved).seconds < 20
    wider = (resolved.at_width(resolved.width + STEP * step) for step in range(1, 400))
    assert next(seconds for one in wider if (seconds := found(one).seconds) != found(resolved).seconds) >= 20


def test_the_tighter_of_seconds_and_parameters_decides_the_width(model: StepModel) -> None:
    design, found = load_design({**_small(), "width": "fit"}), predictor(model)
    widths = [
        float(lowered(design, decode_limits(limits), found)[0].width)
        for limits in (
            {"parameters": {"below": 20_000}},
            {"parameters": {"below": 20_000}, "train_seconds": {"below": 1e6}},
            {"parameters": {"below": 20_000}, "train_seconds": {"below": 5}},
        )
    ]
    assert widths[0] == widths[1] > widths[2]


def test_without_a_predictor_a_limit_on_seconds_is_an_error() -> None:
    for width in (1.0, "fit"):
        with pytest.raises(Exception, match=r"constraints\.train_seconds: needs the settings of a training"):
            check({**_small(), "width": width}, {"train_seconds": {"below": 5}})


def _small() -> dict[str, object]:
    stages = {f"c{stage}": {"block": "normal", "width": 16 * stage, "repeats": 2} for stage in (1, 2, 3)}
    return {"name": "small", "input": [3, 32, 32], "stages": stages, "head": {"classes": 10}}
